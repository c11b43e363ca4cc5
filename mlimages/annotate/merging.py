"""Several tables into one, every image once."""

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

from mlimages.annotate.augment import GivenLabels, readonly
from mlimages.annotate.derive import TableLike, as_table, derive, list_column, part_starts, rebatched
from mlimages.annotate.firstrows import FirstRows
from mlimages.annotate.source import Report
from mlimages.annotate.table import AnnotationTable
from mlimages.errors import MlimagesError, TableError
from mlimages.hierarchy import CSR

if TYPE_CHECKING:
    from mlimages.annotate.job import Progress

#: Files of rows that join others, at most; parts share them where there are more.
_BUCKETS = 128


def merge(
    tables: Sequence[TableLike],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> AnnotationTable:
    """Make one table of several, in which every image has one row.

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
    workers, resume, progress
        As those of :func:`mlimages.annotate.pipeline.annotate`.

    Returns
    -------
    AnnotationTable
        The new table. Its manifest counts the ``rows_joined`` to others and the ``absences_beaten``.

    Raises
    ------
    TableError
        Where the tables differ in hierarchy or propagation.
    MlimagesError
        Where there are fewer than two tables, or one twice.
    JobError
        Where `out` is not empty, or what is to be resumed was begun otherwise.

    Notes
    -----
    Memory is bounded by a part of the table. Temporary files, in the folder that ``TMPDIR`` names, take 16 bytes a row
    and, where images have several rows, those that join others.
    """
    opened = [as_table(table) for table in tables]
    _check(opened)
    with tempfile.TemporaryDirectory(prefix="mlimages-merge-") as folder:
        tasks = _tasks(opened, Path(folder))
        return derive(
            opened, out, tasks, operation="merge", options={}, workers=workers, resume=resume, progress=progress
        )


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
    """Which rows join which.

    Parameters
    ----------
    first : int64 array [rows of all tables]
        For each row the one it joins, itself where it joins none.
    buckets : list of pathlib.Path
        Files of the rows that join others, by the part of those.
    closure : CSR
        The ancestors of every category.
    """

    first: NDArray[np.int64]
    buckets: list[Path]
    closure: CSR


@dataclass(frozen=True, slots=True, eq=False)
class _PartTask:
    """A part of one of the tables, to be joined by rows of others.

    Parameters
    ----------
    index : int
        Number of the part among all.
    table : AnnotationTable
        The table it is of.
    part : int
        Its number there.
    start : int
        Number of its first row among all.
    joins : _Joins or None
        None where no image has several rows.
    bucket : pathlib.Path or None
        What holds the rows that join it.
    """

    index: int
    table: AnnotationTable
    part: int
    start: int
    joins: _Joins | None
    bucket: Path | None

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
        stop = self.start + self.table.manifest.parts[self.part].rows
        joining, targets = _read_bucket(self.bucket, self.start, stop, self.table.schema)
        propagation = self.table.manifest.metadata["propagation"]
        at = self.start
        for batch in self.table.part_batches(self.part):
            rows = np.arange(at, at + batch.num_rows)
            own = joins.first[at : at + batch.num_rows] == rows
            report.counts["rows_joined"] += int(np.count_nonzero(~own))
            first, last = np.searchsorted(targets, [at, at + batch.num_rows])
            kept = batch.filter(pa.array(own))
            if last > first:
                more_of = first + np.searchsorted(targets[first:last], np.append(rows[own], at + batch.num_rows))
                kept, conflicts = _unite(
                    kept,
                    joining,
                    readonly(more_of.astype(np.int64)),
                    joins.closure,
                    keep_largest=propagation["conflict"] == "max",
                )
                report.counts["absences_beaten"] += conflicts
            yield kept
            at += batch.num_rows


def _tasks(tables: list[AnnotationTable], folder: Path) -> list[_PartTask]:
    """A task a part; the rows that join others are spilled into the folder."""
    with FirstRows(folder) as names:
        for batch in _images(tables):
            names.add(batch)
        first = names.find(lambda: _images(tables))
    starts: list[int] = []
    parts: list[tuple[AnnotationTable, int]] = []
    begin = 0
    for table in tables:
        bounds = part_starts(table)
        starts += (begin + bounds[:-1]).tolist()
        parts += [(table, part) for part in range(len(bounds) - 1)]
        begin += int(bounds[-1])
    joins = None if first is None else _spill(tables, first, np.array(starts, np.int64), folder)
    return [
        _PartTask(index, *part, starts[index], joins, joins and joins.buckets[_bucket(index, len(parts))])
        for index, part in enumerate(parts)
    ]


def _bucket(part: int, parts: int) -> int:
    return part * min(parts, _BUCKETS) // parts


def _images(tables: list[AnnotationTable]) -> Iterator[pa.StringArray]:
    for table in tables:
        for batch in table.batches(columns=["image"]):
            yield batch.column("image")


def _spill(tables: list[AnnotationTable], first: NDArray[np.int64], starts: NDArray[np.int64], folder: Path) -> _Joins:
    """Write every row that joins another into the bucket of that one's part, with its number."""
    parts = len(starts)
    paths = [folder / f"joining-{i:03d}" for i in range(min(parts, _BUCKETS))]
    schema = tables[0].schema.append(pa.field("first", pa.int64()))
    with ExitStack() as stack:
        sinks = [stack.enter_context(pa.OSFile(str(path), "wb")) for path in paths]
        writers = [stack.enter_context(pa.ipc.new_stream(sink, schema)) for sink in sinks]
        at = 0
        for table in tables:
            for batch in table.batches():
                origin = first[at : at + batch.num_rows]
                joining = np.flatnonzero(origin != np.arange(at, at + batch.num_rows))
                at += batch.num_rows
                if not len(joining):
                    continue
                target = np.array(origin[joining])
                part = np.searchsorted(starts, target, side="right") - 1
                bucket = part * len(paths) // parts
                rows = batch.take(pa.array(joining))
                for each in np.unique(bucket).tolist():
                    chosen = np.flatnonzero(bucket == each)
                    columns = [*rows.take(pa.array(chosen)).columns, pa.array(target[chosen])]
                    writers[each].write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return _Joins(first, paths, tables[0].hierarchy.closure)


def _read_bucket(
    path: Path | None, start: int, stop: int, schema: pa.Schema
) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    """The rows of a bucket that join rows `start` to `stop`, by those and then in their own order; and which."""
    pieces = [schema.append(pa.field("first", pa.int64())).empty_table()]
    if path is not None:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                targets = batch.column("first").to_numpy()
                pieces.append(pa.Table.from_batches([batch.filter(pa.array((targets >= start) & (targets < stop)))]))
    table = pa.concat_tables(pieces)
    targets = table.column("first").to_numpy()
    order = np.argsort(targets, kind="stable")
    rows = table.drop_columns("first").take(pa.array(order)).combine_chunks()
    batches = rows.to_batches()
    empty = pa.RecordBatch.from_arrays([pa.array([], each.type) for each in schema], schema=schema)
    return (batches[0] if batches else empty), targets[order]


def _unite(
    batch: pa.RecordBatch, more: pa.RecordBatch, more_of: NDArray[np.int64], closure: CSR, *, keep_largest: bool
) -> tuple[pa.RecordBatch, int]:
    """Row i of the batch joined by rows ``more_of[i]`` to ``more_of[i + 1]`` of `more`; and the absences beaten."""
    from mlimages.annotate import mergekernels

    ours, theirs = GivenLabels.of(batch), GivenLabels.of(more)
    bound = int(ours.offsets[-1] - ours.offsets[0])
    bound += int(theirs.offsets[more_of[-1]] - theirs.offsets[more_of[0]])
    offsets = np.empty(batch.num_rows + 1, np.int32)
    labels, confidences = np.empty(bound, np.int32), np.empty(bound, np.float32)
    origins = np.empty(bound, np.uint8)
    conflicts = mergekernels.unite(
        *ours[1:],
        *theirs[1:],
        more_of,
        readonly(closure.indptr),
        readonly(closure.indices),
        keep_largest,
        offsets,
        labels,
        confidences,
        origins,
    )
    end = int(offsets[-1])
    columns = [ours.image]
    for values, name in ((labels, "labels"), (confidences, "confidences"), (origins, "origins")):
        columns.append(list_column(batch.schema.field(name).type, offsets, values[:end]))
    return pa.RecordBatch.from_arrays(columns, names=["image", "labels", "confidences", "origins"]), int(conflicts)
