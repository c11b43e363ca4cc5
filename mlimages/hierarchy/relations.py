"""How the categories of a hierarchy relate: the queries that need only indices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR, Int32Array, ancestor_closure, frozen, shortest_depth

if TYPE_CHECKING:
    import scipy.sparse


class Relations(ABC):
    """The relations of a :class:`Hierarchy`, which brings the arrays and :meth:`index`.

    Wherever a query takes a category it takes an index, a key or a :class:`Category`. One category gives an int32
    array of indices; a sequence of them is answered at once and gives a :class:`CSR`, a row for each.
    """

    _parents: CSR
    _children: CSR
    _longest: Int32Array

    def __len__(self) -> int:
        return len(self._parents)

    @abstractmethod
    def index(self, categories: Any) -> Any:
        """Index of a category, or int32 array [m] of several; the hierarchy knows the keys."""

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
        """All indices, every parent before its children: by longest depth, then by index. int32 [n]."""
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
            All where none is given.

        Returns
        -------
        int32 array, or CSR of a row each
            For one category, and for several.
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
            All where none is given.

        Returns
        -------
        int32 array, or CSR of a row each
            For one category, and for several.
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
            All where none is given.

        Returns
        -------
        int32 array, or CSR of a row each
            For one category, and for several.
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
            All where none is given.

        Returns
        -------
        int32 array, or CSR of a row each
            For one category, and for several.
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
        """The closure as a boolean scipy matrix [n, n]: true at ``[i, j]`` where ``j`` is an ancestor of ``i``.

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
        """Edges on the shortest path from a root, which has 0 itself.

        Parameters
        ----------
        categories : index, key, Category, or several of them, optional
            All where none is given.
        longest : bool
            Of the longest path instead.

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
        """The categories from one up to a root along the main parents, itself first.

        Parameters
        ----------
        categories : index, key, Category, or several of them
            Where to begin.

        Returns
        -------
        int32 array, or CSR of a row each
            For one category, and for several.
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
        """Those of `labels` that are no ancestor of another of them, in their order, each once."""
        indices: Int32Array = np.atleast_1d(self.index(labels))
        indices = indices[np.sort(np.unique(indices, return_index=True)[1])]
        return indices[~np.isin(indices, self.closure.take(indices).indices)]

    # Similarity ---------------------------------------------------------------------------------------------------

    def lowest_common_ancestors(self, a: Any, b: Any) -> Any:
        """Common ancestors (a category counts as its own) that have no common ancestor below them.

        Parameters
        ----------
        a, b : index, key, Category, or several of them
            Sequences broadcast against each other.

        Returns
        -------
        int32 array, or CSR of a row each
            For two categories, ascending: empty in different trees, several in a DAG; and for several.
        """
        from mlimages.hierarchy.similarity import lowest_common_ancestors

        return lowest_common_ancestors(self, a, b)

    def path_similarity(self, a: Any, b: Any) -> Any:
        """``1 / (1 + d)``, d the edges on the shortest path through a common ancestor; 0 where there is none.

        Parameters
        ----------
        a, b : index, key, Category, or several of them
            Sequences broadcast against each other.

        Returns
        -------
        float, or float64 array
            For two categories, and for several.
        """
        from mlimages.hierarchy.similarity import path_similarity

        return path_similarity(self, a, b)

    def wup_similarity(self, a: Any, b: Any) -> Any:
        """Wu and Palmer's similarity (1994) of `a` and `b`: :func:`mlimages.hierarchy.similarity.wup_similarity`."""
        from mlimages.hierarchy.similarity import wup_similarity

        return wup_similarity(self, a, b)
