"""How the categories of a hierarchy relate: all queries that need neither files nor drawings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR, Int32Array, ancestor_closure, frozen, shortest_depth
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.vocabulary import Vocabulary

if TYPE_CHECKING:
    import scipy.sparse


class Relations(Vocabulary):
    """The base class of :class:`Hierarchy`: an immutable definition, and the queries on it.

    Wherever a query takes a category it takes an index, a key or a :class:`Category`. One category gives an int32
    array of indices; a sequence of m categories gives a :class:`CSR` of m rows.
    """

    _definition: Definition
    _parents: CSR
    _children: CSR
    _longest: Int32Array

    def __init__(self, definition: Definition) -> None:
        self.__dict__.update(
            _definition=definition,
            keys=definition.keys,
            names=definition.names,
            _index=definition.index,
            _parents=definition.parents,
            _children=definition.children,
            _longest=definition.longest,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Hierarchy is immutable: cannot set {name!r}; make a new one with subtree or restrict")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Hierarchy is immutable: cannot delete {name!r}")

    @cached_property
    def roots(self) -> Int32Array:
        """Categories without a parent, int32, ascending."""
        return frozen(np.flatnonzero(self._parents.lengths == 0).astype(np.int32))

    @cached_property
    def leaves(self) -> Int32Array:
        """Categories without a child, int32, ascending."""
        return frozen(np.flatnonzero(self._children.lengths == 0).astype(np.int32))

    @cached_property
    def topological_order(self) -> Int32Array:
        """All indices, parents before their children, by longest depth, then by index: int32 [n]."""
        return frozen(np.argsort(self._longest, kind="stable").astype(np.int32))

    @overload
    def parents(self, categories: CategoryLike) -> Int32Array: ...
    @overload
    def parents(self, categories: Iterable[CategoryLike] | NDArray[Any] | None = None) -> CSR: ...
    def parents(self, categories: Any = None) -> Any:
        """Parents, the main one first.

        Parameters
        ----------
        categories : index, key, Category, or several of them, optional
            Default: all.

        Returns
        -------
        int32 array, or CSR [m]
            For one category, or for m of them.
        """
        return self._rows(self._parents, categories)

    @overload
    def children(self, categories: CategoryLike) -> Int32Array: ...
    @overload
    def children(self, categories: Iterable[CategoryLike] | NDArray[Any] | None = None) -> CSR: ...
    def children(self, categories: Any = None) -> Any:
        """Children, ascending.

        Parameters
        ----------
        categories : index, key, Category, or several of them, optional
            Default: all.

        Returns
        -------
        int32 array, or CSR [m]
            For one category, or for m of them.
        """
        return self._rows(self._children, categories)

    @overload
    def ancestors(self, categories: CategoryLike) -> Int32Array: ...
    @overload
    def ancestors(self, categories: Iterable[CategoryLike] | NDArray[Any] | None = None) -> CSR: ...
    def ancestors(self, categories: Any = None) -> Any:
        """All proper ancestors, nearest first.

        Parameters
        ----------
        categories : index, key, Category, or several of them, optional
            Default: all.

        Returns
        -------
        int32 array, or CSR [m]
            For one category, or for m of them.
        """
        return self._rows(self.closure, categories)

    @overload
    def descendants(self, categories: CategoryLike) -> Int32Array: ...
    @overload
    def descendants(self, categories: Iterable[CategoryLike] | NDArray[Any] | None = None) -> CSR: ...
    def descendants(self, categories: Any = None) -> Any:
        """All proper descendants, ascending.

        Parameters
        ----------
        categories : index, key, Category, or several of them, optional
            Default: all.

        Returns
        -------
        int32 array, or CSR [m]
            For one category, or for m of them.
        """
        return self._rows(self._descendants, categories)

    def _rows(self, relation: CSR, categories: Any) -> Any:
        if categories is None:
            return relation
        indices = self.index(categories)
        return relation[indices] if isinstance(indices, int) else relation.take(indices)

    @cached_property
    def closure(self) -> CSR:
        """Proper ancestors of every category, nearest first: a CSR of n rows."""
        return self._closure_and_distance[0]

    @cached_property
    def _closure_and_distance(self) -> tuple[CSR, Int32Array]:
        return ancestor_closure(self._parents)

    @cached_property
    def _descendants(self) -> CSR:
        return self.closure.transposed(len(self))

    def closure_matrix(self, *, include_self: bool = False) -> scipy.sparse.csr_array:
        """The closure as a boolean scipy matrix [n, n]: true at ``[i, j]`` if ``j`` is an ancestor of ``i``.

        Parameters
        ----------
        include_self : bool
            Whether a category counts as its own ancestor.
        """
        matrix = self.closure.to_scipy(len(self))
        if include_self:
            import scipy.sparse

            matrix = scipy.sparse.csr_array(matrix + scipy.sparse.eye_array(len(self), dtype=bool, format="csr"))
        return matrix

    @cached_property
    def _pairs(self) -> NDArray[np.int64]:
        """Sorted ``category * n + ancestor``: membership in the closure is a binary search."""
        return np.sort(self.closure.row_numbers * len(self) + self.closure.indices)

    @overload
    def is_ancestor(self, ancestor: CategoryLike, category: CategoryLike) -> bool: ...
    @overload
    def is_ancestor(self, ancestor: Any, category: Any) -> NDArray[np.bool_]: ...
    def is_ancestor(self, ancestor: Any, category: Any) -> Any:
        """Whether `ancestor` is a proper ancestor of `category`; sequences broadcast against each other."""
        above, below = self.index(ancestor), self.index(category)
        flat = np.asarray(below, np.int64) * len(self) + np.asarray(above, np.int64)
        at = np.searchsorted(self._pairs, flat)
        found = np.append(self._pairs, -1)[at] == flat
        return bool(found) if isinstance(above, int) and isinstance(below, int) else found

    @overload
    def depth(self, categories: CategoryLike, *, longest: bool = False) -> int: ...
    @overload
    def depth(
        self, categories: Iterable[CategoryLike] | NDArray[Any] | None = None, *, longest: bool = False
    ) -> Int32Array: ...
    def depth(self, categories: Any = None, *, longest: bool = False) -> Any:
        """Number of edges on the shortest path from a root; 0 for a root.

        Parameters
        ----------
        categories : index, key, Category, or several of them, optional
            Default: all.
        longest : bool
            Measure the longest path instead.

        Returns
        -------
        int, or int32 array [m]
            For one category, and for several.
        """
        depth = self._longest if longest else self._shortest
        if categories is None:
            return depth
        indices = self.index(categories)
        return int(depth[indices]) if isinstance(indices, int) else depth[indices]

    @cached_property
    def _shortest(self) -> Int32Array:
        return frozen(shortest_depth(self._parents, self._children))

    @overload
    def path_to_root(self, categories: CategoryLike) -> Int32Array: ...
    @overload
    def path_to_root(self, categories: Iterable[CategoryLike] | NDArray[Any]) -> CSR: ...
    def path_to_root(self, categories: Any) -> Any:
        """The path from a category up to a root along the main parents, the category itself first.

        Parameters
        ----------
        categories : index, key, Category, or several of them
            The categories to start from.

        Returns
        -------
        int32 array, or CSR [m]
            For one category, or for m of them.
        """
        indices = self.index(categories)
        if isinstance(indices, int):
            return self.path_to_root([indices])[0]
        main = np.full(len(self), -1, np.int32)
        has_parent = self._parents.lengths > 0
        main[has_parent] = self._parents.indices[self._parents.indptr[:-1][has_parent]]
        rows, at = [np.arange(len(indices))], [indices]
        while len(rows[-1]):
            above = main[at[-1]]
            rows.append(rows[-1][above >= 0])
            at.append(above[above >= 0])
        return CSR.from_pairs(np.concatenate(rows), np.concatenate(at), length=len(indices))

    def most_specific(self, labels: Iterable[CategoryLike] | NDArray[Any]) -> Int32Array:
        """Those of `labels` that are not an ancestor of another one, in their order, without repetition."""
        indices: Int32Array = np.atleast_1d(self.index(labels))
        indices = indices[np.sort(np.unique(indices, return_index=True)[1])]
        return indices[~np.isin(indices, self.closure.take(indices).indices)]

    def statistics(self) -> dict[str, int | float]:
        """Counts and measures of the hierarchy by name; depths are in edges."""
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

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over one line per category in index order: key, tab, indices of the parents."""
        return self._definition.fingerprint

    def __eq__(self, other: object) -> bool:
        """Same keys, parents and names."""
        if not isinstance(other, Relations):
            return NotImplemented
        return self.keys == other.keys and self._parents == other._parents and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        roots = ", ".join(self[int(i)].name for i in self.roots[:4]) + (", ..." if len(self.roots) > 4 else "")
        counts = f"{len(self)} categories, {len(self.leaves)} leaves, {len(self.roots)} roots"
        return f"<{type(self).__name__}: {counts} ({roots})>"
