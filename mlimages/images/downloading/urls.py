"""Lists of URLs and their labels, as published text, CSV or Parquet, streamed and cut into units."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from mlimages.errors import FormatError, listed

#: One row per URL; its labels are text as in the published lists: ``index:confidence``, separated by tabs.
ROWS = pa.schema([pa.field("url", pa.string(), nullable=False), pa.field("labels", pa.string(), nullable=False)])

_BLOCK = 4 << 20  # bytes of text in one batch
_LONGEST_LINE = 1 << 20
_ONE = r"[^\t:\s]+(:[0-9.eE+-]+)?"
_LABELS = f"^({_ONE}(\t{_ONE})*)?$"
_COMPRESSED = {".gz", ".zst", ".bz2"}


@dataclass(frozen=True, slots=True)
class Unit:
    """Consecutive rows that are downloaded, logged and resumed together; the cut depends on the list alone."""

    index: int
    urls: list[str]
    labels: list[str]

    @property
    def size(self) -> int:
        """Bytes of input; 0 for unknown, since downloads count URLs instead."""
        return 0


def read_urls(paths: Sequence[Path], *, list_format: str = "auto", url_column: str = "url") -> Iterator[pa.RecordBatch]:
    """Read lists, one after another.

    Parameters
    ----------
    paths : sequence of Path
        Text, CSV (both also as .gz, .zst or .bz2) or Parquet.
    list_format : {"auto", "list", "csv", "parquet"}
        ``auto`` decides by each file's suffix: ``.csv``, ``.parquet``, and a published list otherwise.
    url_column : str
        The column of the URLs in CSV and Parquet. Labels are read from a column ``labels``: text (``3:1 5193:0.9``,
        separated by tabs, spaces or semicolons) or, in Parquet, lists of integers with a column ``confidences`` of
        lists of numbers, as in an annotation table.

    Yields
    ------
    pyarrow.RecordBatch
        With the schema :data:`ROWS`.

    Raises
    ------
    FormatError
        For text that is not UTF-8, malformed labels or a missing column; names the file and the line.
    """
    for path in paths:
        kind = _kind(path) if list_format == "auto" else list_format
        if kind == "list":
            yield from _read_list(path)
        elif kind == "csv":
            yield from _read_csv(path, url_column)
        else:
            yield from _read_parquet(path, url_column)


def cut(batches: Iterable[pa.RecordBatch], *, unit_bytes: int) -> Iterator[Unit]:
    """Cut rows into units: each ends with the row at which it reaches `unit_bytes` bytes of URL and labels."""
    index, held, carried = 0, [], 0
    for batch in batches:
        url, labels = batch.column("url"), batch.column("labels")
        lengths = pc.add(pc.binary_length(url), pc.binary_length(labels))
        sizes = np.cumsum(lengths.to_numpy(zero_copy_only=False).astype(np.int64) + 2)  # plus a tab and a line feed
        begin, before = 0, 0
        while True:
            end = int(np.searchsorted(sizes, before + unit_bytes - carried)) + 1
            if end > len(sizes):
                break
            held.append(batch.slice(begin, end - begin))
            yield _unit(index, held)
            index, held, carried, begin, before = index + 1, [], 0, end, int(sizes[end - 1])
        if begin < len(sizes):
            held.append(batch.slice(begin))
            carried += int(sizes[-1]) - before
    if held:
        yield _unit(index, held)


def _unit(index: int, batches: list[pa.RecordBatch]) -> Unit:
    table = pa.Table.from_batches(batches, ROWS)
    return Unit(index, table.column("url").to_pylist(), table.column("labels").to_pylist())


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return {".csv": "csv", ".parquet": "parquet"}.get(suffixes[-1] if suffixes else "", "list")


def _read_list(path: Path) -> Iterator[pa.RecordBatch]:
    line = 1
    for block in _blocks(path):
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(
                f"found the byte 0x{block[error.start]:02x}, expected UTF-8 text",
                path=path,
                line=line + block.count(b"\n", 0, error.start),
            ) from None
        if line == 1:
            text = text.removeprefix("\ufeff")
        rows = [one.rstrip("\r").partition("\t") for one in text.split("\n")]
        urls = pa.array([url.strip() for url, _, _ in rows], pa.string())
        labels = pa.array([labels.rstrip("\t ") for _, _, labels in rows], pa.string())
        _check_labels(labels, path, line)
        yield pa.record_batch([urls, labels], schema=ROWS).filter(pc.not_equal(pc.binary_length(urls), 0))
        line += len(rows)


def _blocks(path: Path) -> Iterator[bytes]:
    """Blocks of whole lines, about `_BLOCK` bytes each, without the last line feed."""
    rest = b""
    with pa.input_stream(os.fspath(path)) as stream:
        while data := stream.read(_BLOCK):
            head, newline, tail = data.rpartition(b"\n")
            if newline:
                yield rest + head
                rest = tail
            else:
                rest += tail
            if len(rest) > _BLOCK + _LONGEST_LINE:
                raise FormatError("found a line of more than 5 MB, expected a list of URLs, one a line", path=path)
    if rest:
        yield rest


def _check_labels(labels: pa.Array, path: Path, line: int) -> None:
    good = pc.match_substring_regex(labels, _LABELS)
    if not pc.all(good, min_count=0).as_py():
        row = pc.index(good, False).as_py()
        raise FormatError(
            f"found the labels {labels[row].as_py()[:80]!r}, expected index:confidence, tabs between",
            path=path,
            line=line + row,
        )


def _read_csv(path: Path, url_column: str) -> Iterator[pa.RecordBatch]:
    options = pa.csv.ConvertOptions(
        column_types={url_column: pa.string(), "labels": pa.string()}, strings_can_be_null=False
    )
    try:
        with (
            pa.input_stream(os.fspath(path)) as stream,
            pa.csv.open_csv(
                stream,
                read_options=pa.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                parse_options=pa.csv.ParseOptions(newlines_in_values=True),
                convert_options=options,
            ) as reader,
        ):
            _need_column(reader.schema.names, url_column, path)
            line = 2
            for batch in reader:
                yield _rows(batch, url_column, path, line)
                line += batch.num_rows
    except pa.ArrowInvalid as error:
        raise FormatError(f"{str(error).splitlines()[0]}: expected CSV with a header row", path=path) from None


def _read_parquet(path: Path, url_column: str) -> Iterator[pa.RecordBatch]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise FormatError(f"{str(error).splitlines()[0]}: expected a Parquet file", path=path) from None
    with file:
        names = file.schema_arrow.names
        _need_column(names, url_column, path)
        columns = [url_column, *(name for name in ("labels", "confidences") if name in names and name != url_column)]
        row = 1
        for batch in file.iter_batches(batch_size=16_384, columns=columns):
            yield _rows(batch, url_column, path, row)
            row += batch.num_rows


def _need_column(names: list[str], url_column: str, path: Path) -> None:
    if url_column not in names:
        raise FormatError(
            f"found the columns {listed(names)[:200]}, expected one named {url_column!r}: name it with --url-column",
            path=path,
        )


def _rows(batch: pa.RecordBatch, url_column: str, path: Path, line: int) -> pa.RecordBatch:
    urls = pc.utf8_trim_whitespace(pc.fill_null(batch.column(url_column).cast(pa.string()), ""))
    if "labels" not in batch.schema.names:
        labels = pa.array([""] * batch.num_rows, pa.string())
    elif pa.types.is_list(batch.schema.field("labels").type) or pa.types.is_large_list(
        batch.schema.field("labels").type
    ):
        labels = _labels_text(batch)
    else:
        text = pc.fill_null(batch.column("labels").cast(pa.string()), "")
        labels = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"[;\s]+", "\t")
        _check_labels(labels, path, line)
    return pa.record_batch([urls, labels], schema=ROWS)


def _labels_text(batch: pa.RecordBatch) -> pa.Array:
    """Labels and confidences as text, each confidence in the fewest digits that round-trip."""
    labels = batch.column("labels").to_pylist()
    if "confidences" not in batch.schema.names:
        return pa.array(["\t".join(map(str, row or ())) for row in labels], pa.string())
    confidences = batch.column("confidences").cast(pa.list_(pa.float32())).to_pylist()
    return pa.array(
        [
            "\t".join(f"{one}:{_shortest(value)}" for one, value in zip(row or (), values or (), strict=True))
            for row, values in zip(labels, confidences, strict=True)
        ],
        pa.string(),
    )


def _shortest(value: float) -> str:
    return np.format_float_positional(np.float32(value), unique=True, trim="-")
