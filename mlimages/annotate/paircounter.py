"""Counters of pairs: a dense matrix where one fits, sorted runs where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from mlimages.annotate import cooccurrencekernels as kernels
from mlimages.annotate.listcolumns import readonly

#: What the dense matrices of all threads together may take.
DENSE_BYTES = 256 << 20
#: Pairs that are listed before they are sorted.
_RUN_PAIRS = 4 << 20
#: Rows after which a cell of a dense matrix might no longer fit 32 bits.
_MOST_ROWS = 2**31 - 1

Run = tuple[NDArray[np.uint64], NDArray[np.int64]]


class Reduced(NamedTuple):
    """Rows of positions on an axis, each position once in a row."""

    offsets: NDArray[np.int32]  # [rows + 1]
    positions: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """What was counted.

    Parameters
    ----------
    counts : int64 csr_array [m, k]
        Rows of the table that have source and target.
    images, target_images : int64 array [m] and [k]
        Rows that have the source, and the target.
    rows : int
        All of them.
    """

    counts: scipy.sparse.csr_array
    images: NDArray[np.int64]
    target_images: NDArray[np.int64]
    rows: int

    def __add__(self, other: PairCounts) -> PairCounts:
        return PairCounts(
            self.counts + other.counts,
            self.images + other.images,
            self.target_images + other.target_images,
            self.rows + other.rows,
        )


class PairCounter(Protocol):
    """Counts pairs; one belongs to one thread."""

    def add(self, sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> None:
        """Count rows; `match` names each row's partner, -1 for none; empty where the rows stand side by side."""

    def result(self) -> PairCounts:
        """All that was added."""


def counters(sources: int, targets: int, threads: int) -> list[PairCounter]:
    """A counter for each thread; fewer where only so many matrices fit."""
    size = sources * targets * 4
    if size > DENSE_BYTES:
        return [RunCounter(sources, targets) for _ in range(threads)]
    return [DenseCounter(sources, targets) for _ in range(max(1, min(threads, DENSE_BYTES // max(1, size))))]


class DenseCounter:
    """Counts into a matrix of 32 bits a cell."""

    def __init__(self, sources: int, targets: int) -> None:
        self._matrix = np.zeros((sources, targets), np.int32)
        self._images = np.zeros(sources, np.int64)
        self._target_images = np.zeros(targets, np.int64)
        self._rows = 0
        self._added = 0
        self._earlier: PairCounts | None = None

    def add(self, sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> None:
        """Count rows; see :class:`PairCounter`."""
        rows = len(sources.offsets) - 1
        if self._added + rows > _MOST_ROWS:
            self._earlier = self.result()
            for array in (self._matrix, self._images, self._target_images):
                array[:] = 0
            self._rows = self._added = 0
        self._added += rows
        self._rows += kernels.count_dense(
            readonly(sources.offsets),
            readonly(sources.positions),
            readonly(targets.offsets),
            readonly(targets.positions),
            readonly(match),
            self._matrix.shape[1],
            self._matrix.reshape(-1),
            self._images,
            self._target_images,
        )

    def result(self) -> PairCounts:
        """All that was added."""
        sources, targets = self._matrix.shape
        indptr = np.empty(sources + 1, np.int64)
        kernels.count_nonzero(self._matrix, indptr)
        columns, data = np.empty(indptr[-1], np.int64), np.empty(indptr[-1], np.int64)
        kernels.take_nonzero(self._matrix, columns, data)
        found = PairCounts(
            scipy.sparse.csr_array((data, columns, indptr), shape=(sources, targets)),
            self._images.copy(),
            self._target_images.copy(),
            self._rows,
        )
        return found if self._earlier is None else self._earlier + found

    def absorb(self, other: DenseCounter) -> bool:
        """Take over what another counted, if a cell surely holds it; dense matrices add up faster than sparse ones."""
        if self._earlier is not None or other._earlier is not None or self._added + other._added > _MOST_ROWS:
            return False
        self._matrix += other._matrix
        self._images += other._images
        self._target_images += other._target_images
        self._rows += other._rows
        self._added += other._added
        return True


class RunCounter:
    """Lists pairs, sorts them, and merges sorted runs of similar length, so that each pair is merged seldom."""

    def __init__(self, sources: int, targets: int) -> None:
        self._shape = sources, targets
        self._pairs = np.empty(_RUN_PAIRS, np.uint64)
        self._runs: list[Run] = []
        self._images = np.zeros(sources, np.int64)
        self._target_images = np.zeros(targets, np.int64)
        self._rows = 0

    def add(self, sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> None:
        """Count rows; see :class:`PairCounter`."""
        row, rows = 0, len(sources.offsets) - 1
        offsets, positions, target_offsets, target_positions, partners = map(readonly, (*sources, *targets, match))
        while row < rows:
            row, written, counted = kernels.list_pairs(
                offsets,
                positions,
                target_offsets,
                target_positions,
                partners,
                row,
                self._shape[1],
                self._pairs,
                self._images,
                self._target_images,
            )
            self._rows += counted
            if written < 0:
                self._pairs = np.empty(-2 * written, np.uint64)
            elif written:
                self._push(np.sort(self._pairs[:written]))

    def _push(self, pairs: NDArray[np.uint64]) -> None:
        keys, counts = np.empty(len(pairs), np.uint64), np.empty(len(pairs), np.int64)
        length = kernels.run_lengths(pairs, keys, counts)
        self._runs.append((keys[:length].copy(), counts[:length].copy()))
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
            self._runs.append(_merged(self._runs.pop(), self._runs.pop()))

    def result(self) -> PairCounts:
        """All that was added."""
        while len(self._runs) > 1:
            self._runs.append(_merged(self._runs.pop(), self._runs.pop()))
        keys, counts = self._runs[0] if self._runs else (np.empty(0, np.uint64), np.empty(0, np.int64))
        sources, targets = self._shape
        rows, columns = np.divmod(keys.astype(np.int64), max(1, targets))
        indptr = np.zeros(sources + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=sources), out=indptr[1:])
        matrix = scipy.sparse.csr_array((counts, columns, indptr), shape=self._shape)
        return PairCounts(matrix, self._images, self._target_images, self._rows)


def _merged(a: Run, b: Run) -> Run:
    keys, counts = np.empty(len(a[0]) + len(b[0]), np.uint64), np.empty(len(a[0]) + len(b[0]), np.int64)
    length = kernels.merge_runs(*a, *b, keys, counts)
    return keys[:length].copy(), counts[:length].copy()


def total(counted: list[PairCounter]) -> PairCounts:
    """What several counters counted together."""
    first, *others = counted
    left = [
        each
        for each in others
        if not (isinstance(first, DenseCounter) and isinstance(each, DenseCounter) and first.absorb(each))
    ]
    result = first.result()
    for each in left:
        result += each.result()
    return result
