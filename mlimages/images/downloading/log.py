"""The log of a download: one Parquet part per unit, and a journal for each unit that is under way."""

from __future__ import annotations

import json
import operator
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import FormatError
from mlimages.storage.files import replacing
from mlimages.storage.manifest import Part

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


@dataclass(slots=True)
class Tally:
    """Counts over URLs: successes, failures by reason, bytes of the images kept."""

    success: int = 0
    failed: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """URLs that have an outcome."""
        return self.success + self.failed

    def add(self, record: Record) -> None:
        """Count one URL."""
        if record.status == "success":
            self.success += 1
            self.bytes += record.bytes or 0
        else:
            self.failed += 1
            self.reasons[str(record.reason)] += 1

    def update(self, other: Tally) -> None:
        """Add the counts of `other`."""
        self.success += other.success
        self.failed += other.failed
        self.bytes += other.bytes
        self.reasons.update(other.reasons)


_FLUSH_EVERY = 0.1  # seconds
_SHARD = b"mlimages.shard"


class UnitLog:
    """The records of one unit: known ones, pending ones, and finally its part.

    Each record is appended to a journal, so that a killed job loses at most the records of the last tenth of a second.
    The journal is deleted once the part has been written under a temporary name and renamed.

    Parameters
    ----------
    folder : Path
        The log's folder.
    unit : Unit
        The URLs and their labels.
    retry : {"none", "failed"}
        Whether the failures in an existing part are pending.

    Attributes
    ----------
    pending : list of int
        Rows without an outcome, in order.
    """

    def __init__(self, folder: Path, unit: Unit, *, retry: str) -> None:
        self._unit = unit
        self.path = part_path(folder, unit.index)
        self._journal_path = self.path.with_suffix(".journal")
        self._journal: TextIO | None = None
        self._flushed = 0.0
        self._records: list[Record | None] = [None] * len(unit.urls)
        if self.path.exists():
            self._records = list(_read_part(self.path, expected=len(unit.urls)))
        again = {row for row, record in enumerate(self._records) if record is not None and record.status == "failed"}
        journal = dict(_read_journal(self._journal_path, rows=len(unit.urls)))
        for row, record in journal.items():
            self._records[row] = record
        self.finished = self.path.exists() and not self._journal_path.exists()
        retried = again - journal.keys() if retry == "failed" else set()
        self.pending = [row for row, record in enumerate(self._records) if record is None or row in retried]

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

    def known(self) -> Tally:
        """Counts over the rows that are not pending."""
        tally = Tally()
        pending = set(self.pending)
        for row, record in enumerate(self._records):
            if record is not None and row not in pending:
                tally.add(record)
        return tally

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


def part_path(folder: Path, index: int) -> Path:
    """Path of the part of the unit `index`."""
    return folder / f"part-{index:05d}.parquet"


def shard_of(path: Path) -> Part:
    """The packed shard that belongs to one part."""
    return Part(**json.loads(pq.read_schema(path).metadata[_SHARD]))


def tally_of(path: Path) -> Tally:
    """Counts over one part, from three of its columns."""
    tally = Tally()
    table = pq.read_table(path, columns=["status", "reason", "bytes"])
    for status, reason, size in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if status == "success":
            tally.success += 1
            tally.bytes += size
        else:
            tally.failed += 1
            tally.reasons[reason] += 1
    return tally


def write_image_list(folder: Path, parts: int, path: Path) -> None:
    """Write the downloaded images in the format of the published lists and their order: name, tab, labels."""
    with replacing(path) as file:
        for index in range(parts):
            table = pq.read_table(part_path(folder, index), columns=["name", "labels"])
            for name, labels in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if name is not None:
                    file.write((f"{name}\t{labels}\n" if labels else f"{name}\n").encode())


def _read_part(path: Path, *, expected: int) -> Iterator[Record]:
    table = pq.read_table(path)
    if table.schema.names != SCHEMA.names or table.num_rows != expected:
        raise FormatError(
            f"found a part of {table.num_rows} rows, expected {expected} of this version's log: "
            "delete it, and the URLs of its unit are downloaded again",
            path=path,
        )
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
                raise FormatError(f"found row {row} of a unit of {rows} rows: delete the file", path=path)
            end += len(line)
            yield row, record
        file.truncate(end)
