"""The log of a download: one Parquet part per unit, and a journal for each unit that is under way."""

from __future__ import annotations

import json
import operator
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import JobError
from mlimages.storage.files import replacing
from mlimages.storage.manifest import Part, part_path

if TYPE_CHECKING:
    from mlimages.images.downloading.urls import Unit

SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("labels", pa.string(), nullable=False),  # as in the published lists: index:confidence, tabs between
        pa.field("status", pa.string(), nullable=False),  # success or failed
        pa.field("reason", pa.string()),  # null on success
        pa.field("http_code", pa.int16()),  # of the last response; null where there was none
        pa.field("bytes", pa.int64()),
        pa.field("name", pa.string()),  # of the image file
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("mode", pa.string()),  # Pillow's: RGB, L, CMYK, ...
        pa.field("sha256", pa.string()),
        pa.field("when", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome for one URL: the log's columns after `labels`. `when` is in milliseconds since 1970, UTC."""

    status: Literal["success", "failed"]
    reason: str | None
    http_code: int | None
    bytes: int | None
    name: str | None
    width: int | None
    height: int | None
    format: str | None
    mode: str | None
    sha256: str | None
    when: int


_values = operator.attrgetter(*(one.name for one in fields(Record)))  # dataclasses.astuple copies deeply


def count(counts: Counter[str], record: Record) -> None:
    """Count one URL: as ``success``, with its ``image_bytes``, or as ``failed`` and under its reason."""
    counts[record.status] += 1
    if record.reason is None:
        counts["image_bytes"] += record.bytes or 0
    else:
        counts[record.reason] += 1


_FLUSH_EVERY = 0.1  # seconds
_SHARD = b"mlimages.shard"


class UnitLog:
    """The records of one unit: known ones, `pending` ones (their rows, in order), and finally its part.

    Each record is appended to a journal, so that a killed job loses at most the records of the last tenth of a second.
    The journal is deleted once the part has been written under a temporary name and renamed. With `retry` "failed" the
    failures in an existing part are pending, with "none" they are not.
    """

    def __init__(self, folder: Path, unit: Unit, *, retry: str) -> None:
        self._unit = unit
        self.path = part_path(folder, unit.index)
        self._journal_path = _journal_path(self.path)
        self._journal: TextIO | None = None
        self._flushed = 0.0
        self._records: list[Record | None] = [None] * len(unit.urls)
        table = _read_part(self.path, unit)
        if table is not None:
            self._records = list(_records(table))
        again = {row for row, record in enumerate(self._records) if record is not None and record.status == "failed"}
        journal = dict(_read_journal(self._journal_path, rows=len(unit.urls)))
        for row, record in journal.items():
            self._records[row] = record
        if retry == "failed":
            for row in again - journal.keys():
                self._records[row] = None
        self.pending = [row for row, record in enumerate(self._records) if record is None]

    def add(self, row: int, record: Record) -> None:
        """Set the record of a row, and append it to the journal."""
        if self._journal is None:
            self._journal = self._journal_path.open("a", encoding="ascii")
        self._records[row] = record
        self._journal.write(json.dumps([row, *_values(record)], separators=(",", ":")) + "\n")
        now = time.monotonic()
        if now - self._flushed > _FLUSH_EVERY:
            self._journal.flush()
            self._flushed = now

    def counts(self) -> Counter[str]:
        """Counts over the records that there are, see :func:`count`."""
        counts: Counter[str] = Counter()
        for record in self._records:
            if record is not None:
                count(counts, record)
        return counts

    def records(self) -> list[Record]:
        """All records, in the order of the list; only when none is pending."""
        found = [record for record in self._records if record is not None]
        assert len(found) == len(self._records)
        return found

    def finish(self, *, shard: Part | None = None) -> None:
        """Write the part, with the description of the unit's packed shard if any, and delete the journal."""
        columns = [self._unit.urls, self._unit.labels, *zip(*map(_values, self.records()), strict=True)]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)]
        metadata = {} if shard is None else {_SHARD: json.dumps(asdict(shard))}
        table = pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata(metadata))
        with replacing(self.path) as file:
            pq.write_table(table, file, compression="zstd")
        self.close()
        self._journal_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal without deleting it."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def shard_of(path: Path) -> Part:
    """The packed shard that belongs to one part."""
    return Part(**json.loads(pq.read_schema(path).metadata[_SHARD]))


def counts_of(path: Path, unit: Unit) -> Counter[str] | None:
    """Counts over the part of a unit, see :func:`count`; None where the part is missing, not whole or has a journal."""
    if _journal_path(path).exists():
        return None
    table = _read_part(path, unit, columns=["reason", "bytes"])
    if table is None:
        return None
    reasons, sizes = (column.to_pylist() for column in table.columns)
    counts = Counter(reason for reason in reasons if reason is not None)
    failed = counts.total()
    counts.update(success=len(reasons) - failed, failed=failed)
    counts["image_bytes"] = sum(size for reason, size in zip(reasons, sizes, strict=True) if reason is None)
    return +counts


def write_image_list(folder: Path, parts: int, path: Path) -> None:
    """Write the list of downloaded images, in the order of the URLs, in the published format: name, tab, labels."""
    with replacing(path) as file:
        for index in range(parts):
            table = pq.read_table(part_path(folder, index), columns=["name", "labels"])
            for name, labels in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if name is not None:
                    file.write((f"{name}\t{labels}\n" if labels else f"{name}\n").encode())


def _journal_path(part: Path) -> Path:
    return part.with_suffix(".journal")


def _read_part(path: Path, unit: Unit, *, columns: list[str] | None = None) -> pa.Table | None:
    """The part of a unit; None where it is missing, not whole, or not of this unit and this version's log."""
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != SCHEMA.names or file.metadata.num_rows != len(unit.urls):
                return None
            return file.read(columns=columns)
    except (OSError, pa.ArrowInvalid):
        return None


def _records(table: pa.Table) -> Iterator[Record]:
    times = table.column("when").cast(pa.int64()).to_pylist()
    columns = [table.column(name).to_pylist() for name in SCHEMA.names[2:-1]]
    for values in zip(*columns, times, strict=True):
        yield Record(*values)


def _read_journal(path: Path, *, rows: int) -> Iterator[tuple[int, Record]]:
    """Read the rows and records of a journal; an incomplete last line, as a kill may leave it, is removed."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                row, *values = json.loads(line)
                record = Record(*values)
            except (ValueError, TypeError):
                break
            if not 0 <= row < rows:
                raise JobError(f"{path}: found row {row} of a unit of {rows} rows: delete the file")
            end += len(line)
            yield row, record
        file.truncate(end)
