"""Rows of CSV into buckets on disk, so that all rows of an image are in one bucket, however far apart they stood.

The first of two stages. Each piece of the input is parsed, and its records are written ordered by bucket, with an
index, as one or several *runs* in a scratch folder; the bucket is a hash of the image id. Then every bucket is read out
of all runs (:mod:`mlimages.annotate.sources.openimages.buckets`). Memory holds a run for each worker, whatever the size
of the input; the scratch folder takes about half the size of the input.

The notes of a piece, a JSON file, are renamed into place after its runs, and mark it as finished: a partition that
was killed resumes there.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.annotate.sources.lines import Text, batches_of_lines, read_texts
from mlimages.annotate.sources.mapping import LabelTable
from mlimages.annotate.sources.openimages.notes import (
    REMOVED_LABELS,
    Notes,
    Summary,
    notes_path,
    run_path,
    urls_notes_path,
)
from mlimages.annotate.sources.openimages.urls import BLOCK_BYTES, partition_urls
from mlimages.annotate.sources.source import OnError, Report, Unit
from mlimages.errors import FormatError
from mlimages.job.folder import full_disk_told
from mlimages.job.local import run_in_threads
from mlimages.job.task import StopSignal, until_stopped
from mlimages.storage.arrow import readonly
from mlimages.storage.files import replacing

#: A run ends with the batch at which it reaches this number of records.
_RUN_RECORDS = 2 << 20

_Records = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The partition of some files, and of the images CSVs among them, into buckets of a scratch folder.

    The folder may hold what an interrupted run over the same input left there.
    """

    scratch: Path
    buckets: int
    units: list[Unit]
    columns: dict[str, int]  # of every file
    table: LabelTable  # the labels that are kept
    images: list[Path]  # images CSVs, see mlimages.annotate.sources.openimages.urls
    on_error: OnError
    url_block_bytes: int = BLOCK_BYTES  # text of an images CSV that becomes one run

    def run(
        self, *, workers: int, names: dict[str, str], progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        """Partition what is not partitioned yet, and write ``removed_labels.csv``, with `names` of labels.

        `progress` is called with the bytes that were read, and those that there are.
        """
        self.scratch.mkdir(exist_ok=True)
        tasks: list[Unit | int] = [*self.units, *range(len(self.images))]
        total, done = sum(map(self._size, tasks)), 0
        with (
            full_disk_told(self.scratch, needed="about half the size of the labels"),
            closing(run_in_threads(self, tasks, workers)) as sizes,
        ):
            for size in sizes:
                done += size
                progress(done, total)
        self._summarize(names)

    def worker(self, stop: StopSignal) -> Callable[[Unit | int], int]:
        """What partitions a piece, or the images CSV of a number, and returns its bytes."""
        return partial(self._partition, stop=stop)

    def _size(self, task: Unit | int) -> int:
        return self.images[task].stat().st_size if isinstance(task, int) else task.stop - task.start

    def _partition(self, task: Unit | int, *, stop: StopSignal) -> int:
        if isinstance(task, int):
            partition_urls(
                self.images[task],
                task,
                self.scratch,
                buckets=self.buckets,
                on_error=self.on_error,
                stop=stop,
                block_bytes=self.url_block_bytes,
            )
        elif not notes_path(self.scratch, task.index).exists():  # unless that was done before
            self._partition_unit(task, stop)
        return self._size(task)

    def _partition_unit(self, unit: Unit, stop: StopSignal) -> None:
        report = Report(self.on_error)
        notes = Notes()
        kept: list[_Records] = []
        for text in read_texts(unit, report, header=True):
            for records in until_stopped(self._parse(text, report, notes), stop):
                kept.append(records)
                if sum(map(len, kept)) >= _RUN_RECORDS:
                    self._write_run(unit, notes, kept)
                    kept = []
        if kept:
            self._write_run(unit, notes, kept)
        notes.write(notes_path(self.scratch, unit.index), report)

    def _parse(self, text: Text, report: Report, notes: Notes) -> Iterator[_Records]:
        from mlimages.annotate.sources.openimages import partitionkernels as kernels

        columns = self.columns[text.path]
        for lines in batches_of_lines(text, report):
            records = np.empty((lines.total, 3), np.uint64)
            removed, offsets = np.empty(lines.size, np.uint8), np.empty(lines.total + 1, np.int32)
            rows, gone, gone_bytes, zeros, wrong = kernels.parse(
                text.data, lines.start, lines.stop, columns, tuple(self.table), records, removed, offsets, lines.bad
            )
            lines.report_bad(wrong, report, lambda found: _reasons(found, columns))
            notes.rows += rows + gone + zeros
            notes.machine_zeros += zeros
            notes.removed.update(_count(removed[:gone_bytes], offsets[: gone + 1]))
            yield records[:rows]

    def _write_run(self, unit: Unit, notes: Notes, kept: list[_Records]) -> None:
        from mlimages.annotate.sources.openimages import partitionkernels as kernels

        records = readonly(np.concatenate(kept))
        bucket_of, starts = np.empty(len(records), np.int32), np.zeros(self.buckets + 1, np.int64)
        kernels.find_buckets(records, self.buckets, bucket_of, starts)
        ordered = np.empty_like(records)
        kernels.scatter(records, readonly(bucket_of), readonly(starts), ordered)
        with replacing(run_path(self.scratch, unit.index, notes.runs)) as file:
            file.write(pa.py_buffer(starts))
            file.write(pa.py_buffer(ordered))
        notes.runs += 1

    def _summarize(self, names: dict[str, str]) -> None:
        """Write what the second stage needs, and the labels that were removed, the most frequent first.

        Raises a FormatError where no label is left.
        """
        removed: Counter[str] = Counter()
        runs = []
        rows = zeros = 0
        for unit in self.units:
            notes = Notes.read(notes_path(self.scratch, unit.index))
            removed.update(notes.removed)
            runs.append(notes.runs)
            rows += notes.rows
            zeros += notes.machine_zeros
        if rows and removed.total() == rows:
            label = min(removed, key=lambda each: (-removed[each], each))
            raise FormatError(
                f"none of the {rows} labels is a category ({label!r} is the most frequent): choose a hierarchy whose "
                "keys they are, or map them to keys with mapping= (--mapping)",
                path=self.units[0].path,
            )
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["label", "name", "rows"])
        for label, count in sorted(removed.items(), key=lambda each: (-each[1], each[0])):
            writer.writerow([label, names.get(label, ""), count])
        with replacing(self.scratch / REMOVED_LABELS) as file:
            file.write(text.getvalue().encode())
        url_runs = [Notes.read(urls_notes_path(self.scratch, i)).runs for i in range(len(self.images))]
        Summary(runs, url_runs, removed.total(), zeros).write(self.scratch)


def _count(text: NDArray[np.uint8], offsets: NDArray[np.int32]) -> dict[str, int]:
    """Number of occurrences of each string."""
    strings = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
    return {each["values"]: each["counts"] for each in pc.value_counts(strings).to_pylist()}


def _reasons(found: str, columns: int) -> dict[int, str]:
    from mlimages.annotate.sources.openimages import partitionkernels as kernels

    return {
        kernels.EMPTY_LINE: "found an empty line, expected ImageID,Source,LabelName,Confidence",
        kernels.FEW_COLUMNS: f"found {found}, expected the {columns} columns of the header",
        kernels.MANY_COLUMNS: f"found {found}, expected the {columns} columns of the header",
        kernels.BAD_ID: f"found the image id {found}, expected 1 to {kernels.LONGEST_ID} visible ASCII characters",
        kernels.NO_SOURCE: f"found no source in {found}, expected one such as verification or machine",
        kernels.BAD_LABEL: f"found the label {found}, expected one such as /m/0bt9lr",
        kernels.HEADER: "found the header a second time, expected it on line 1 only: remove this line",
        kernels.BAD_CONFIDENCE: f"found {found}, expected a number such as 0.8 as confidence",
        kernels.OUTSIDE: f"found {found}, expected a confidence from 0 to 1",
        kernels.FRACTION: f"found the confidence {found} of a label that is not by machine, expected 0 or 1",
    }
