"""One part of a table: read, augmented and written under a temporary name, by whichever worker."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.annotate.labels.schema import table_metadata
from mlimages.annotate.parquet.writer import TableWriter
from mlimages.annotate.propagation.augment import Augmenter, Propagation
from mlimages.annotate.sources.source import OnError, Report
from mlimages.errors import JobError
from mlimages.hierarchy import Hierarchy
from mlimages.job.job import Made, Stopped, Task
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.manifest import Part, encode_metadata, part_path

if TYPE_CHECKING:
    from mlimages.annotate.propagation.rules import Rules

_COUNTS_KEY = b"mlimages.counts"

#: Columns of a file of quarantined rows.
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("row", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes parts: all that a worker needs besides its task.

    Parameters
    ----------
    folder : pathlib.Path
        The table's.
    hierarchy : Hierarchy
        The categories.
    propagation : Propagation
        What labels bring.
    on_error : {"raise", "quarantine"}
        What becomes of bad rows.
    rules : Rules, optional
        What co-occurrence adds.
    stop : threading.Event, optional
        Once set, work ends before the next batch.
    """

    folder: Path
    hierarchy: Hierarchy
    propagation: Propagation
    on_error: OnError
    rules: Rules | None = None
    stop: threading.Event | None = field(default=None, compare=False)

    @property
    def metadata(self) -> dict[str, Any]:
        """What every part and the manifest say of the table."""
        rules = None if self.rules is None else self.rules.metadata
        return table_metadata(self.hierarchy, self.propagation.to_dict(), rules)

    def augmenter(self) -> Augmenter:
        """What :meth:`make` needs; one serves all threads of a process."""
        return Augmenter(self.hierarchy, self.propagation, self.rules)

    def make(self, task: Task, augmenter: Augmenter) -> Made:
        """Make one part.

        Raises
        ------
        JobError
            Where the disk is full.
        FormatError
            For a bad row, where these end the job.
        Stopped
            Once told to stop.
        """
        path = part_path(self.folder, task.index)
        report = Report(self.on_error)
        metadata = encode_metadata(self.metadata)
        try:
            with replacing(path) as file:
                writer = TableWriter(file, categories=len(self.hierarchy), metadata=metadata)
                for batch in task.batches(report):
                    if self.stop is not None and self.stop.is_set():
                        raise Stopped
                    augmented = augmenter.apply(batch)
                    report.counts.update(augmented.counts)
                    writer.write(augmented.batch)
                report.counts["quarantined"] += len(report.bad)
                if report.bad:  # before the part takes its name: a part without its bad rows would hide them
                    _write_quarantine(quarantine_path(self.folder, task.index), report)
                counts = {name: count for name, count in sorted(report.counts.items()) if count}
                written = writer.close({_COUNTS_KEY: json.dumps(counts).encode()})
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise JobError(
                    f"{path}: {os.strerror(error.errno).lower()}: free some, then run again with --resume; finished "
                    "parts are kept"
                ) from error
            raise
        return Made(Part(path.name, written.rows, written.bytes, written.xxh3_128), counts, task.size)

    def finished(self, task: Task) -> Made | None:
        """The part of an earlier run, if it is there and whole."""
        path = part_path(self.folder, task.index)
        try:
            metadata = pq.read_metadata(path)
            counts = json.loads(metadata.metadata[_COUNTS_KEY])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return None
        return Made(Part(path.name, metadata.num_rows, path.stat().st_size, file_hash(path)), counts, task.size)


def quarantine_path(folder: Path, index: int) -> Path:
    """File of the bad rows of a part."""
    return folder / "quarantine" / f"part-{index:05d}.parquet"


def _write_quarantine(path: Path, report: Report) -> None:
    path.parent.mkdir(exist_ok=True)
    columns = [
        pa.array(column, column_field.type)
        for column, column_field in zip(zip(*report.bad, strict=True), QUARANTINE_SCHEMA, strict=True)
    ]
    with replacing(path) as file:
        pq.write_table(pa.Table.from_arrays(columns, schema=QUARANTINE_SCHEMA), file, compression="zstd")
