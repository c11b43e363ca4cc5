"""Compressed sparse rows of indices, and the algorithms on a DAG in this form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import HierarchyError

if TYPE_CHECKING:
    import scipy.sparse

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CSR:
    """Rows of category indices, compressed: row ``i`` is ``indices[indptr[i]:indptr[i + 1]]``.

    Parameters
    ----------
    indptr : int64 array [rows + 1]
        Start of each row; the last entry is the number of indices.
    indices : int32 array [nnz]
        The concatenated rows.

    Examples
    --------
    >>> rows = CSR.from_rows([[3], [], [1, 2]])
    >>> len(rows), rows[2].tolist()
    (3, [1, 2])
    """

    indptr: Int64Array
    indices: Int32Array

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int] | Int32Array]) -> CSR:
        """Compress a sequence of rows.

        Raises
        ------
        HierarchyError
            If a row contains anything but integers that fit int32.
        """
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        entries = list(chain.from_iterable(rows))
        if not all(issubclass(kind, int | np.integer) and kind is not bool for kind in set(map(type, entries))) or (
            entries and not -(2**31) <= min(entries) <= max(entries) < 2**31
        ):
            wrong = next(each for each in entries if not _is_int32(each))
            raise HierarchyError(f"found {wrong!r} among the rows, expected integer indices below 2**31")
        return cls(indptr, np.array(entries, np.int32)).frozen()

    @classmethod
    def copied(cls, rows: CSR) -> CSR:
        """A checked, read-only copy of `rows`.

        Raises
        ------
        HierarchyError
            If the arrays are not flat integer arrays, an index does not fit int32, or the row pointers do not ascend
            from 0 to the number of indices.
        """
        indptr, indices = np.array(rows.indptr), np.array(rows.indices)
        if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu" or indptr.ndim != 1 or indices.ndim != 1:
            raise HierarchyError(
                f"found CSR arrays of {indptr.dtype} and {indices.dtype}, expected flat integer arrays"
            )
        if not len(indptr) or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
            raise HierarchyError(f"the CSR row pointers do not run from 0 up to the number of indices, {len(indices)}")
        if not _fits_int32(indices):
            raise HierarchyError(f"found the CSR index {indices.max()}, expected less than 2**31")
        return cls(indptr.astype(np.int64, copy=False), indices.astype(np.int32, copy=False)).frozen()

    @classmethod
    def from_pairs(cls, rows: NDArray[Any], values: NDArray[Any], *, length: int) -> CSR:
        """Group `values` by `rows`, both [nnz], into `length` rows; values keep their order within a row."""
        order = np.argsort(rows, kind="stable")
        indptr = np.zeros(length + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=length), out=indptr[1:])
        return cls(indptr, np.ascontiguousarray(values[order], np.int32)).frozen()

    def frozen(self) -> CSR:
        """Mark both arrays read-only and return self."""
        self.indptr.flags.writeable = False
        self.indices.flags.writeable = False
        return self

    @property
    def lengths(self) -> Int64Array:
        """Length of every row, int64 [rows]."""
        return np.diff(self.indptr)

    @property
    def row_numbers(self) -> Int64Array:
        """The row of every index, int64 [nnz]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> Int32Array:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        row %= len(self)
        return self.indices[self.indptr[row] : self.indptr[row + 1]]

    def __iter__(self) -> Iterator[Int32Array]:
        for start, stop in zip(self.indptr[:-1], self.indptr[1:], strict=True):
            yield self.indices[start:stop]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CSR):
            return NotImplemented
        return np.array_equal(self.indptr, other.indptr) and np.array_equal(self.indices, other.indices)

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: NDArray[Any]) -> CSR:
        """The given `rows`, int [m], in the given order: CSR [m]."""
        positions, indptr = self.positions(rows)
        return CSR(indptr, self.indices[positions]).frozen()

    def positions(self, rows: NDArray[Any]) -> tuple[Int64Array, Int64Array]:
        """Positions in `indices` of the entries of `rows`, int [m], and the row pointers [m + 1] of the result."""
        starts = self.indptr[rows]
        lengths = self.indptr[np.asarray(rows) + 1] - starts
        indptr = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        shift = np.repeat(starts - indptr[:-1], lengths)
        return shift + np.arange(indptr[-1], dtype=np.int64), indptr

    def transposed(self, columns: int) -> CSR:
        """CSR [`columns`] whose row ``j`` holds, ascending, the rows of self that contain ``j``."""
        return CSR.from_pairs(self.indices, self.row_numbers, length=columns)

    def to_scipy(self, columns: int) -> scipy.sparse.csr_array:
        """A boolean scipy matrix [rows, `columns`] with sorted indices."""
        import scipy.sparse

        matrix = scipy.sparse.csr_array(
            (np.ones(len(self.indices), bool), self.indices.copy(), self.indptr.copy()), shape=(len(self), columns)
        )
        matrix.sort_indices()
        return matrix


def _fits_int32(values: NDArray[Any]) -> bool:
    return not len(values) or (int(values.min()) >= -(2**31) and int(values.max()) < 2**31)


def _is_int32(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and -(2**31) <= int(value) < 2**31


def frozen(array: Int32Array) -> Int32Array:
    """Mark an array read-only and return it."""
    array.flags.writeable = False
    return array


def longest_depth(parents: CSR, children: CSR) -> Int32Array:
    """Edges on the longest path from a root, int32 [n]; -1 for a category on or below a cycle.

    Topological sorting (Kahn 1962), one layer at a time.
    """
    depth = np.full(len(parents), -1, np.int32)
    waiting = parents.lengths.copy()
    layer = np.flatnonzero(waiting == 0)
    level = 0
    while len(layer):
        depth[layer] = level
        reached, counts = np.unique(children.indices[children.positions(layer)[0]], return_counts=True)
        waiting[reached] -= counts
        layer = reached[waiting[reached] == 0]
        level += 1
    return depth


def shortest_depth(parents: CSR, children: CSR) -> Int32Array:
    """Edges on the shortest path from a root, int32 [n]."""
    depth = np.full(len(parents), -1, np.int32)
    layer: NDArray[Any] = np.flatnonzero(parents.lengths == 0)
    level = 0
    while len(layer):
        depth[layer] = level
        reached = np.unique(children.indices[children.positions(layer)[0]])
        layer = reached[depth[reached] < 0]
        level += 1
    return depth


def find_cycle(parents: CSR, depth: Int32Array) -> list[int]:
    """One cycle among the categories whose `depth` by `longest_depth` is -1, each a parent of the next."""
    stuck = depth < 0
    node = int(np.flatnonzero(stuck)[0])
    seen: dict[int, int] = {}
    path: list[int] = []
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        above = parents[node]
        node = int(above[stuck[above]][0])
    cycle = path[seen[node] :][::-1]  # the walk goes up; the cycle is given parent before child
    start = cycle.index(min(cycle))
    return cycle[start:] + cycle[:start]


def ancestor_closure(parents: CSR, *, barriers: NDArray[np.bool_] | None = None) -> tuple[CSR, Int32Array]:
    """All proper ancestors of every category, nearest first: CSR [n]; and, aligned with its indices, the edges on the
    shortest path up to each, int32 [nnz].

    Breadth-first search from all categories at once: step ``d`` finds the pairs (category, ancestor) whose shortest
    path has ``d`` edges, from the pairs of step ``d - 1``. Within a step the order is that of the parents. The search
    stops at the `barriers`, bool [n].
    """
    n = len(parents)
    many = bool((parents.lengths > 1).any())
    nodes = parents.row_numbers
    above = parents.indices.astype(np.int64)
    seen = np.sort(nodes * n + above) if many else np.empty(0, np.int64)
    found_nodes, found_above, found_distance = [nodes], [above], [np.ones(len(nodes), np.int32)]
    while len(nodes):
        if barriers is not None:
            nodes, above = nodes[~barriers[above]], above[~barriers[above]]
        positions, indptr = parents.positions(above)
        nodes = np.repeat(nodes, np.diff(indptr))
        above = parents.indices[positions].astype(np.int64)
        if many:  # several paths may lead to one ancestor: keep the first, as a queue would
            flat = nodes * n + above
            fresh = np.sort(np.unique(flat, return_index=True)[1])
            fresh = fresh[~_contains(seen, flat[fresh])]
            nodes, above = nodes[fresh], above[fresh]
            seen = np.sort(np.concatenate([seen, flat[fresh]]), kind="stable")
        found_nodes.append(nodes)
        found_above.append(above)
        found_distance.append(np.full(len(nodes), len(found_nodes), np.int32))
    all_nodes = np.concatenate(found_nodes)
    closure = CSR.from_pairs(all_nodes, np.concatenate(found_above), length=n)
    distance = CSR.from_pairs(all_nodes, np.concatenate(found_distance), length=n).indices
    return closure, distance


def _contains(sorted_values: Int64Array, values: Int64Array) -> NDArray[np.bool_]:
    """Whether each of `values` is among `sorted_values`."""
    if not len(sorted_values):
        return np.zeros(len(values), bool)
    at = np.searchsorted(sorted_values, values)
    at[at == len(sorted_values)] = 0
    return np.asarray(sorted_values[at] == values)
