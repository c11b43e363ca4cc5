"""Counting pairs over two tables: row by row where their images are in the same order, joined by name where not."""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import NamedTuple

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
from mlimages.annotate.labels.columns import GivenLabels
from mlimages.errors import LabelError, TableError
from mlimages.job.engines import EngineName, engine_named
from mlimages.job.local import run_in_threads
from mlimages.job.task import Calls
from mlimages.storage.arrow import readonly
from mlimages.storage.rows import Rows

_SIDE_BY_SIDE = readonly(np.empty(0, np.int32))
_PIECES = 4  # for each worker where the counts travel


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two tables: its rows, and which of their labels count.

    Parameters
    ----------
    name : str
        How error messages name it.
    rows : Rows
        The rows.
    values : str
        The column of their confidences or scores.
    threshold : float
        A label counts where its value is above this.
    allowed : int, optional
        A bit set for each origin that counts; by default all count.
    axis : int32 array [n]
        Position of each category, or -1.
    positions : int
        The number of positions.
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
        short = "labels" in batch.schema.names and batch.column("labels").type == pa.list_(pa.int16())
        scored = GivenLabels.scored(batch, self.values, labels=pa.int16() if short else pa.int32())
        offsets = np.empty(batch.num_rows + 1, np.int32)
        positions = np.empty(int(scored.offsets[-1] - scored.offsets[0]), np.int32)
        origins = scored.origins if self.allowed is not None else scored.origins[:0]
        kept = self.threshold, origins, self.allowed or 0, self.axis, self.positions
        wrong = kernels.reduce(*scored[1:4], *kept, offsets, positions)
        if wrong >= 0:
            row = int(np.searchsorted(scored.offsets, wrong, side="right")) - 1
            raise LabelError(
                f"{self.name}, row {first_row + row} ({scored.image[row].as_py()!r}): found the label "
                f"{scored.labels[wrong]}, expected 0 to {len(self.axis) - 1}"
            )
        return scored.image, Reduced(offsets, positions[: offsets[-1]])


Unit = tuple[int, int]  # the first row, and the one after the last


def count_pairs(
    sides: tuple[Side, Side],
    *,
    engine: EngineName = "local",
    workers: int,
    sizes: CountingSizes = DEFAULT_SIZES,
    progress: Callable[[int, int], None] | None,
) -> tuple[PairCounts, tuple[int, int]]:
    """Count the pairs of the rows that both tables have; return also how many rows of each the other lacks.

    Rows are compared by number first: batch by batch their names must be the same. From the first batch on that
    differs, the rest of a unit is joined by name, on this machine whatever the `engine`. `progress` is called with the
    number of rows compared and the number to compare.

    Raises
    ------
    TableError
        If the tables are in different orders and an image has several rows in one of them.
    LabelError
        For a label that is not a category.
    """
    here = _Counting(sides, sizes, workers)
    shared = min(len(side.rows) for side in sides)
    if engine == "local":
        compared = run_in_threads(Calls(here.side_by_side), _cut(0, shared, sizes.unit_rows), here.threads)
    else:  # the counts of each piece travel, so there are few
        pieces = _cut(0, shared, max(sizes.unit_rows, -(-shared // (_PIECES * workers))))
        compared = engine_named(engine)(Calls(partial(_count_apart, sides, sizes)), pieces, workers)
    apart: list[PairCounts] = []
    left: list[Unit] = []
    rows = 0
    for each in compared:
        apart += [] if each.counts is None else [each.counts]
        left += each.left
        rows += each.rows
        if progress is not None:
            progress(rows, shared)
    unmatched = here.join(sorted(left)) if left or len(sides[0].rows) != len(sides[1].rows) else (0, 0)
    return reduce(add, apart, here.total()), unmatched


class _Compared(NamedTuple):
    """Result of comparing rows: their number, those whose names differ, and the counts if they are sent back."""

    rows: int
    left: list[Unit]
    counts: PairCounts | None = None


def _count_apart(sides: tuple[Side, Side], sizes: CountingSizes, piece: Unit) -> _Compared:
    """Compare and count a piece by itself, in any process."""
    counting = _Counting(sides, sizes, 1)
    left = [rest for unit in _cut(*piece, sizes.unit_rows) for rest in counting.side_by_side(unit).left]
    return _Compared(piece[1] - piece[0], left, counting.total())


class _Counting:
    """The counters of this process, of which each thread takes one at a time."""

    def __init__(self, sides: tuple[Side, Side], sizes: CountingSizes, threads: int) -> None:
        self._sides = sides
        self._unit_rows = sizes.unit_rows
        self._counters = counters(sides[0].positions, sides[1].positions, threads, sizes)
        self.threads = len(self._counters)
        self._free: queue.SimpleQueue[PairCounter] = queue.SimpleQueue()
        for counter in self._counters:
            self._free.put(counter)

    @contextmanager
    def _counter(self) -> Iterator[PairCounter]:
        counter = self._free.get()
        try:
            yield counter
        finally:
            self._free.put(counter)

    def total(self) -> PairCounts:
        """All that was counted here."""
        with ThreadPoolExecutor(self.threads) as pool:
            return total(self._counters, pool)

    def side_by_side(self, unit: Unit) -> _Compared:
        """Count a unit while the names are the same."""
        row, stop = start, _ = unit
        with self._counter() as counter:
            for batches in _aligned(*(side.rows.read(row, stop) for side in self._sides)):
                (images, sources), (others, targets) = (
                    side.reduce(batch, row) for side, batch in zip(self._sides, batches, strict=True)
                )
                if not images.equals(others):
                    return _Compared(stop - start, [(row, stop)])
                counter.add(sources, targets, _SIDE_BY_SIDE)
                row += batches[0].num_rows
        return _Compared(stop - start, [])

    def join(self, left: list[Unit]) -> tuple[int, int]:
        """Count the rows that are left, joined by name; return how many rows of each table the other lacks."""
        shared = min(len(side.rows) for side in self._sides)
        largest = max(sum(stop - start for start, stop in left), 1)
        with tempfile.TemporaryDirectory(prefix="mlimages-join-") as folder:
            join = NameJoin(Path(folder), largest + max(len(side.rows) for side in self._sides) - shared)
            pieces = [(table, *unit) for unit in left for table in (0, 1)]
            for table, side in enumerate(self._sides):
                pieces += [(table, *unit) for unit in _cut(shared, len(side.rows), self._unit_rows)]

            def collect(piece: tuple[int, int, int]) -> None:
                table, row, stop = piece
                for batch in self._sides[table].rows.read(row, stop):
                    join.add(table, *self._sides[table].reduce(batch, row), row)
                    row += batch.num_rows

            def count(bucket: int) -> int:
                with self._counter() as counter:
                    return join.count(bucket, counter)

            for _ in run_in_threads(Calls(collect), pieces, self.threads):
                pass
            try:
                matched = sum(run_in_threads(Calls(count), range(join.buckets), self.threads))
            except Twice as twice:
                raise self._twice(twice) from None
            return join.rows[0] - matched, join.rows[1] - matched

    def _twice(self, twice: Twice) -> TableError:
        side = self._sides[twice.table]
        image = next(side.rows.read(twice.row, twice.row + 1)).column("image")[0].as_py()
        return TableError(
            f"{side.name}: the image {image!r} has several rows (one is row {twice.row}), expected one: tables "
            "that are not in the same order are joined by name; mlimages merge joins the rows of an image"
        )


def _cut(start: int, stop: int, size: int) -> list[Unit]:
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
