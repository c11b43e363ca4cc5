"""The semantic hierarchy of the categories: an immutable directed acyclic graph over integer arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.drawing.draw import repr_html, sunburst, tree, treemap
from mlimages.hierarchy.drawing.drawrules import draw_rules
from mlimages.hierarchy.edit import restrict, subtree
from mlimages.hierarchy.formats.dictionary import read_dictionary, write_dictionary
from mlimages.hierarchy.formats.edges import from_edges
from mlimages.hierarchy.formats.networkx import from_networkx, to_networkx
from mlimages.hierarchy.formats.openimages import read_open_images
from mlimages.hierarchy.formats.parquet import read_parquet, write_parquet
from mlimages.hierarchy.relations import Relations
from mlimages.hierarchy.similarity import lowest_common_ancestors, path_similarity, wup_similarity
from mlimages.hierarchy.wordnet.synsets import from_wordnet

if TYPE_CHECKING:
    import networkx
    import plotly.graph_objects


class Hierarchy(Relations):
    """Categories and their parents: an immutable directed acyclic graph.

    Wherever a query takes a category it takes an index, a key or a :class:`Category`, or a sequence of them. One
    category gives an int32 array of indices; a sequence of m categories gives a :class:`CSR` of m rows.

    Parameters
    ----------
    keys : sequence of str
        The unique, non-empty key of each category, in index order.
    parents : CSR or sequence of sequences of int
        The parents of each category, as indices. The first is the main one.
    names : sequence of sequences of str, optional
        The names of each category, the usual one first; a plain string is a single name.

    Raises
    ------
    HierarchyError
        For a duplicate or empty key, a key with a tab or a line end, an unknown or repeated parent, different lengths,
        or a name that is not text.
    CycleError
        If a category is its own ancestor; the message prints the cycle.

    Examples
    --------
    >>> h = Hierarchy(["animal", "dog", "pet", "puppy"], [[], [0], [0], [1, 2]])
    >>> [h[i].key for i in h.ancestors("puppy")]
    ['dog', 'pet', 'animal']
    """

    def __init__(
        self,
        keys: Sequence[str],
        parents: CSR | Sequence[Sequence[int]],
        names: Sequence[Sequence[str]] | None = None,
    ) -> None:
        super().__init__(Definition.checked(keys, parents, names))

    @classmethod
    def from_definition(cls, definition: Definition) -> Hierarchy:
        """Build from a checked definition, such as :func:`mlimages.hierarchy.formats.edges.read_edges` returns."""
        hierarchy = cls.__new__(cls)
        Relations.__init__(hierarchy, definition)
        return hierarchy

    def __reduce__(self) -> tuple[Any, ...]:
        return Hierarchy, (self.keys, self._parents, self.names)

    # Reading and writing ------------------------------------------------------------------------------------------

    @classmethod
    def from_dictionary(cls, path: str | os.PathLike[str]) -> Hierarchy:
        """Read the published dictionary; see :func:`mlimages.hierarchy.formats.dictionary.read_dictionary`."""
        return cls.from_definition(read_dictionary(path))

    def to_dictionary(self, path: str | os.PathLike[str]) -> None:
        """Write the published dictionary; what :meth:`from_dictionary` read is reproduced byte for byte."""
        write_dictionary(self, path)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> Hierarchy:
        """Read what :meth:`to_parquet` wrote (also the ``categories.parquet`` of an annotation table)."""
        return cls.from_definition(read_parquet(path))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file: index, key, names and parents of each category, and the fingerprint as metadata."""
        write_parquet(self, path)

    @classmethod
    def from_edges(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        keys: Iterable[str] = (),
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> Hierarchy:
        """Build from `pairs` of keys, parent and child, and an optional mapping of keys to `names`.

        Indices follow `keys` (which may also name categories without any edge), then first occurrence in `pairs`. The
        parents of a category are in the order of the pairs.
        """
        return cls.from_definition(from_edges(pairs, keys=keys, names=names))

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph[Any]) -> Hierarchy:
        """Build from a `graph` whose edges run from parent to child; reads what :meth:`to_networkx` writes."""
        return cls.from_definition(from_networkx(graph))

    def to_networkx(self) -> networkx.DiGraph[str]:
        """A ``DiGraph`` over the keys, parent to child, with ``key``, ``names`` and ``index`` on each node."""
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
        return cls.from_definition(from_wordnet(keys, inner=inner, roots=roots, multiple_parents=multiple_parents))

    @classmethod
    def from_open_images(cls, path: str | os.PathLike[str], **options: Any) -> Hierarchy:
        """Read the Open Images JSON tree; see :func:`mlimages.hierarchy.formats.openimages.read_open_images`."""
        return cls.from_definition(read_open_images(path, **options))

    # Parts --------------------------------------------------------------------------------------------------------

    def subtree(self, root: CategoryLike) -> Hierarchy:
        """The hierarchy of one category and its descendants, in index order, without parents outside it."""
        return self.from_definition(subtree(self, root))

    def restrict(self, categories: Iterable[CategoryLike] | NDArray[Any]) -> Hierarchy:
        """The hierarchy of only the given categories, in the given order.

        Dropped categories are contracted: the new parents of a kept category are its nearest kept ancestors. A parent
        that is above another parent is not among the nearest, even if all categories are kept.
        """
        return self.from_definition(restrict(self, categories))

    # Similarity ---------------------------------------------------------------------------------------------------

    def lowest_common_ancestors(self, a: Any, b: Any) -> Any:
        """Common ancestors (a category counts as its own) of `a` and `b` without a common ancestor below them.

        An int32 array for two categories, a CSR [m] for m pairs (sequences broadcast against each other): ascending
        indices, none in different trees, possibly several in a DAG.
        """
        return lowest_common_ancestors(self, a, b)

    def path_similarity(self, a: Any, b: Any) -> Any:
        """``1 / (1 + d)``, d the edges on the shortest path through a common ancestor; 0 if there is none.

        A float for two categories, float64 [m] for m pairs: sequences `a` and `b` broadcast against each other.
        """
        return path_similarity(self, a, b)

    def wup_similarity(self, a: Any, b: Any) -> Any:
        """Wu and Palmer's similarity (1994) of `a` and `b`: :func:`mlimages.hierarchy.similarity.wup_similarity`."""
        return wup_similarity(self, a, b)

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
        return tree(self, root, depth=depth, counts=counts, width=width)

    def treemap(self, root: CategoryLike | None = None, **options: Any) -> plotly.graph_objects.Figure:
        """A plotly treemap; see :func:`mlimages.hierarchy.drawing.draw.treemap`."""
        return treemap(self, root, **options)

    def sunburst(self, root: CategoryLike | None = None, **options: Any) -> plotly.graph_objects.Figure:
        """A plotly sunburst; see :func:`mlimages.hierarchy.drawing.draw.sunburst`."""
        return sunburst(self, root, **options)

    def draw_rules(self, rules: Any, root: CategoryLike | None = None, **options: Any) -> plotly.graph_objects.Figure:
        """A heat map or network of the strongest rules; see :func:`mlimages.hierarchy.drawing.drawrules.draw_rules`."""
        return draw_rules(self, rules, root, **options)

    def _repr_html_(self) -> str:
        return repr_html(self)
