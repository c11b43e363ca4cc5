"""The URLs of Open Images' images, divided among the same buckets as their labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from mlimages.annotate.sources.openimages.notes import Notes, urls_notes_path, urls_path
from mlimages.annotate.sources.source import BadRow, OnError, Report
from mlimages.errors import FormatError
from mlimages.job.task import StopSignal, until_stopped
from mlimages.storage.arrow import readonly, text_of
from mlimages.storage.files import replacing

_ID, _URL = "ImageID", "OriginalURL"
_SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("url", pa.string())])
#: Text of an images CSV that becomes one run.
BLOCK_BYTES = 32 << 20


def partition_urls(
    path: Path,
    number: int,
    scratch: Path,
    *,
    buckets: int,
    on_error: OnError,
    stop: StopSignal,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Divide the rows of an images CSV among the buckets, unless that was done before; each block becomes a run.

    Titles may be quoted and hold commas and line ends. Rows without a URL are passed over.

    Raises
    ------
    FormatError
        For a row of another number of columns or a bad image id, where these end the job.
    """
    if urls_notes_path(scratch, number).exists():
        return
    report = Report(on_error)
    notes = Notes()
    for batch in until_stopped(_read(path, report, block_bytes), stop):
        bucket_of, rows = _buckets(path, batch, buckets, report)
        order = np.argsort(bucket_of, kind="stable")
        ordered = batch.take(pa.array(rows[order]))
        starts = np.searchsorted(bucket_of[order], np.arange(buckets + 1))
        with (
            replacing(urls_path(scratch, number, notes.runs)) as file,
            pa.ipc.new_file(file, _SCHEMA) as writer,
        ):
            for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
                writer.write_batch(ordered.slice(start, end - start))
        notes.runs += 1
    notes.write(urls_notes_path(scratch, number), report)


def _read(path: Path, report: Report, block_bytes: int) -> Iterator[pa.RecordBatch]:
    """Ids and URLs, those without a URL left out."""
    bad: list[BadRow] = []

    def note(row: Any) -> str:  # pyarrow would swallow an error that is raised here
        reason = f"found {row.actual_columns} columns, expected the {row.expected_columns} of the header"
        bad.append(BadRow(str(path), row.number or 0, reason, (row.text or "").encode()))
        return "error" if report.on_error == "raise" else "skip"

    kinds = {_ID: pa.string(), _URL: pa.string()}
    try:
        with pa.csv.open_csv(
            path,
            # without threads, as rows are not numbered otherwise
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=block_bytes),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pa.csv.ConvertOptions(include_columns=[_ID, _URL], column_types=kinds),
        ) as reader:
            for batch in reader:
                given = pa.RecordBatch.from_arrays([batch.column(0), batch.column(1)], schema=_SCHEMA)
                yield given.filter(pc.not_equal(given.column("url"), ""))
        for each in bad:
            report.bad_row(each)
    except pa.ArrowInvalid as error:
        for each in bad:
            report.bad_row(each)
        raise FormatError(f"no CSV of images ({error})", path=path) from None


def _buckets(
    path: Path, batch: pa.RecordBatch, buckets: int, report: Report
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The bucket of every row, and which rows these are: all but those with a bad id."""
    from mlimages.annotate.sources.openimages import partitionkernels as kernels

    ids = batch.column("id")
    words = np.zeros((len(ids), 3), np.uint64)
    good = np.ones(len(ids), bool)
    text, offsets = text_of(ids)
    at = 0
    while at < len(ids):
        wrong = kernels.pack_ids(text, offsets[at:], words[at:])
        if wrong < 0:
            break
        at += wrong
        found = ids[at].as_py()
        reason = f"found the image id {found[:60]!r}, expected 1 to {kernels.LONGEST_ID} visible ASCII characters"
        report.bad_row(BadRow(str(path), 0, reason, found.encode()))
        good[at] = False
        at += 1
    bucket_of = np.empty(len(ids), np.int32)
    kernels.find_buckets(readonly(words), buckets, bucket_of, np.zeros(buckets + 1, np.int64))
    return bucket_of[good], np.flatnonzero(good)
