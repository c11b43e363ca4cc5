"""Rows of CSV into buckets on disk, so that all rows of an image are in one bucket, however far apart they stood.

The first of two stages. Pieces of the input are parsed, each by itself, and their records written ordered by bucket,
with an index, as one or several *runs* in a scratch folder; the bucket is a hash of the image id. Then every bucket is
read out of all runs (:mod:`mlimages.annotate.sources.openimages.buckets`). Memory holds a run for each worker, whatever the input's size;
the scratch folder takes about half of what the input does.

A finished piece is told by its notes, a JSON file that is renamed into place after its runs: a partition that was
killed goes on where it stopped.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.annotate.propagation.augment import readonly
from mlimages.annotate.sources.lines import Text, read_texts, shown
from mlimages.annotate.sources.openimages.notes import _SUMMARY, REMOVED_LABELS, Notes, Summary, notes_path, run_path
from mlimages.annotate.sources.source import BATCH_BYTES, BadRow, OnError, Report, Unit
from mlimages.errors import FormatError, JobError
from mlimages.job.task import Stopped
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    from mlimages.annotate.sources.mapping import LabelTable

#: Records of a run, at most and but for a batch.
_RUN_RECORDS = 2 << 20

_Records = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The partition of some files.

    Parameters
    ----------
    scratch : pathlib.Path
        A folder for the runs; it may hold those of an interrupted run over the same input.
    buckets : int
        How many buckets there are.
    units : list of Unit
        The pieces of the input.
    columns : dict of str to int
        Columns of every file.
    table : LabelTable
        The labels that are kept.
    images : list of pathlib.Path
        Images CSVs, partitioned alike; see :mod:`mlimages.annotate.sources.openimages.urls`.
    on_error : {"raise", "quarantine"}
        What becomes of bad rows.
    """

    scratch: Path
    buckets: int
    units: list[Unit]
    columns: dict[str, int]
    table: LabelTable
    images: list[Path]
    on_error: OnError
    stop: threading.Event = field(default_factory=threading.Event)

    def run(
        self, *, workers: int, names: dict[str, str], progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        """Partition all that is not yet, and write ``removed_labels.csv``, with the names of labels where known.

        `progress` is called with the bytes that were read, and those that there are.
        """
        from mlimages.annotate.sources.openimages.urls import partition_urls

        self.scratch.mkdir(exist_ok=True)
        pool = ThreadPoolExecutor(workers)
        try:
            waiting: list[Any] = [pool.submit(self._partition, unit) for unit in self.units]
            waiting += [
                pool.submit(
                    partition_urls, path, i, self.scratch, buckets=self.buckets, on_error=self.on_error, stop=self.stop
                )
                for i, path in enumerate(self.images)
            ]
            sizes = [unit.stop - unit.start for unit in self.units] + [path.stat().st_size for path in self.images]
            done = 0
            for each, size in zip(waiting, sizes, strict=True):  # in order: of several errors the first is raised
                each.result()
                done += size
                progress(done, sum(sizes))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise JobError(
                    f"{self.scratch}: {os.strerror(error.errno).lower()}: free some (about half the size of the labels "
                    "is needed), then run again with --resume"
                ) from error
            raise
        finally:
            self.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        self._summarize(names)

    def _partition(self, unit: Unit) -> None:
        """Partition a piece, unless that was done before."""
        if notes_path(self.scratch, unit.index).exists():
            return
        report = Report(self.on_error)
        notes = Notes()
        kept: list[_Records] = []
        for text in read_texts(unit, report, header=True):
            for records in self._parse(text, report, notes):
                kept.append(records)
                if sum(map(len, kept)) >= _RUN_RECORDS:
                    self._write_run(unit, notes, kept)
                    kept = []
        if kept:
            self._write_run(unit, notes, kept)
        notes.bad = [(bad.path, bad.line, bad.reason, bad.row.decode("latin-1")) for bad in report.bad]
        notes.write(notes_path(self.scratch, unit.index))

    def _parse(self, text: Text, report: Report, notes: Notes) -> Iterator[_Records]:
        from mlimages.annotate.sources import imagelistkernels as listkernels
        from mlimages.annotate.sources.openimages import partitionkernels as kernels

        at = text.start
        skip_bad = report.on_error == "quarantine"
        while at < text.stop:
            if self.stop.is_set():
                raise Stopped
            end, lines, _ = listkernels.scan(text.data, at, text.stop, BATCH_ROWS, BATCH_BYTES)
            records = np.empty((lines, 3), np.uint64)
            removed, removed_offsets = np.empty(end - at, np.uint8), np.empty(lines + 1, np.int32)
            bad = np.empty((lines if skip_bad else 1, 6), np.int64)
            rows, gone, gone_bytes, zeros, wrong = kernels.parse(
                text.data,
                at,
                end,
                self.columns[text.path],
                skip_bad,
                *self.table,
                records,
                removed,
                removed_offsets,
                bad,
            )
            if wrong:
                first = text.line_number(at)
                for note in bad[:wrong].tolist():
                    report.bad_row(_bad_row(text, first + note[0], *note[1:], columns=self.columns[text.path]))
            notes.rows += rows + gone + zeros
            notes.machine_zeros += zeros
            notes.removed.update(_count(removed[:gone_bytes], removed_offsets[: gone + 1]))
            yield records[:rows]
            at = end

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

        Raises
        ------
        FormatError
            Where that are all the labels there are.
        """
        from mlimages.annotate.sources.openimages.notes import urls_notes_path

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
        with replacing(self.scratch / _SUMMARY) as file:
            file.write(json.dumps(Summary(runs, url_runs, removed.total(), zeros)._asdict()).encode())


def _count(text: NDArray[np.uint8], offsets: NDArray[np.int32]) -> dict[str, int]:
    """How often each string occurs."""
    strings = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
    return {each["values"]: each["counts"] for each in pc.value_counts(strings).to_pylist()}


def _bad_row(
    text: Text, line: int, first: int, last: int, problem: int, token: int, token_end: int, *, columns: int
) -> BadRow:
    from mlimages.annotate.sources.openimages import partitionkernels as kernels

    found = shown(bytes(text.data[token:token_end]))
    reason = {
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
    }[problem]
    return BadRow(text.path, line, reason, bytes(text.data[first:last]))
