"""Merging tables: one row for every image."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.sources.source import Report
from mlimages.annotate.tables.annotations import AnnotationTable, TableLike, as_table
from mlimages.annotate.tables.derive import Run, derive
from mlimages.annotate.tables.union import unite
from mlimages.errors import MlimagesError, TableError
from mlimages.job.engines import EngineName
from mlimages.kernels import load_kernels
from mlimages.storage.arrow import readonly
from mlimages.storage.batches import rebatched
from mlimages.storage.names import FirstRows

if TYPE_CHECKING:
    from mlimages.job.job import Progress

#: Rows of the result whose joining rows one file holds; more where there would be too many files.
_BUCKET_ROWS = 1 << 17
_MOST_BUCKETS = 500


def merge(
    tables: Sequence[TableLike],
    out: str | os.PathLike[str],
    *,
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> AnnotationTable:
    """Merge tables into one in which every image has one row.

    The rows come in the order of the tables. An image that has several rows, in one table or in several, keeps the
    first, which is joined by the labels of the others: the result is what annotating all given labels together would
    have made. So the confidence of a label that several rows hold is the largest (the first, where the tables were
    propagated so), one that any row was given counts as given, and a present label beats a verified absence, together
    with the absences that flowed down from it.

    Parameters
    ----------
    tables : sequence of AnnotationTable or path-like
        At least two, of the same hierarchy and propagation.
    out : path-like
        Folder of the new table, new or empty.
    engine, workers, resume, progress
        As those of :func:`mlimages.annotate.pipeline.annotate`.

    Returns
    -------
    AnnotationTable
        The new table. Its manifest counts the ``rows_joined`` to others and the ``absences_beaten``.

    Raises
    ------
    TableError
        If the tables differ in hierarchy or propagation.
    MlimagesError
        If there are fewer than two tables, or one is given twice.
    JobError
        If `out` is not empty, or the job to resume was begun with other inputs or options.

    Notes
    -----
    Memory is bounded by a part of the table. Temporary files, in the folder that ``TMPDIR`` names, take 16 bytes per
    row and, where images have several rows, those that join others. With Ray that folder is made beside `out`, where
    every node sees it.
    """
    opened = [as_table(table) for table in tables]
    _check(opened)
    load_kernels("mlimages.annotate.tables.unionkernels", "mlimages.storage.nameskernels")
    with tempfile.TemporaryDirectory(prefix="mlimages-merge-", dir=_shared(out) if engine == "ray" else None) as folder:
        run = Run(engine, workers, resume, progress)
        return derive(opened, out, merging_tasks(opened, Path(folder)), run, operation="merge", options={})


def _shared(out: str | os.PathLike[str]) -> Path:
    """The folder that `out` is in, which is made where it is missing."""
    parent = Path(out).absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def _check(tables: list[AnnotationTable]) -> None:
    if len(tables) < 2:
        raise MlimagesError(f"found {len(tables)} tables to merge, expected at least 2")
    folders = [table.folder.resolve() for table in tables]
    for table, folder in zip(tables, folders, strict=True):
        if folders.count(folder) > 1:
            raise MlimagesError(f"{table.folder}: named twice")
        first = tables[0]
        table.check_hierarchy(first.hierarchy)
        ours, theirs = (each.manifest.metadata["propagation"] for each in (table, first))
        if ours != theirs:
            raise TableError(
                f"{table.folder}: its propagation is {ours}, that of {first.folder} is {theirs}: annotate both alike"
            )


@dataclass(frozen=True, slots=True)
class _Joins:
    """The rows that are joined to others, in files by the row they are joined to."""

    folder: Path
    rows: int  # of the result that one file covers
    schema: pa.Schema  # of the files: the columns of a table, and ``first``

    def path(self, bucket: int) -> Path:
        """File of a bucket."""
        return self.folder / f"joining-{bucket:03d}"

    def read(self, bucket: int) -> pa.Table:
        """The rows of a bucket, by the row they join and then in their own order."""
        with pa.OSFile(str(self.path(bucket))) as file:
            table = pa.ipc.open_stream(file).read_all()
        return table.take(pa.array(np.argsort(table.column("first").to_numpy(), kind="stable")))


class _Window:
    """The rows to join to those of a part, of which it holds as many in memory as a batch needs."""

    def __init__(self, joins: _Joins) -> None:
        self._joins = joins
        self._loaded: dict[int, pa.Table] = {}

    def joining(self, start: int, stop: int) -> pa.Table:
        """The rows to join to the rows ``[start, stop)``, with the row that each is joined to as ``first``."""
        buckets = range(start // self._joins.rows, (stop - 1) // self._joins.rows + 1)
        self._loaded = {
            each: self._loaded[each] if each in self._loaded else self._joins.read(each) for each in buckets
        }
        pieces = [self._joins.schema.empty_table()]
        for table in self._loaded.values():
            first, last = np.searchsorted(table.column("first").to_numpy(), [start, stop])
            pieces.append(table.slice(first, last - first))
        return pa.concat_tables(pieces).combine_chunks()


@dataclass(frozen=True, slots=True, eq=False)
class _PartTask:
    """A part of one of the tables, and the rows of others to join to it."""

    index: int
    table: AnnotationTable
    part: int  # its number in the table
    start: int  # number of its first row among all
    joins: _Joins | None  # None where no image has several rows
    first: NDArray[np.int64]  # [rows]: the row that each joins, itself where it joins none; empty without `joins`

    @property
    def size(self) -> int:
        """Bytes of the part."""
        return self.table.manifest.parts[self.part].bytes

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows, joined."""
        if self.joins is None:
            yield from rebatched(self.table.part_batches(self.part))
        else:
            yield from rebatched(self._joined(self.joins, report))

    def _joined(self, joins: _Joins, report: Report) -> Iterator[pa.RecordBatch]:
        keep_largest = self.table.manifest.metadata["propagation"]["conflict"] == "max"
        window = _Window(joins)
        closure = self.table.hierarchy.closure
        at = self.start
        for batch in self.table.part_batches(self.part):
            rows = np.arange(at, at + batch.num_rows)
            own = self.first[at - self.start : at - self.start + batch.num_rows] == rows
            report.counts["rows_joined"] += int(np.count_nonzero(~own))
            kept = batch.filter(pa.array(own))
            joining = window.joining(at, at + batch.num_rows)
            if joining.num_rows:
                (more,) = joining.drop_columns("first").to_batches()
                targets = joining.column("first").to_numpy()
                more_of = np.searchsorted(targets, np.append(rows[own], at + batch.num_rows)).astype(np.int64)
                kept, beaten = unite(kept, more, readonly(more_of), closure, keep_largest=keep_largest)
                report.counts["absences_beaten"] += beaten
            yield kept
            at += batch.num_rows


def merging_tasks(tables: list[AnnotationTable], folder: Path, *, bucket_rows: int = _BUCKET_ROWS) -> list[_PartTask]:
    """A task for each part of the tables; the rows that join others are spilled into the folder.

    One file of these rows stands for at least `bucket_rows` rows of the result.
    """
    with FirstRows(folder) as names:
        for batch in _images(tables):
            names.add(batch)
        first = names.find(lambda: _images(tables))
    joins = None if first is None else _spill(tables, first, folder, bucket_rows)
    tasks: list[_PartTask] = []
    start = 0
    for table in tables:
        for part, described in enumerate(table.manifest.parts):
            own = np.empty(0, np.int64) if first is None else first[start : start + described.rows]
            tasks.append(_PartTask(len(tasks), table, part, start, joins, own))
            start += described.rows
    return tasks


def _images(tables: list[AnnotationTable]) -> Iterator[pa.StringArray]:
    for table in tables:
        for batch in table.batches(columns=["image"]):
            yield batch.column("image")


def _spill(tables: list[AnnotationTable], first: NDArray[np.int64], folder: Path, bucket_rows: int) -> _Joins:
    """Write every row that is joined to another into the file for that one, with the number of that one."""
    rows = max(bucket_rows, -(-len(first) // _MOST_BUCKETS))
    schema = tables[0].schema.append(pa.field("first", pa.int64()))
    joins = _Joins(folder, rows, schema)
    with ExitStack() as stack:
        writers = []
        for bucket in range(-(-len(first) // rows)):
            sink = stack.enter_context(pa.OSFile(str(joins.path(bucket)), "wb"))
            writers.append(stack.enter_context(pa.ipc.new_stream(sink, schema)))
        at = 0
        for table in tables:
            for batch in table.batches():
                origin = first[at : at + batch.num_rows]
                joining = np.flatnonzero(origin != np.arange(at, at + batch.num_rows))
                at += batch.num_rows
                target = np.array(origin[joining])
                for bucket in np.unique(target // rows).tolist():
                    chosen = target // rows == bucket
                    columns = [*batch.take(pa.array(joining[chosen])).columns, pa.array(target[chosen])]
                    writers[bucket].write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return joins
