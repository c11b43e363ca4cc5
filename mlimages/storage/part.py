"""Opening and checking the parts of tables: annotations, predictions and packed images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import FormatError, TableError, first_line
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.checks import Columns
from mlimages.storage.column import Damage
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import METADATA_KEY, Manifest, Part

T = TypeVar("T")

_ADVICE = "mlimages verify --content checks all parts"


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """An invalid row of a part, or an invalid part: what was found and expected."""

    path: Path  # the part
    row: int | None  # in the part, from 0; None where the part as a whole is meant
    image: str | None  # the name in that row, where it has one
    reason: str

    def __str__(self) -> str:
        if self.row is None:
            return f"{self.path}: {self.reason}"
        return f"{self.path}: row {self.row}{f' ({self.image!r})' if self.image is not None else ''}: {self.reason}"

    def error(self) -> TableError:
        """The TableError that reading raises."""
        return TableError(f"{self}; {_ADVICE}")


class PartReader:
    """An open part; everything read from it is checked against `columns`.

    Raises
    ------
    TableError
        If it does not have the rows of the manifest, or was made with another hierarchy than the `fingerprint`'s.
    """

    def __init__(
        self, file: pq.ParquetFile, path: Path, part: Part, columns: Columns, fingerprint: str | None = None
    ) -> None:
        self.file = file
        self.path = path
        self._columns = columns
        metadata = file.metadata
        #: Rows of each row group.
        self.group_rows: list[int] = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        for found in (metadata.num_rows, sum(self.group_rows)):
            if found != part.rows or min(self.group_rows, default=0) < 0:
                raise self.error(f"found {found} rows, expected {part.rows} as the manifest says")
        made_with = _fingerprint(metadata.metadata)
        if fingerprint is not None and made_with not in (None, fingerprint):
            raise self.error(
                f"found a part made with the hierarchy {str(made_with)[:12]}..., expected {fingerprint[:12]}... as the "
                "manifest says"
            )

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        rows: int = BATCH_ROWS,
        groups: Sequence[int] | None = None,
        use_threads: bool = True,
    ) -> Iterator[pa.RecordBatch]:
        """The rows in order, or those of some row `groups`, in batches of `rows`; a TableError for a bad row."""
        wanted = self._select(columns)
        for row, batch in self._raw_batches(wanted, rows, groups, use_threads):
            yield self._checked(wanted.check, row, batch)

    def sifted(
        self, columns: Sequence[str] | None, bad: list[DamagedRow], *, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The same without invalid rows, which are appended to `bad` before the batch is yielded.

        Raises a TableError if reading cannot continue.
        """
        wanted = self._select(columns)
        for row, batch in self._raw_batches(wanted, rows, None, True):
            checked, damages = self._checked(wanted.sift, row, batch)
            bad += [self._bad_row(damage, row, batch) for damage in damages]
            yield checked

    def group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A row group in memory; a TableError for the first row that is not as it should be."""
        return self._read(columns, [number])

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole part in memory; see :meth:`group`."""
        return self._read(columns, range(len(self.group_rows)))

    def _select(self, columns: Sequence[str] | None) -> Columns:
        try:
            wanted = self._columns.select(columns)
            with reading(self.path):
                found = self.file.schema_arrow
            wanted.check_names(found)
        except Damage as damage:
            raise self.error(damage.reason) from None
        return wanted

    def _raw_batches(
        self, wanted: Columns, rows: int, groups: Sequence[int] | None, use_threads: bool
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The number of its first row, and a batch that has not been checked."""
        chosen = range(len(self.group_rows)) if groups is None else groups
        starts = np.cumsum([0, *self.group_rows])
        expected = sum(self.group_rows[i] for i in chosen)
        first = int(starts[chosen[0]]) if len(chosen) else 0  # several groups follow each other
        if not expected:
            return
        with reading(self.path):
            found = self.file.iter_batches(
                batch_size=rows, row_groups=list(chosen), columns=wanted.leaves, use_threads=use_threads
            )
        at = 0
        while True:
            with reading(self.path, f"damaged after row {first + at}"):
                batch = next(found, None)
            if batch is None:
                break
            yield first + at, batch
            at += batch.num_rows
        if at != expected:
            raise self.error(f"found {at} rows, expected {expected} as its footer says")

    def _read(self, columns: Sequence[str] | None, groups: Sequence[int]) -> pa.Table:
        wanted = self._select(columns)
        if not sum(self.group_rows[i] for i in groups):
            return wanted.schema.empty_table()
        damaged = f"row group {groups[0]} is damaged" if len(groups) == 1 else "damaged"
        with reading(self.path, damaged):
            table = self.file.read_row_groups(list(groups), columns=wanted.leaves)
        expected = sum(self.group_rows[i] for i in groups)
        if table.num_rows != expected:
            raise self.error(f"{damaged}: found {table.num_rows} rows, expected {expected} as its footer says")
        at, batches = int(sum(self.group_rows[: groups[0]])), []
        for batch in table.to_batches():
            batches.append(self._checked(wanted.check, at, batch))
            at += batch.num_rows
        return pa.Table.from_batches(batches, wanted.schema)

    def _checked(self, check: Callable[[pa.RecordBatch], T], first: int, batch: pa.RecordBatch) -> T:
        """The result of a check of a batch that begins at row `first`; its Damage becomes a TableError."""
        try:
            return check(batch)
        except Damage as damage:
            raise self._bad_row(damage, first, batch).error() from None

    def error(self, reason: str, row: int | None = None) -> TableError:
        """The TableError that reading raises, with the reason and the place."""
        image = None if row is None else self._stored_name(row)
        return DamagedRow(self.path, row, image, reason).error()

    def _bad_row(self, damage: Damage, first: int, batch: pa.RecordBatch) -> DamagedRow:
        """A damaged row of a batch that begins at row `first`."""
        if damage.row is None:
            return DamagedRow(self.path, None, None, damage.reason)
        row = first + damage.row
        image = _name(batch, damage.row) if "image" in batch.schema.names else self._stored_name(row)
        return DamagedRow(self.path, row, image, damage.reason)

    def _stored_name(self, row: int) -> str | None:
        """The name in a row, read for a message; None where it cannot be read."""
        starts = np.cumsum([0, *self.group_rows])
        group = int(np.searchsorted(starts, row, side="right")) - 1
        kind = self._columns.schema
        column = "image.path" if "image" in kind.names and pa.types.is_struct(kind.field("image").type) else "image"
        try:
            table = self.file.read_row_group(group, columns=[column])
            return _name(table, row - int(starts[group]))
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
            return None  # the error being raised is the one to report


def stored_part(path: Path) -> tuple[Part, dict[bytes, bytes]] | None:
    """The part that an earlier run wrote, and its metadata; None if it is missing or incomplete."""
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return None
    return Part(path.name, footer.num_rows, path.stat().st_size, file_hash(path)), footer.metadata or {}


@contextmanager
def open_part(folder: Path, manifest: Manifest, number: int, columns: Columns) -> Iterator[PartReader]:
    """Open a part of a table by its number.

    Raises
    ------
    TableError
        If it is missing or unreadable, does not have the rows of the manifest, or was made with another hierarchy.
    """
    path = folder / manifest.parts[number].file
    with reading(path):
        file = pq.ParquetFile(path)
    with file:
        yield PartReader(file, path, manifest.parts[number], columns, _stated_fingerprint(manifest))


def open_mapped_part(folder: Path, manifest: Manifest, number: int, columns: Columns) -> tuple[PartReader, memoryview]:
    """As :func:`open_part`, but as a map of the file, which stays open; returns its bytes too."""
    path = folder / manifest.parts[number].file
    with reading(path):
        mapped = pa.memory_map(str(path))
        view = memoryview(mapped.read_buffer())
        file = pq.ParquetFile(mapped)
    return PartReader(file, path, manifest.parts[number], columns, _stated_fingerprint(manifest)), view


def read_file(path: Path, columns: Columns, *, advice: str) -> pa.Table:
    """Read a Parquet file that is not part of a table, with the same checks.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    columns : Columns
        The expected columns.
    advice : str
        What to do if it is another file, for the message.

    Raises
    ------
    FormatError
        If the file is not a Parquet file, or holds other columns.
    FileNotFoundError
        If the file does not exist.
    """
    at = 0
    try:
        with pq.ParquetFile(path) as file:
            columns.check_names(file.schema_arrow)
            table = file.read(columns=columns.leaves)
        batches = []
        for batch in table.to_batches():
            batches.append(columns.check(batch))
            at += batch.num_rows
    except Damage as damage:
        where = "" if damage.row is None else f"row {at + damage.row}: "
        raise FormatError(f"{where}{damage.reason}; {advice}", path=path) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FormatError(f"damaged ({first_line(error)}); {advice}", path=path) from None
    return pa.Table.from_batches(batches, columns.schema).combine_chunks()


@contextmanager
def reading(path: Path, damaged: str = "damaged") -> Iterator[None]:
    """The TableError for a Parquet file that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise TableError(f"{path}: missing; mlimages verify checks all parts") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, not the file's
            raise
        raise TableError(f"{path}: {damaged} ({first_line(error)}); mlimages verify checks all parts") from None


def _stated_fingerprint(manifest: Manifest) -> str | None:
    stated = manifest.metadata.get("hierarchy_fingerprint")
    return stated if isinstance(stated, str) else None


def _fingerprint(metadata: dict[bytes, bytes] | None) -> Any:
    """The fingerprint in a part's own metadata; None where another program wrote it."""
    try:
        return json.loads((metadata or {})[METADATA_KEY])["hierarchy_fingerprint"]
    except (KeyError, ValueError, TypeError):
        return None


def _name(rows: pa.RecordBatch | pa.Table, row: int) -> str | None:
    try:
        value = rows.column("image")[row].as_py()
    except (UnicodeDecodeError, pa.ArrowException):
        return None
    name = value.get("path") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def problem_of(read: Callable[[], Iterable[object]]) -> str | None:
    """The first problem of a part, found by a function that opens it and yields its content; None if valid."""
    try:
        for _ in read():
            pass
    except TableError as error:
        return str(error).partition("; mlimages verify")[0]
    return None
