"""Rows of different lengths in two arrays, and the array algorithms of a DAG that is kept so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
        Where each row begins; the last entry is the number of indices.
    indices : int32 array [nnz]
        The rows, one after another.

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
        """Compress a sequence of rows."""
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        flat = [np.asarray(row, np.int32) for row in rows if len(row)]
        return cls(indptr, np.concatenate(flat) if flat else np.empty(0, np.int32)).frozen()

    @classmethod
    def from_pairs(cls, rows: NDArray[Any], values: NDArray[Any], *, length: int) -> CSR:
        """Group `values` by `rows`, both [nnz], into `length` rows; values keep their order in a row."""
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
        """The given rows, int [m], in the given order."""
        positions, indptr = self.positions(rows)
        return CSR(indptr, self.indices[positions]).frozen()

    def positions(self, rows: NDArray[Any]) -> tuple[Int64Array, Int64Array]:
        """Where the entries of the given rows stand in `indices`, and the row pointers of what they make."""
        starts = self.indptr[rows]
        lengths = self.indptr[np.asarray(rows) + 1] - starts
        indptr = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        shift = np.repeat(starts - indptr[:-1], lengths)
        return shift + np.arange(indptr[-1], dtype=np.int64), indptr

    def transposed(self, columns: int) -> CSR:
        """Row ``j`` of the result holds, ascending, the rows of self that hold ``j``."""
        return CSR.from_pairs(self.indices, self.row_numbers, length=columns)

    def to_scipy(self, columns: int) -> scipy.sparse.csr_array:
        """The same as a boolean scipy matrix [rows, columns], columns ascending in each row."""
        import scipy.sparse

        matrix = scipy.sparse.csr_array(
            (np.ones(len(self.indices), bool), self.indices.copy(), self.indptr.copy()), shape=(len(self), columns)
        )
        matrix.sort_indices()
        return matrix


def frozen(array: Int32Array) -> Int32Array:
    """Mark an array read-only and return it."""
    array.flags.writeable = False
    return array


def longest_depth(parents: CSR, children: CSR) -> Int32Array:
    """Edges on the longest path from a root, int32 [n]; -1 for a category on or below a cycle.

    Layers are peeled off (Kahn 1962), a whole layer at a time.
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
    layer = np.flatnonzero(parents.lengths == 0)
    level = 0
    while len(layer):
        depth[layer] = level
        reached = np.unique(children.indices[children.positions(layer)[0]])
        layer = reached[depth[reached] < 0]
        level += 1
    return depth


def find_cycle(parents: CSR, depth: Int32Array) -> list[int]:
    """One cycle among the categories that `longest_depth` could not reach, each a parent of the next."""
    stuck = depth < 0
    node = int(np.flatnonzero(stuck)[0])
    seen: dict[int, int] = {}
    path: list[int] = []
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        above = parents[node]
        node = int(above[stuck[above]][0])
    cycle = path[seen[node] :][::-1]  # the walk goes up; a reader expects parent before child
    start = cycle.index(min(cycle))
    return cycle[start:] + cycle[:start]


def ancestor_closure(parents: CSR) -> tuple[CSR, Int32Array]:
    """All proper ancestors of every category, nearest first, and how many edges up each is.

    Breadth first from all categories at once: step ``d`` holds the pairs (category, ancestor) whose shortest path
    has ``d`` edges, found from the pairs of step ``d - 1``. Within a step the order is that of the parents.

    Returns
    -------
    closure : CSR [n]
        Row ``i`` holds the ancestors of ``i``.
    distance : int32 array [nnz]
        Edges on the shortest path from ``i`` up to each.
    """
    n = len(parents)
    many = bool((parents.lengths > 1).any())
    nodes = parents.row_numbers
    above = parents.indices.astype(np.int64)
    seen = np.sort(nodes * n + above) if many else np.empty(0, np.int64)
    found_nodes, found_above, found_distance = [nodes], [above], [np.ones(len(nodes), np.int32)]
    while len(nodes):
        positions, indptr = parents.positions(above)
        nodes = np.repeat(nodes, np.diff(indptr))
        above = parents.indices[positions].astype(np.int64)
        if many:  # two paths may lead to one ancestor: keep the first, as a breadth-first walk would
            flat = nodes * n + above
            fresh = np.sort(np.unique(flat, return_index=True)[1])
            fresh = fresh[~_contains(seen, flat[fresh])]
            nodes, above = nodes[fresh], above[fresh]
            seen = np.sort(np.concatenate([seen, flat[fresh]]), kind="stable")
        found_nodes.append(nodes)
        found_above.append(above)
        found_distance.append(np.full(len(nodes), len(found_nodes), np.int32))
    all_nodes = np.concatenate(found_nodes)
    order = np.argsort(all_nodes, kind="stable")
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(all_nodes, minlength=n), out=indptr[1:])
    closure = CSR(indptr, np.concatenate(found_above)[order].astype(np.int32)).frozen()
    distance = np.concatenate(found_distance)[order]
    distance.flags.writeable = False
    return closure, distance


def _contains(sorted_values: Int64Array, values: Int64Array) -> NDArray[np.bool_]:
    """Whether each of `values` is among `sorted_values`."""
    if not len(sorted_values):
        return np.zeros(len(values), bool)
    at = np.searchsorted(sorted_values, values)
    at[at == len(sorted_values)] = 0
    return np.asarray(sorted_values[at] == values)
