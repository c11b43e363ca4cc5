"""A Parquet writer for annotation tables only.

A general writer builds a dictionary and packs its codes for every column. Here the Arrow buffers already are the codes:
a data page may code dictionary entries with any width, so a label column is written with 16-bit codes into the
dictionary 0, 1, 2, ... and its page is the int16 buffer itself; origins likewise with 8 bits. It remains to pack the
levels and to compress, and byte-aligned codes compress better than the 14-bit ones of a general writer, since the
chains of ancestors repeat as bytes. Every reader of Parquet reads the result.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from mlimages.annotate.labels.schema import INT32_FROM, table_schema
from mlimages.annotate.parquet import thrift
from mlimages.annotate.parquet import writerkernels as pagekernels
from mlimages.annotate.parquet.thrift import I8, I16, I64, Struct
from mlimages.storage.arrow import list_offsets, text_of
from mlimages.wire import varint

_INT32, _FLOAT, _BYTE_ARRAY = 1, 4, 6  # physical types
_PLAIN, _RLE, _RLE_DICTIONARY, _DELTA_LENGTH = 0, 3, 8, 6  # encodings
_ZSTD = 6
_ZSTD_LEVEL = 1
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_OPTIONAL, _REPEATED = 1, 2

ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A finished file: its images, its size, and the hash of its content in hexadecimal."""

    rows: int
    bytes: int
    xxh3_128: str


@dataclass(slots=True)
class _Column:
    """One column chunk on its way to the file: an optional dictionary page and one data page, uncompressed."""

    path: tuple[bytes, ...]
    physical: int
    encoding: int
    values: int
    data: ByteArray
    dictionary: bytes | None = None
    dictionary_values: int = 0


class TableWriter:
    """Write annotation batches as one Parquet file; every batch becomes a row group.

    Parameters
    ----------
    file : binary file
        Open for writing; written sequentially, without seeking.
    categories : int
        Number of categories; determines the type of labels.
    metadata : mapping of bytes to bytes
        Schema metadata.

    Notes
    -----
    A batch must have the columns of :func:`~mlimages.annotate.labels.schema.table_schema`, no nulls, and labels below
    `categories`; what :func:`~mlimages.annotate.propagation.augment.augment` returns has.
    """

    def __init__(self, file: BinaryIO, *, categories: int, metadata: Mapping[bytes, bytes]) -> None:
        self._file = file
        self._categories = categories
        self._schema = table_schema(categories).with_metadata(dict(metadata))
        self._codec = pa.Codec("zstd", compression_level=_ZSTD_LEVEL)
        self._hash = xxhash.xxh3_128()
        self._at = 0
        self._rows = 0
        self._groups: list[thrift.Value] = []
        self._write(b"PAR1")

    def write(self, batch: pa.RecordBatch) -> None:
        """Write one batch as a row group."""
        if not batch.num_rows:
            return
        start = self._at
        labels, confidences, origins = (batch.column(name) for name in ("labels", "confidences", "origins"))
        offsets = list_offsets(labels)
        levels = _Levels(offsets)
        columns = [
            _image_column(batch.column("image")),
            self._label_column(levels, _values(labels)),
            _confidence_column(levels, _values(confidences)),
            _origin_column(levels, _values(origins)),
        ]
        chunks = [self._chunk(column) for column in columns]
        self._groups.append(
            {
                1: [chunk for chunk, _ in chunks],
                2: I64(sum(size for _, size in chunks)),
                3: I64(batch.num_rows),
                5: I64(start),
                6: I64(self._at - start),
                7: I16(len(self._groups)),
            }
        )
        self._rows += batch.num_rows

    def close(self, metadata: Mapping[bytes, bytes] | None = None) -> WrittenPart:
        """Write the footer, with more metadata if there is any; the file itself stays open."""
        pairs = {**(self._schema.metadata or {}), **(metadata or {})}
        stored = self._schema.with_metadata(pairs)  # pyarrow takes types and metadata alike from this copy
        pairs[b"ARROW:schema"] = base64.b64encode(stored.serialize())
        order: Struct = {1: {}}  # TypeDefinedOrder
        footer = thrift.struct(
            {
                1: 2,
                2: _schema_elements(self._categories),
                3: I64(self._rows),
                4: self._groups,
                5: [{1: key, 2: value} for key, value in pairs.items()],
                6: b"mlimages",
                7: [order] * 4,
            }
        )
        self._write(footer + len(footer).to_bytes(4, "little") + b"PAR1")
        return WrittenPart(self._rows, self._at, self._hash.hexdigest())

    def _write(self, data: bytes | pa.Buffer) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._at += len(data)

    def _label_column(self, levels: _Levels, values: NDArray[Any]) -> _Column:
        path = (b"labels", b"list", b"element")
        if self._categories >= INT32_FROM:
            return _Column(path, _INT32, _PLAIN, levels.slots, levels.page(values.view(np.uint8)))
        dictionary = np.arange(self._categories, dtype="<i4").tobytes()
        last = -len(values) % 8 * 2  # bytes that fill the last group of eight codes
        page = levels.page(values.view(np.uint8), _packed_head(len(values), 16), pad=last)
        return _Column(path, _INT32, _RLE_DICTIONARY, levels.slots, page, dictionary, self._categories)

    def _chunk(self, column: _Column) -> tuple[Struct, int]:
        """Write the pages of a column; return its ColumnChunk and its size uncompressed."""
        start, uncompressed = self._at, 0
        encodings = [_RLE, column.encoding]
        if column.dictionary is not None:
            encodings.append(_PLAIN)
            header: Struct = {1: column.dictionary_values, 2: _PLAIN}
            uncompressed += self._page(column.dictionary, _DICTIONARY_PAGE, {7: header})
        data_at = self._at
        header = {1: column.values, 2: column.encoding, 3: _RLE, 4: _RLE}
        uncompressed += self._page(column.data, _DATA_PAGE, {5: header})
        metadata: dict[int, thrift.Value] = {
            1: column.physical,
            2: encodings,
            3: list(column.path),
            4: _ZSTD,
            5: I64(column.values),
            6: I64(uncompressed),
            7: I64(self._at - start),
            9: I64(data_at),
        }
        if column.dictionary is not None:
            metadata[11] = I64(start)
        return {2: I64(start), 3: metadata}, uncompressed

    def _page(self, body: bytes | ByteArray, kind: int, header: Struct) -> int:
        """Compress and write one page; return its size uncompressed, header included."""
        compressed = self._codec.compress(pa.py_buffer(body))
        head = thrift.struct({1: kind, 2: len(body), 3: len(compressed), **header})
        self._write(head)
        self._write(compressed)
        return len(head) + len(body)


class _Levels:
    """Repetition and definition levels of the list columns of a batch: the same for all three."""

    def __init__(self, offsets: NDArray[np.int32]) -> None:
        entries = int(offsets[-1] - offsets[0])
        empty = pagekernels.count_empty(offsets)
        self.slots = entries + empty
        groups = -(-self.slots // 8)
        repetition = np.zeros(groups, np.uint8)
        definition = np.zeros(groups * 2 if empty else 0, np.uint8)
        pagekernels.write_levels(offsets, repetition, definition)
        packed = varint(groups << 1 | 1)
        constant = varint(self.slots << 1) + b"\x03"
        self._pieces = [
            _sized(packed, repetition),
            _sized(packed, definition) if empty else _sized(constant, np.empty(0, np.uint8)),
        ]

    def page(self, values: ByteArray, before: bytes = b"", *, pad: int = 0) -> ByteArray:
        """Levels, then `before`, then the encoded values, then `pad` zero bytes."""
        head = np.frombuffer(before, np.uint8)
        return np.concatenate([*chain.from_iterable(self._pieces), head, values, np.zeros(pad, np.uint8)])


def _sized(head: bytes, data: ByteArray) -> tuple[ByteArray, ByteArray]:
    """A run of levels, preceded by its length in four bytes."""
    return np.frombuffer((len(head) + len(data)).to_bytes(4, "little") + head, np.uint8), data


def _packed_head(values: int, width: int) -> bytes:
    """What stands before dictionary codes: their width, and the header of one bit-packed run of them all."""
    return bytes([width]) + varint(-(-values // 8) << 1 | 1)


def _image_column(images: pa.StringArray) -> _Column:
    rows = len(images)
    data, offsets = text_of(images)
    levels = varint(rows << 1) + b"\x01"
    head = len(levels).to_bytes(4, "little") + levels
    lengths = np.empty(64 + (rows + 128) * 6, np.uint8)
    used = pagekernels.write_lengths(offsets, lengths)
    names = data[offsets[0] : offsets[-1]]  # only those of this batch
    page = np.concatenate([np.frombuffer(head, np.uint8), lengths[:used], names])
    return _Column((b"image",), _BYTE_ARRAY, _DELTA_LENGTH, rows, page)


def _confidence_column(levels: _Levels, values: NDArray[np.float32]) -> _Column:
    path = (b"confidences", b"list", b"element")
    codes = np.empty(len(values), np.uint8)
    distinct = np.empty(pagekernels.CODES, np.float32)
    count = pagekernels.confidence_codes(values, codes, distinct)
    if count < 0:
        return _Column(path, _FLOAT, _PLAIN, levels.slots, levels.page(values.view(np.uint8)))
    dictionary = distinct[:count] if count else np.zeros(1, np.float32)  # readers expect an entry
    return _coded(path, _FLOAT, levels, codes, dictionary.astype("<f4"))


def _origin_column(levels: _Levels, values: NDArray[np.uint8]) -> _Column:
    count = int(values.max()) + 1 if len(values) else 1
    return _coded((b"origins", b"list", b"element"), _INT32, levels, values, np.arange(count, dtype="<i4"))


def _coded(
    path: tuple[bytes, ...], physical: int, levels: _Levels, codes: ByteArray, dictionary: NDArray[Any]
) -> _Column:
    """A column of codes into a dictionary of at most 256 entries, with as few bits per code as they need."""
    count = len(dictionary)
    if count == 1:  # all alike: one run says so
        page = levels.page(np.empty(0, np.uint8), bytes([1]) + varint(len(codes) << 1) + b"\x00")
    else:
        width = next(bits for bits in (1, 2, 4, 8) if count <= 1 << bits)
        packed = np.zeros(-(-len(codes) // 8) * width, np.uint8)
        pagekernels.pack_codes(codes, width, packed)
        page = levels.page(packed, _packed_head(len(codes), width))
    return _Column(path, physical, _RLE_DICTIONARY, levels.slots, page, dictionary.tobytes(), count)


def _schema_elements(categories: int) -> list[Struct]:
    """The columns as Parquet's SchemaElements, depth first, just as pyarrow would write them."""
    int16: Struct = {6: 16, 10: {10: {1: I8(16), 2: True}}}
    uint8: Struct = {6: 11, 10: {10: {1: I8(8), 2: False}}}

    def listed(name: bytes, physical: int, logical: Struct) -> list[Struct]:
        return [
            {3: _OPTIONAL, 4: name, 5: 1, 6: 3, 10: {3: {}}},
            {3: _REPEATED, 4: b"list", 5: 1},
            {1: physical, 3: _OPTIONAL, 4: b"element", **logical},
        ]

    return [
        {3: 0, 4: b"schema", 5: 4},
        {1: _BYTE_ARRAY, 3: _OPTIONAL, 4: b"image", 6: 0, 10: {1: {}}},
        *listed(b"labels", _INT32, int16 if categories < INT32_FROM else {}),
        *listed(b"confidences", _FLOAT, {}),
        *listed(b"origins", _INT32, uint8),
    ]


def _values(lists: pa.ListArray) -> NDArray[Any]:
    """The entries of all rows as a numpy array, without a copy."""
    return np.ascontiguousarray(lists.flatten().to_numpy(zero_copy_only=True))
