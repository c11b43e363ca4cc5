"""Tables derived from tables: the parts and the manifest that an operation writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.parts import Additions, table_job
from mlimages.annotate.propagation.augment import Propagation
from mlimages.annotate.propagation.rules import Rules
from mlimages.annotate.sources.source import Report
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.job.engines import EngineName
from mlimages.job.job import Progress
from mlimages.job.task import Task
from mlimages.storage.arrow import offsets_of
from mlimages.storage.batches import PART_ROWS, rebatched
from mlimages.storage.manifest import MANIFEST


class Run(NamedTuple):
    """How a table is written; as the arguments of :func:`mlimages.annotate.pipeline.annotate`."""

    engine: EngineName
    workers: int | None
    resume: bool
    progress: Callable[[Progress], None] | None


def derive(
    tables: Sequence[AnnotationTable],
    out: str | os.PathLike[str],
    tasks: Iterable[Task],
    run: Run,
    *,
    operation: str,
    options: Mapping[str, Any],
) -> AnnotationTable:
    """Write a table that an operation derives from others.

    Parameters
    ----------
    tables : sequence of AnnotationTable
        The inputs, of one hierarchy and one propagation; their manifests, which hold the hash of every part, are the
        inputs that the new manifest names.
    out : path-like
        Folder of the new table, new or empty.
    tasks : iterable of Task
        The tasks that make the parts.
    run : Run
        How they are made.
    operation : str
        Its name, for the manifest.
    options : mapping
        Its options, for the manifest; a resumed job must have the same.
    """
    first = tables[0]
    propagation = Propagation(**first.manifest.metadata["propagation"])
    job = table_job(
        Path(out),
        first.hierarchy,
        Additions(propagation, _common_rules(tables)),
        options={"format": "table", "operation": operation, **options},
        inputs=[table.folder / MANIFEST for table in tables],
        add=False,
    )
    job.run(tasks, **run._asdict())
    return AnnotationTable.open(job.folder)


def _common_rules(tables: Sequence[AnnotationTable]) -> Rules | None:
    """The rules that all tables were made with; none if they differ."""
    stated = [table.manifest.metadata.get("rules") for table in tables]
    return tables[0].rules if stated.count(stated[0]) == len(stated) else None


@dataclass(frozen=True, slots=True, eq=False)
class RowsTask:
    """The rows of some consecutive parts that are to be kept."""

    index: int
    table: AnnotationTable
    parts: range  # of the table
    keep: NDArray[np.bool_]  # [rows of the parts]

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
        first = 0
        for part in self.parts:
            keep = self.keep[first : first + self.table.manifest.parts[part].rows]
            first += len(keep)
            if not keep.any():
                continue
            at = 0
            for batch in self.table.part_batches(part):
                yield batch.filter(pa.array(keep[at : at + batch.num_rows]))
                at += batch.num_rows


def rows_tasks(table: AnnotationTable, keep: NDArray[np.bool_]) -> list[RowsTask]:
    """Tasks for the chosen rows, bool [rows]: consecutive parts together as long as they make no large part."""
    starts = offsets_of([part.rows for part in table.manifest.parts], np.int64)
    groups: list[range] = []
    first = rows = 0
    for part in range(len(starts) - 1):
        chosen = int(np.count_nonzero(keep[starts[part] : starts[part + 1]]))
        if rows and rows + chosen > PART_ROWS:
            groups.append(range(first, part))
            first, rows = part, 0
        rows += chosen
    groups.append(range(first, len(starts) - 1))
    return [
        RowsTask(index, table, parts, keep[starts[parts.start] : starts[parts.stop]])
        for index, parts in enumerate(groups)
    ]
