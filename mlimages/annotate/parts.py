"""Parts of an annotation table: labels read, augmented and written, by any worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.annotate.labels.schema import table_metadata
from mlimages.annotate.parquet.writer import TableWriter
from mlimages.annotate.propagation.augment import Augmenter, Propagation
from mlimages.annotate.propagation.rules import RULES_FILE, Rules
from mlimages.annotate.sources.source import LabelTask, OnError, Report
from mlimages.hierarchy import Hierarchy
from mlimages.job.job import Job, Stage
from mlimages.job.task import Made, Stopped, StopSignal, Task
from mlimages.storage.categories import write_categories
from mlimages.storage.files import replacing
from mlimages.storage.manifest import Part, encode_metadata, part_path
from mlimages.storage.part import stored_part

_COUNTS_KEY = b"mlimages.counts"

#: Columns of a file of quarantined rows.
QUARANTINE_SCHEMA = pa.schema({"file": pa.string(), "line": pa.int64(), "reason": pa.string(), "row": pa.binary()})


@dataclass(frozen=True, slots=True)
class Additions:
    """What is added to given labels: by propagation, and by co-occurrence rules."""

    propagation: Propagation
    rules: Rules | None = None


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes parts of tasks in the folder of a table; a :class:`~mlimages.job.task.Maker`.

    `metadata` is that of the schema of every part. Without `additions` the labels of the tasks are written as they are.
    """

    folder: Path
    hierarchy: Hierarchy
    metadata: dict[str, Any]
    on_error: OnError = "raise"
    additions: Additions | None = None

    def worker(self, stop: StopSignal) -> Callable[[LabelTask], Made]:
        """What makes the part of a task."""
        added = self.additions
        augmenter = None if added is None else Augmenter(self.hierarchy, added.propagation, added.rules)
        return partial(self._make, stop=stop, augmenter=augmenter)

    def _make(self, task: LabelTask, *, stop: StopSignal, augmenter: Augmenter | None) -> Made:
        path = part_path(self.folder, task.index)
        report = Report(self.on_error)
        with replacing(path) as file:
            writer = TableWriter(file, categories=len(self.hierarchy), metadata=encode_metadata(self.metadata))
            for batch in task.batches(report):
                if stop.is_set():
                    raise Stopped
                if augmenter is not None:
                    augmented = augmenter.apply(batch)
                    report.counts.update(augmented.counts)
                    batch = augmented.batch
                writer.write(batch)
            report.counts["quarantined"] += len(report.bad)
            if report.bad:  # before the part takes its name: a part without its bad rows would hide them
                _write_quarantine(quarantine_path(self.folder, task.index), report)
            counts = {name: count for name, count in sorted(report.counts.items()) if count}
            written = writer.close({_COUNTS_KEY: json.dumps(counts).encode()})
        return Made(Part(path.name, written.rows, written.bytes, written.xxh3_128), counts, task.size)

    def finished(self, task: Task) -> Made | None:
        """The part of an earlier run, if it is there and whole."""
        stored = stored_part(part_path(self.folder, task.index))
        try:
            return None if stored is None else Made(stored[0], json.loads(stored[1][_COUNTS_KEY]), task.size)
        except (KeyError, ValueError):
            return None


def table_job(
    folder: Path,
    hierarchy: Hierarchy,
    made_with: Additions,
    *,
    options: Mapping[str, Any],
    inputs: Sequence[Path],
    add: bool,
    on_error: OnError = "raise",
    stage: Stage | None = None,
    beside: Callable[[Path], None] | None = None,
) -> Job:
    """The job of writing an annotation table.

    Parameters
    ----------
    folder : pathlib.Path
        The table's, new or empty.
    hierarchy : Hierarchy
        The categories.
    made_with : Additions
        What was added to given labels, for the metadata of the table.
    options, inputs, stage
        As those of :class:`~mlimages.job.job.Job`.
    add : bool
        Whether to add to the labels of the tasks; otherwise they are written as they are.
    on_error : {"raise", "quarantine"}
        How bad rows are handled.
    beside : callable, optional
        Writes more beside the parts.
    """
    rules = made_with.rules

    def write_beside(folder: Path) -> None:
        write_categories(folder, hierarchy)
        if rules is not None:
            with replacing(folder / RULES_FILE) as file:
                file.write(rules.text.encode())
        if beside is not None:
            beside(folder)

    metadata = table_metadata(hierarchy, made_with.propagation.to_dict(), None if rules is None else rules.metadata)
    maker = PartMaker(folder, hierarchy, metadata, on_error, made_with if add else None)
    return Job(maker=maker, metadata=metadata, options=dict(options), inputs=inputs, stage=stage, beside=write_beside)


def quarantine_path(folder: Path, index: int) -> Path:
    """File of the bad rows of a part."""
    return folder / "quarantine" / f"part-{index:05d}.parquet"


def _write_quarantine(path: Path, report: Report) -> None:
    path.parent.mkdir(exist_ok=True)
    columns = [pa.array(column) for column in zip(*report.bad, strict=True)]
    with replacing(path) as file:
        pq.write_table(pa.Table.from_arrays(columns, schema=QUARANTINE_SCHEMA), file, compression="zstd")
