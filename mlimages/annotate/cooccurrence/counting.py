"""Counting over two tables: side by side where their images stand in the same order, joined by name where not."""

from __future__ import annotations

import os
import queue
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.cooccurrence import paircounterkernels as kernels
from mlimages.annotate.cooccurrence.namejoin import NameJoin, Twice
from mlimages.annotate.cooccurrence.paircounter import (
    DEFAULT_SIZES,
    CountingSizes,
    PairCounter,
    PairCounts,
    Reduced,
    counters,
    total,
)
from mlimages.annotate.labels.columns import ScoredLabels
from mlimages.errors import LabelError, TableError
from mlimages.storage.arrow import readonly, same_images
from mlimages.storage.rows import Rows

_SIDE_BY_SIDE = readonly(np.empty(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two tables: its rows, and which of their labels count.

    Parameters
    ----------
    name : str
        What messages call it.
    rows : Rows
        The rows.
    values : str
        The column that belongs to its labels.
    threshold : float
        A label counts where its value is above this.
    allowed : int, optional
        Set bits are the origins that count; all do by default.
    axis : int32 array [n]
        Position of each category, -1 where it has none.
    positions : int
        How many there are.
    """

    name: str
    rows: Rows
    values: str
    threshold: float
    allowed: int | None
    axis: NDArray[np.int32]
    positions: int

    def reduce(self, batch: pa.RecordBatch, first_row: int) -> tuple[pa.StringArray, Reduced]:
        """The images of a batch, and the positions of their labels."""
        scored = ScoredLabels.of(batch, self.values)
        offsets = np.empty(batch.num_rows + 1, np.int32)
        positions = np.empty(int(scored.offsets[-1] - scored.offsets[0]), np.int32)
        origins = scored.origins if self.allowed is not None else scored.origins[:0]
        wrong = kernels.reduce(
            scored.offsets,
            scored.labels,
            scored.values,
            self.threshold,
            origins,
            self.allowed or 0,
            self.axis,
            self.positions,
            offsets,
            positions,
        )
        if wrong >= 0:
            row = int(np.searchsorted(scored.offsets, wrong, side="right")) - 1
            raise LabelError(
                f"{self.name}, row {first_row + row} ({scored.image[row].as_py()!r}): found the label "
                f"{scored.labels[wrong]}, expected 0 to {len(self.axis) - 1}"
            )
        return scored.image, Reduced(offsets, positions[: offsets[-1]])


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts, and the rows of each table that had no partner in the other."""

    counts: PairCounts
    unmatched: tuple[int, int]


def count_pairs(
    sides: tuple[Side, Side],
    *,
    workers: int | None,
    sizes: CountingSizes = DEFAULT_SIZES,
    progress: Callable[[int, int], None] | None,
) -> Counted:
    """Count the pairs of the rows that both tables have.

    Rows are compared by number first: batch by batch their names must be the same. From the first batch on that
    differs, the rest of a unit is joined by name. `progress` is told the rows compared and those to compare.

    Raises
    ------
    TableError
        Where the tables are not in the same order and an image stands twice in one of them.
    LabelError
        For a label that is no category.
    """
    workers = workers or len(os.sched_getaffinity(0))
    counting = counters(sides[0].positions, sides[1].positions, workers, sizes)
    free: queue.SimpleQueue[PairCounter] = queue.SimpleQueue()
    for counter in counting:
        free.put(counter)
    run = _Run(sides, free, sizes.unit_rows)
    units = run.units()
    left = []
    with ThreadPoolExecutor(len(counting)) as pool:
        for unit, rest in zip(units, _each(pool, run.side_by_side, units), strict=True):
            if rest is not None:
                left.append(rest)
            if progress is not None:
                progress(unit[1], units[-1][1])
        unmatched = run.join(pool, left) if left or len(sides[0].rows) != len(sides[1].rows) else (0, 0)
        return Counted(total(counting, pool), unmatched)


def _each(pool: ThreadPoolExecutor, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
    """Results in order; after an error nothing more is begun."""
    futures = [pool.submit(function, each) for each in arguments]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


@dataclass(frozen=True, slots=True)
class _Run:
    sides: tuple[Side, Side]
    free: queue.SimpleQueue[PairCounter]
    unit_rows: int

    def units(self) -> list[tuple[int, int]]:
        """The rows that both tables have numbers for, in pieces."""
        shared = min(len(side.rows) for side in self.sides)
        return _cut(0, shared, self.unit_rows)

    def side_by_side(self, unit: tuple[int, int]) -> tuple[int, int] | None:
        """Count a unit while the names are the same; return the rows that are left."""
        row, stop = unit
        counter = self.free.get()
        try:
            pairs = _aligned(*(side.rows.read(row, stop) for side in self.sides))
            for batches in pairs:
                (images, sources), (others, targets) = (
                    side.reduce(batch, row) for side, batch in zip(self.sides, batches, strict=True)
                )
                if not same_images(images, others):
                    return row, stop
                counter.add(sources, targets, _SIDE_BY_SIDE)
                row += batches[0].num_rows
            return None
        finally:
            self.free.put(counter)

    def join(self, pool: ThreadPoolExecutor, left: list[tuple[int, int]]) -> tuple[int, int]:
        """Count the rows that are left by name; return how many of each table had no partner."""
        shared = min(len(side.rows) for side in self.sides)
        largest = max(sum(stop - start for start, stop in left), 1)
        with tempfile.TemporaryDirectory(prefix="mlimages-join-") as folder:
            join = NameJoin(Path(folder), largest + max(len(side.rows) for side in self.sides) - shared)
            pieces = [(table, *unit) for unit in left for table in (0, 1)]
            for table, side in enumerate(self.sides):
                pieces += [(table, *unit) for unit in _cut(shared, len(side.rows), self.unit_rows)]

            def collect(piece: tuple[int, int, int]) -> None:
                table, row, stop = piece
                for batch in self.sides[table].rows.read(row, stop):
                    join.add(table, *self.sides[table].reduce(batch, row), row)
                    row += batch.num_rows

            def count(bucket: int) -> int:
                counter = self.free.get()
                try:
                    return join.count(bucket, counter)
                finally:
                    self.free.put(counter)

            for _ in _each(pool, collect, pieces):
                pass
            try:
                matched = sum(_each(pool, count, range(join.buckets)))
            except Twice as twice:
                raise self._twice(twice) from None
            return join.rows[0] - matched, join.rows[1] - matched

    def _twice(self, twice: Twice) -> TableError:
        side = self.sides[twice.table]
        image = next(side.rows.read(twice.row, twice.row + 1)).column("image")[0].as_py()
        return TableError(
            f"{side.name}: the image {image!r} has several rows (one is row {twice.row}), expected one: tables "
            "that are not in the same order are joined by name; mlimages merge joins the rows of an image"
        )


def _cut(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """The rows ``[start, stop)`` in pieces of `size`, each as its first row and the one after its last."""
    return [(at, min(stop, at + size)) for at in range(start, stop, size)]


def _aligned(
    a: Iterator[pa.RecordBatch], b: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Both in batches of the same rows."""
    left, right = next(a, None), next(b, None)
    while left is not None and right is not None:
        rows = min(left.num_rows, right.num_rows)
        yield left.slice(0, rows), right.slice(0, rows)
        left = left.slice(rows) if left.num_rows > rows else next(a, None)
        right = right.slice(rows) if right.num_rows > rows else next(b, None)
