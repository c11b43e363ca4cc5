"""The second stage of reading Open Images: the records of a bucket into images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.annotate.sources.openimages.notes import Notes, Summary, notes_path, run_path, urls_notes_path, urls_path
from mlimages.annotate.sources.source import Report, Unit, given_batch
from mlimages.storage.arrow import readonly
from mlimages.storage.batches import rebatched

_RECORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class Buckets:
    """Reads the buckets of a scratch folder, each a unit."""

    scratch: Path
    count: int  # of buckets
    size: int  # bytes of the input, for progress
    urls: bool  # whether images are named by URLs

    def units(self) -> list[Unit]:
        """A unit for each bucket."""
        ends = [self.size * k // self.count for k in range(self.count + 1)]
        return [Unit(k, os.fspath(self.scratch), ends[k], ends[k + 1]) for k in range(self.count)]

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The images of a bucket by ascending id."""
        summary = Summary.read(self.scratch)
        paths = [notes_path(self.scratch, i) for i in range(len(summary.runs))]
        paths += [urls_notes_path(self.scratch, i) for i in range(len(summary.url_runs))]
        for path in paths[unit.index :: self.count]:  # each bad row is reported with one part
            for bad in Notes.read(path).bad_rows():
                report.bad_row(bad)
        if unit.index == 0:
            report.counts.update(removed_rows=summary.removed_rows, machine_zeros=summary.machine_zeros)
        records = self._records(unit.index, summary.runs)
        if not len(records):
            return
        batch = _merged(records, report)
        del records
        if self.urls:
            batch = self._with_urls(batch, unit.index, summary.url_runs, report)
        yield from rebatched([batch])

    def _records(self, bucket: int, runs: list[int]) -> NDArray[np.uint64]:
        """The records of a bucket out of all runs, uint64 [n, 3]."""
        pieces = []
        for unit, count in enumerate(runs):
            for run in range(count):
                with run_path(self.scratch, unit, run).open("rb") as file:
                    file.seek(8 * bucket)
                    start, end = np.frombuffer(file.read(16), np.int64).tolist()
                    file.seek(8 * (self.count + 1) + _RECORD_BYTES * start)
                    pieces.append(file.read(_RECORD_BYTES * (end - start)))
        return np.frombuffer(b"".join(pieces), np.uint64).reshape(-1, 3)

    def _with_urls(self, batch: pa.RecordBatch, bucket: int, runs: list[int], report: Report) -> pa.RecordBatch:
        """The batch with URLs for ids; of several URLs of an image the alphabetically first."""
        pieces = []
        for number, count in enumerate(runs):
            for run in range(count):
                with pa.ipc.open_file(os.fspath(urls_path(self.scratch, number, run))) as file:
                    pieces.append(file.get_batch(bucket))
        ids = batch.column("image")
        if not pieces:
            report.counts["without_url"] += len(ids)
            return batch
        known = pa.Table.from_batches(pieces).sort_by([("id", "ascending"), ("url", "ascending")]).combine_chunks()
        at = pc.index_in(ids, known.column("id"))
        report.counts["without_url"] += at.null_count
        urls = known.column("url").take(at).combine_chunks()
        names = pc.coalesce(urls, ids)
        return batch.set_column(0, "image", names)


def _merged(records: NDArray[np.uint64], report: Report) -> pa.RecordBatch:
    """The images of some records by ascending id."""
    from mlimages.annotate.sources.openimages import partitionkernels as kernels

    n = len(records)
    slots = np.full(1 << n.bit_length(), -1, np.int32)
    image_of, first_of = np.empty(n, np.int32), np.empty(n, np.int64)
    images = kernels.find_images(records, slots, image_of, first_of)
    first_of = first_of[:images]
    order = np.lexsort((records[first_of, 1], records[first_of, 0]))
    rank = np.empty(images, np.int32)
    rank[order] = np.arange(images, dtype=np.int32)
    offsets = np.empty(images + 1, np.int32)
    labels, confidences = np.empty(n, np.int32), np.empty(n, np.float32)
    entries, repeated, conflicts = kernels.merge(
        records, readonly(image_of), readonly(rank), np.empty(n, np.uint64), offsets, labels, confidences
    )
    report.counts["repeated_labels"] += int(repeated)
    report.counts["human_conflicts"] += int(conflicts)
    names, name_offsets = np.empty(images * kernels.LONGEST_ID, np.uint8), np.empty(images + 1, np.int32)
    used = kernels.unpack_ids(records, readonly(first_of[order]), names, name_offsets)
    return given_batch(names[:used], name_offsets, offsets, labels[:entries], confidences[:entries])
