"""Tables made of tables: the parts and the manifest of what an operation writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.augment import Augmented, Augmenter, Propagation
from mlimages.annotate.job import Job, Progress, run_in_threads
from mlimages.annotate.manifest import MANIFEST
from mlimages.annotate.part import Made, PartMaker, Task
from mlimages.annotate.pipeline import PART_ROWS
from mlimages.annotate.rules import Rules
from mlimages.annotate.source import BATCH_ROWS, Report
from mlimages.annotate.table import AnnotationTable
from mlimages.errors import MlimagesError

TableLike = AnnotationTable | str | os.PathLike[str]


def as_table(table: TableLike) -> AnnotationTable:
    """A table, opened where its folder is given."""
    return table if isinstance(table, AnnotationTable) else AnnotationTable.open(table)


class _AsIs(Augmenter):
    """Leaves batches as they are: what is in a table was propagated when it was made."""

    def __init__(self) -> None:
        pass

    def apply(self, batch: pa.RecordBatch) -> Augmented:
        return Augmented(batch, 0)


_AS_IS = _AsIs()


@dataclass(frozen=True, slots=True)
class _CopyingPartMaker(PartMaker):
    """Makes parts of what tasks bring, without propagating again."""

    def make(self, task: Task, augmenter: Augmenter) -> Made:  # noqa: ARG002  (the one that would propagate)
        return PartMaker.make(self, task, _AS_IS)


def derive(
    tables: Sequence[AnnotationTable],
    out: str | os.PathLike[str],
    tasks: Iterable[Task],
    *,
    operation: str,
    options: Mapping[str, Any],
    workers: int | None,
    resume: bool,
    progress: Callable[[Progress], None] | None,
) -> AnnotationTable:
    """Write a table that an operation makes of others.

    Parameters
    ----------
    tables : sequence of AnnotationTable
        The inputs, of one hierarchy and one propagation; their manifests, which hold the hash of every part, are the
        inputs that the new manifest names.
    out : path-like
        Folder of the new table, new or empty.
    tasks : iterable of Task
        What makes the parts.
    operation : str
        Its name, for the manifest.
    options : mapping
        Its options, for the manifest; a resumed job must have the same.
    workers, resume, progress
        As those of :func:`mlimages.annotate.pipeline.annotate`.
    """
    if workers is not None and workers < 1:
        raise MlimagesError(f"workers={workers}: expected at least 1")
    first = tables[0]
    propagation = Propagation(**first.manifest.metadata["propagation"])
    maker = _CopyingPartMaker(Path(out), first.hierarchy, propagation, "raise", _common_rules(tables))
    inputs = [table.folder / MANIFEST for table in tables]
    job = Job(maker, inputs, {"format": "table", "operation": operation, **options})
    workers = workers or len(os.sched_getaffinity(0))
    job.run(tasks, engine=run_in_threads, workers=workers, resume=resume, progress=progress)
    return AnnotationTable.open(maker.folder)


def _common_rules(tables: Sequence[AnnotationTable]) -> Rules | None:
    """The rules that all tables were made with; none where they differ."""
    stated = [table.manifest.metadata.get("rules") for table in tables]
    return tables[0].rules if stated.count(stated[0]) == len(stated) else None


def part_starts(table: AnnotationTable) -> NDArray[np.int64]:
    """Number of the first row of every part, and of the row after the last: int64 [parts + 1]."""
    return np.cumsum([0, *(part.rows for part in table.manifest.parts)])


@dataclass(frozen=True, slots=True, eq=False)
class RowsTask:
    """The chosen rows of some consecutive parts.

    Parameters
    ----------
    index : int
        Number of the new part.
    table : AnnotationTable
        Where they come from.
    parts : range
        Its parts.
    keep : bool array [rows of the table]
        The chosen rows.
    """

    index: int
    table: AnnotationTable
    parts: range
    keep: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Bytes of the parts."""
        return sum(self.table.manifest.parts[part].bytes for part in self.parts)

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The chosen rows."""
        report.counts["images_left_out"] += sum(self.table.manifest.parts[part].rows for part in self.parts)
        for batch in rebatched(self._chosen()):
            report.counts["images_left_out"] -= batch.num_rows
            yield batch

    def _chosen(self) -> Iterator[pa.RecordBatch]:
        starts = part_starts(self.table)
        for part in self.parts:
            at, stop = int(starts[part]), int(starts[part + 1])
            if not self.keep[at:stop].any():
                continue
            for batch in self.table.part_batches(part):
                yield batch.filter(pa.array(self.keep[at : at + batch.num_rows]))
                at += batch.num_rows


def rows_tasks(table: AnnotationTable, keep: NDArray[np.bool_]) -> list[RowsTask]:
    """Tasks for the chosen rows, bool [rows]: consecutive parts together as long as they make no large part."""
    starts = part_starts(table)
    groups: list[range] = []
    first = rows = 0
    for part in range(len(starts) - 1):
        chosen = int(np.count_nonzero(keep[starts[part] : starts[part + 1]]))
        if rows and rows + chosen > PART_ROWS:
            groups.append(range(first, part))
            first, rows = part, 0
        rows += chosen
    groups.append(range(first, len(starts) - 1))
    return [RowsTask(index, table, parts, keep) for index, parts in enumerate(groups)]


def rebatched(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `BATCH_ROWS`: small ones would make small row groups, which read slowly."""
    kept: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if batch.num_rows:
            kept.append(batch)
            rows += batch.num_rows
        if rows >= BATCH_ROWS:
            whole = _joined(kept)
            for start in range(0, rows - rows % BATCH_ROWS, BATCH_ROWS):
                yield whole.slice(start, BATCH_ROWS)
            kept, rows = [whole.slice(rows - rows % BATCH_ROWS)], rows % BATCH_ROWS
    if rows:
        yield _joined(kept)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def list_column(kind: pa.DataType, offsets: NDArray[np.int32], values: NDArray[Any]) -> pa.ListArray:
    """An Arrow column of lists over numpy arrays, without a copy."""
    return pa.ListArray.from_buffers(
        kind, len(offsets) - 1, [None, pa.py_buffer(offsets)], children=[pa.array(values, kind.value_type)]
    )
