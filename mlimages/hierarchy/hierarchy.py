"""The semantic hierarchy of the categories: an immutable directed acyclic graph over integer arrays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import CycleError, HierarchyError, UnknownCategoryError
from mlimages.hierarchy.category import Category, CategoryLike
from mlimages.hierarchy.checks import check_parents, checked_names, index_of
from mlimages.hierarchy.csr import CSR, Int32Array, find_cycle, frozen, longest_depth
from mlimages.hierarchy.relations import Relations

if TYPE_CHECKING:
    import networkx
    import plotly.graph_objects
    from nltk.corpus.reader.wordnet import Synset


class Hierarchy(Relations):
    """Categories and which is a kind of which: immutable, several parents allowed, no cycles.

    Wherever a query takes a category it takes an index, a key or a :class:`Category`; given a sequence of them it
    answers for all at once. One category gives an int32 array of indices, several give a :class:`CSR` of rows.

    Parameters
    ----------
    keys : sequence of str
        One unique, non-empty key a category, in index order.
    parents : CSR or sequence of sequences of int
        The parents of each category, as indices. The first is the main one.
    names : sequence of sequences of str, optional
        The names of each category, the usual one first; a plain string is a single name.

    Raises
    ------
    HierarchyError
        For a duplicate or empty key, one with a tab or a line end, an unknown or repeated parent, lengths that differ,
        a name that is no text.
    CycleError
        Where a category is its own ancestor; the message prints the cycle.

    Examples
    --------
    >>> h = Hierarchy(["animal", "dog", "pet", "puppy"], [[], [0], [0], [1, 2]])
    >>> [h[i].key for i in h.ancestors("puppy")]
    ['dog', 'pet', 'animal']
    """

    keys: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]

    def __init__(
        self,
        keys: Sequence[str],
        parents: CSR | Sequence[Sequence[int]],
        names: Sequence[Sequence[str]] | None = None,
    ) -> None:
        n = len(keys)
        parents = CSR.copied(parents) if isinstance(parents, CSR) else CSR.from_rows(parents)
        store = self.__dict__
        store["keys"] = tuple(keys)
        store["names"] = checked_names(names) if names is not None else ((),) * n
        store["_parents"] = parents
        if len(parents) != n or len(self.names) != n:
            raise HierarchyError(f"{n} keys, {len(parents)} rows of parents and {len(self.names)} of names: must agree")
        store["_index"] = index_of(self.keys)
        check_parents(self.keys, parents)
        store["_children"] = parents.transposed(n)
        store["_longest"] = frozen(longest_depth(parents, self._children))
        if n and self._longest.min() < 0:
            cycle = find_cycle(parents, self._longest)
            shown = [self.keys[i] for i in cycle[:20]] + ["..."] * (len(cycle) > 20) + [self.keys[cycle[0]]]
            size = "1 category" if len(cycle) == 1 else f"{len(cycle)} categories"
            raise CycleError(f"cycle of {size}: {' -> '.join(shown)} (parent -> child)", cycle)

    _parents: CSR
    _children: CSR
    _longest: Int32Array
    _index: dict[str, int]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Hierarchy is immutable: cannot set {name!r}; make a new one with subtree or restrict")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Hierarchy is immutable: cannot delete {name!r}")

    # Reading and writing ------------------------------------------------------------------------------------------

    @classmethod
    def from_dictionary(cls, path: str | os.PathLike[str]) -> Hierarchy:
        """Read the published four-column dictionary; see :func:`mlimages.hierarchy.formats.dictionary.read_dictionary`."""
        from mlimages.hierarchy.formats.dictionary import read_dictionary

        return read_dictionary(path)

    def to_dictionary(self, path: str | os.PathLike[str]) -> None:
        """Write the published four-column dictionary; what :meth:`from_dictionary` read comes back byte for byte."""
        from mlimages.hierarchy.formats.dictionary import write_dictionary

        write_dictionary(self, path)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> Hierarchy:
        """Read what :meth:`to_parquet` wrote (also the ``categories.parquet`` of an annotation table)."""
        from mlimages.hierarchy.formats.parquet import read_parquet

        return read_parquet(path)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file: index, key, names and parents of each category, the fingerprint as metadata."""
        from mlimages.hierarchy.formats.parquet import write_parquet

        write_parquet(self, path)

    @classmethod
    def from_edges(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        keys: Iterable[str] = (),
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> Hierarchy:
        """Build from `pairs` of keys, parent and child, and the `names` of keys that have any.

        Indices follow `keys` where given (they may also name categories without any edge), then first appearance.
        The order of a category's parents is that of the pairs.
        """
        from mlimages.hierarchy.formats.edges import from_edges

        return from_edges(pairs, keys=keys, names=names)

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph[Any]) -> Hierarchy:
        """Build from a `graph` whose edges run from parent to child; reads what :meth:`to_networkx` writes."""
        from mlimages.hierarchy.formats.networkx import from_networkx

        return from_networkx(graph)

    def to_networkx(self) -> networkx.DiGraph[str]:
        """A ``DiGraph`` over the keys, parent to child, with ``key``, ``names`` and ``index`` on each node."""
        from mlimages.hierarchy.formats.networkx import to_networkx

        return to_networkx(self)

    @classmethod
    def from_wordnet(
        cls,
        keys: Iterable[str],
        *,
        inner: Iterable[str] | None = None,
        roots: Iterable[str] | None = None,
        multiple_parents: bool = False,
    ) -> Hierarchy:
        """Build from WordNet ids; see :func:`mlimages.hierarchy.wordnet.synsets.from_wordnet`."""
        from mlimages.hierarchy.wordnet.synsets import from_wordnet

        return from_wordnet(keys, inner=inner, roots=roots, multiple_parents=multiple_parents)

    @classmethod
    def from_open_images(cls, path: str | os.PathLike[str], **options: Any) -> Hierarchy:
        """Read the Open Images JSON tree; see :func:`mlimages.hierarchy.formats.openimages.read_open_images`."""
        from mlimages.hierarchy.formats.openimages import read_open_images

        return read_open_images(path, **options)

    # Categories ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Category]:
        return (self._category(i) for i in range(len(self)))

    def __contains__(self, category: object) -> bool:
        if isinstance(category, Category):
            category = category.key
        if isinstance(category, str):
            return category in self._index
        return (
            isinstance(category, int | np.integer) and not isinstance(category, bool) and 0 <= int(category) < len(self)
        )

    def __getitem__(self, category: CategoryLike) -> Category:
        return self._category(self.index(category))

    def _category(self, index: int) -> Category:
        return Category(index, self.keys[index], self.names[index])

    @overload
    def index(self, categories: CategoryLike) -> int: ...
    @overload
    def index(self, categories: Iterable[CategoryLike] | NDArray[Any]) -> Int32Array: ...
    def index(self, categories: Any) -> Any:
        """Index of a category, or int32 array [m] of several `categories`: in their order, of a set ascending.

        A :class:`Category` counts by its key, so one of another hierarchy is found here.

        Raises
        ------
        UnknownCategoryError
            For a key or an index that is not in the hierarchy, and for what names no category.
        """
        if isinstance(categories, str):
            try:
                return self._index[categories]
            except KeyError:
                raise UnknownCategoryError(
                    f"unknown category {categories!r}: not a key of this hierarchy ({len(self)} categories"
                    f"{', such as ' if self.keys else ''}{', '.join(self.keys[:3])}); "
                    f"find({categories!r}) searches names"
                ) from None
        if isinstance(categories, Category):
            return self.index(categories.key)
        if isinstance(categories, int | np.integer) and not isinstance(categories, bool):
            if not 0 <= categories < len(self):
                raise UnknownCategoryError(f"unknown category {categories}: expected an index {self._bounds}")
            return int(categories)
        if isinstance(categories, np.ndarray):
            return self._index_array(categories)
        if not isinstance(categories, Iterable) or isinstance(categories, bytes | bytearray):
            raise UnknownCategoryError(
                f"unknown category {categories!r}: expected an index, a key, a Category or a sequence of them"
            )
        indices = np.fromiter((self._index_one(each) for each in categories), np.int32)
        return np.sort(indices) if isinstance(categories, Set) else indices

    def _index_array(self, categories: NDArray[Any]) -> int | Int32Array:
        if categories.ndim == 0:
            return self._index_one(categories.item())
        if categories.ndim > 1:
            raise UnknownCategoryError(
                f"found an array of {categories.ndim} dimensions, expected a flat one of indices or keys"
            )
        if categories.dtype.kind not in "iu":
            return np.fromiter((self._index_one(each) for each in categories.tolist()), np.int32)
        wrong = (categories < 0) | (categories >= len(self))
        if wrong.any():
            raise UnknownCategoryError(
                f"unknown category {categories[wrong][0]}, one of {wrong.sum()} such: expected an index {self._bounds}"
            )
        return categories.astype(np.int32, copy=False)

    def _index_one(self, category: Any) -> int:
        """Index of what must be a single category."""
        index = self.index(category)
        if not isinstance(index, int):
            raise UnknownCategoryError(f"unknown category {category!r}: expected an index, a key or a Category")
        return index

    @property
    def _bounds(self) -> str:
        return f"from 0 to {len(self) - 1}" if len(self) else "of a hierarchy that is not empty"

    def find(self, text: str, *, limit: int | None = None) -> list[Category]:
        """Categories by name or key: exact matches first, then prefixes, then substrings; case is ignored.

        Names are not unique: all that match, or the first `limit`, are returned, by index within each group. Several
        names joined by a comma and a space, as the published dictionary writes them, match too. An empty `text` matches
        nothing.
        """
        wanted = text.strip().casefold()
        if not wanted:
            return []
        groups: tuple[list[int], list[int], list[int]] = ([], [], [])
        for index, names in enumerate(self._folded_names):
            if wanted in names:
                groups[0].append(index)
            elif any(name.startswith(wanted) for name in names):
                groups[1].append(index)
            elif any(wanted in name for name in names):
                groups[2].append(index)
        found = [self._category(index) for group in groups for index in group]
        return found if limit is None else found[:limit]

    @cached_property
    def _folded_names(self) -> list[tuple[str, ...]]:
        """The key, each name and, where there are several, all names joined."""
        return [
            tuple(each.casefold() for each in ((key, *names, ", ".join(names)) if len(names) > 1 else (key, *names)))
            for key, names in zip(self.keys, self.names, strict=True)
        ]

    def synset(self, category: CategoryLike) -> Synset:
        """NLTK's ``Synset`` of a category whose key is a WordNet id."""
        return self[category].synset

    # Parts --------------------------------------------------------------------------------------------------------

    def subtree(self, root: CategoryLike) -> Hierarchy:
        """The hierarchy of one category and its descendants, in index order; parents outside it are dropped."""
        from mlimages.hierarchy.edit import subtree

        return subtree(self, root)

    def restrict(self, categories: Iterable[CategoryLike] | NDArray[Any]) -> Hierarchy:
        """The hierarchy of the given categories only, in the given order.

        What is dropped is contracted: the new parents of a kept category are its nearest kept ancestors. A parent that
        is above another parent is not among the nearest, even where all categories are kept.
        """
        from mlimages.hierarchy.edit import restrict

        return restrict(self, categories)

    def statistics(self) -> dict[str, int | float]:
        """Counts and shape of the hierarchy, by name; depths in edges."""
        parents, longest = self._parents.lengths, self._longest
        names = [", ".join(each) for each in self.names]
        return {
            "categories": len(self),
            "edges": int(parents.sum()),
            "roots": len(self.roots),
            "leaves": len(self.leaves),
            "inner": len(self) - len(self.leaves),
            "categories_with_several_parents": int((parents > 1).sum()),
            "max_depth": int(longest.max()) if len(self) else 0,
            "mean_depth": float(self.depth().mean()) if len(self) else 0.0,
            "mean_longest_depth": float(longest.mean()) if len(self) else 0.0,
            "mean_ancestors": len(self.closure.indices) / len(self) if len(self) else 0.0,
            "max_children": int(self._children.lengths.max()) if len(self) else 0,
            "surplus_names": len(names) - len(set(names)),
        }

    # Identity -----------------------------------------------------------------------------------------------------

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over one line a category in index order: its key, a tab, its parents' indices."""
        bounds, above = self._parents.indptr.tolist(), list(map(str, self._parents.indices.tolist()))
        rows = zip(self.keys, bounds[:-1], bounds[1:], strict=True)
        text = "".join(f"{key}\t{','.join(above[start:stop])}\n" for key, start, stop in rows)
        return hashlib.sha256(text.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Same keys, parents and names."""
        if not isinstance(other, Hierarchy):
            return NotImplemented
        return self.keys == other.keys and self._parents == other._parents and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hierarchy, (self.keys, self._parents, self.names)

    # Drawing ------------------------------------------------------------------------------------------------------

    def tree(
        self,
        root: CategoryLike | None = None,
        *,
        depth: int | None = None,
        counts: ArrayLike | None = None,
        width: int | None = 50,
    ) -> str:
        """An indented text tree; see :func:`mlimages.hierarchy.drawing.draw.tree`."""
        from mlimages.hierarchy.drawing.draw import tree

        return tree(self, root, depth=depth, counts=counts, width=width)

    def treemap(self, root: CategoryLike | None = None, **options: Any) -> plotly.graph_objects.Figure:
        """A plotly treemap; see :func:`mlimages.hierarchy.drawing.draw.treemap`."""
        from mlimages.hierarchy.drawing.draw import treemap

        return treemap(self, root, **options)

    def sunburst(self, root: CategoryLike | None = None, **options: Any) -> plotly.graph_objects.Figure:
        """A plotly sunburst; see :func:`mlimages.hierarchy.drawing.draw.sunburst`."""
        from mlimages.hierarchy.drawing.draw import sunburst

        return sunburst(self, root, **options)

    def draw_rules(self, rules: Any, root: CategoryLike | None = None, **options: Any) -> plotly.graph_objects.Figure:
        """A heat map or network of the strongest rules; see :func:`mlimages.hierarchy.drawing.drawrules.draw_rules`."""
        from mlimages.hierarchy.drawing.drawrules import draw_rules

        return draw_rules(self, rules, root, **options)

    def _repr_html_(self) -> str:
        from mlimages.hierarchy.drawing.draw import repr_html

        return repr_html(self)

    def __repr__(self) -> str:
        roots = ", ".join(self[int(i)].name for i in self.roots[:4]) + (", ..." if len(self.roots) > 4 else "")
        return f"<Hierarchy: {len(self)} categories, {len(self.leaves)} leaves, {len(self.roots)} roots ({roots})>"
