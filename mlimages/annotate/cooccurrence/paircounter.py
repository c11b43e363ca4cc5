"""Counters of pairs: a dense matrix where one fits, sorted runs where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from mlimages.annotate.cooccurrence import paircounterkernels as kernels
from mlimages.storage.arrow import offsets_of, readonly

#: A cell of 16 bits carries at this count; it counts no more than the images of its source, or of its target.
CARRIES_AT = 1 << 16
#: Lines of a dense matrix that a thread turns into sparse ones at a time.
_BAND = 1024

Run = tuple[NDArray[np.uint64], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class CountingSizes:
    """Sizes of the units of counting; the result does not depend on them.

    Parameters
    ----------
    unit_rows : int
        Rows that a thread takes at a time.
    dense_bytes : int
        Limit on the dense matrices of all threads together, at 6 bytes per cell; pairs of more categories are
        sorted instead.
    run_pairs : int
        Pairs that are listed before they are sorted.
    """

    unit_rows: int = 1 << 18
    dense_bytes: int = 384 << 20
    run_pairs: int = 4 << 20


DEFAULT_SIZES = CountingSizes()


class Reduced(NamedTuple):
    """Rows of positions on an axis, each position once in a row."""

    offsets: NDArray[np.int32]  # [rows + 1]
    positions: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Rows that have a source and a target [m, k], the source [m], and the target [k], of `rows` counted."""

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
    """Counts pairs for one thread; :func:`total` adds up several counters."""

    def add(self, sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> None:
        """Count rows; `match` [rows] is the row of `targets` of each, -1 for none; empty: the same rows."""


def _readonly_rows(sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> tuple[Any, Any, Any, Any, Any]:
    offsets, positions, target_offsets, target_positions, partners = map(readonly, (*sources, *targets, match))
    return offsets, positions, target_offsets, target_positions, partners


def counters(sources: int, targets: int, threads: int, sizes: CountingSizes = DEFAULT_SIZES) -> list[PairCounter]:
    """A counter for each thread; fewer if not that many dense matrices fit."""
    size = sources * targets * 6
    if size > sizes.dense_bytes:
        return [RunCounter(sources, targets, sizes.run_pairs) for _ in range(threads)]
    return [DenseCounter(sources, targets) for _ in range(max(1, min(threads, sizes.dense_bytes // max(1, size))))]


class DenseCounter:
    """Counts into a matrix of 16 bits per cell, which carry into one of 32 bits.

    Few cells ever carry, and memory that nothing is written to takes no room: so half as much of it is fetched and
    written for each pair.
    """

    def __init__(self, sources: int, targets: int) -> None:
        self._low = np.zeros((sources, targets), np.uint16)
        self._high = np.zeros((sources, targets), np.int32)
        self._images = np.zeros(sources, np.int64)
        self._target_images = np.zeros(targets, np.int64)
        self._rows = 0

    def add(self, sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> None:
        """Count rows; see :class:`PairCounter`."""
        rows = _readonly_rows(sources, targets, match)
        cells = self._low.reshape(-1), self._high.reshape(-1)
        self._rows += kernels.count_dense(*rows, self._low.shape[1], *cells, self._images, self._target_images)

    def result(self, pool: Executor) -> PairCounts:
        """The counts; a pool shares the work."""
        sources, targets = self._low.shape
        found = np.empty(sources, np.int64)
        bands = self._bands()
        list(pool.map(lambda band: kernels.count_nonzero(self._low[band], self._carried(band), found[band]), bands))
        indptr = offsets_of(found)
        columns, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int64)

        def take(band: slice) -> None:
            kernels.take_nonzero(self._low[band], self._carried(band), columns, data, int(indptr[band.start]))

        list(pool.map(take, bands))
        return PairCounts(
            scipy.sparse.csr_array((data, columns, indptr), shape=(sources, targets)),
            self._images.copy(),
            self._target_images.copy(),
            self._rows,
        )

    def absorb(self, other: DenseCounter, pool: Executor) -> None:
        """Add the counts of another counter: dense matrices add up faster than sparse ones."""

        def add(band: slice) -> None:
            cells = self._low[band], self._high[band], other._low[band], other._carried(band)
            kernels.add_cells(*(each.reshape(-1) for each in cells))

        list(pool.map(add, self._bands()))
        self._images += other._images
        self._target_images += other._target_images
        self._rows += other._rows

    def _carried(self, band: slice) -> NDArray[np.int32]:
        """What cells carried; no rows where none can have, so that this memory is not read."""
        possible = min(self._images[band].max(initial=0), self._target_images.max(initial=0)) >= CARRIES_AT
        return self._high[band] if possible else self._high[:0]

    def _bands(self) -> list[slice]:
        rows = len(self._low)
        return [slice(start, min(rows, start + _BAND)) for start in range(0, rows, _BAND)]


class RunCounter:
    """Lists pairs, sorts them, and merges sorted runs of similar length, so that each pair is merged few times."""

    def __init__(self, sources: int, targets: int, run_pairs: int) -> None:
        self._shape = sources, targets
        self._pairs = np.empty(run_pairs, np.uint64)
        self._runs: list[Run] = []
        self._images = np.zeros(sources, np.int64)
        self._target_images = np.zeros(targets, np.int64)
        self._rows = 0

    def add(self, sources: Reduced, targets: Reduced, match: NDArray[np.int32]) -> None:
        """Count rows; see :class:`PairCounter`."""
        row, rows = 0, len(sources.offsets) - 1
        arrays = _readonly_rows(sources, targets, match)
        while row < rows:
            out = self._pairs, self._images, self._target_images
            row, written, counted = kernels.list_pairs(*arrays, row, self._shape[1], *out)
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
        """The counts."""
        while len(self._runs) > 1:
            self._runs.append(_merged(self._runs.pop(), self._runs.pop()))
        keys, counts = self._runs[0] if self._runs else (np.empty(0, np.uint64), np.empty(0, np.int64))
        sources, targets = self._shape
        rows, columns = np.divmod(keys.astype(np.int64), max(1, targets))
        indptr = offsets_of(np.bincount(rows, minlength=sources), np.int64)
        matrix = scipy.sparse.csr_array((counts, columns, indptr), shape=self._shape)
        return PairCounts(matrix, self._images, self._target_images, self._rows)


def _merged(a: Run, b: Run) -> Run:
    keys, counts = np.empty(len(a[0]) + len(b[0]), np.uint64), np.empty(len(a[0]) + len(b[0]), np.int64)
    length = kernels.merge_runs(*a, *b, keys, counts)
    return keys[:length].copy(), counts[:length].copy()


def total(counted: Sequence[PairCounter], pool: Executor) -> PairCounts:
    """The sum of several counters of one kind; the pool, which must be idle, shares the work."""
    first, *others = counted
    if isinstance(first, DenseCounter):
        for each in others:
            assert isinstance(each, DenseCounter)
            first.absorb(each, pool)
        return first.result(pool)
    runs = [each.result() for each in counted if isinstance(each, RunCounter)]
    return reduce(add, runs)
