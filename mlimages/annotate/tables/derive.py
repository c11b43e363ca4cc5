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

from mlimages.annotate.parts import PartMaker
from mlimages.annotate.propagation.augment import Augmented, Augmenter, Propagation
from mlimages.annotate.propagation.rules import Rules
from mlimages.annotate.sources.source import Report
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import MlimagesError
from mlimages.job.job import Job, Made, Progress, Task
from mlimages.job.local import run_in_threads
from mlimages.storage.batches import PART_ROWS, rebatched
from mlimages.storage.manifest import MANIFEST


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
