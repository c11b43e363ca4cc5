from __future__ import annotations

import io

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.annotate.labels.schema import table_schema
from mlimages.annotate.parquet import writerkernels as pagekernels
from mlimages.annotate.parquet.writer import TableWriter, thrift
from mlimages.storage.files import file_hash
from mlimages.wire import varint


def make(
    rows: int, *, categories: int, empty: bool = False, confidences: int = 3, origins: int = 2, seed: int = 0
) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0 if empty else 1, 20, rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    count = int(lengths.sum())
    schema = table_schema(categories)
    values = [
        pa.array(rng.integers(0, categories, count)).cast(schema.field("labels").type.value_type),
        pa.array((rng.integers(0, confidences, count) / max(confidences - 1, 1)).astype(np.float32)),
        pa.array(rng.integers(0, origins, count).astype(np.uint8)),
    ]
    images = pa.array([f"{rng.integers(0, 10**9):x}{'é' * (i % 3)}.jpg" for i in range(rows)])
    return pa.RecordBatch.from_arrays(
        [images, *(pa.ListArray.from_arrays(offsets, each) for each in values)], schema=schema
    )


def write(batches: list[pa.RecordBatch], *, categories: int, metadata: dict[bytes, bytes] | None = None) -> bytes:
    file = io.BytesIO()
    writer = TableWriter(file, categories=categories, metadata=metadata or {})
    for batch in batches:
        writer.write(batch)
    written = writer.close({b"more": b"later"})
    data = file.getvalue()
    assert written.bytes == len(data)
    assert written.rows == sum(batch.num_rows for batch in batches)
    assert written.xxh3_128 == xxhash.xxh3_128_hexdigest(data)
    return data


@pytest.mark.parametrize("categories", [5, 300, 11_166, 40_000])
@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("confidences", "origins"), [(1, 1), (2, 2), (4, 3), (16, 5), (256, 2), (1000, 4)])
def test_pyarrow_reads_what_was_written(categories: int, empty: bool, confidences: int, origins: int) -> None:
    options = {"categories": categories, "empty": empty, "confidences": confidences, "origins": origins}
    batches = [make(1500, **options), make(1, **options, seed=1), make(77, **options, seed=2).slice(5, 50)]
    data = write(batches, categories=categories, metadata={b"mlimages": b"{}"})
    read = pq.read_table(io.BytesIO(data))
    read.validate(full=True)
    assert read.equals(pa.Table.from_batches(batches))
    assert read.schema.metadata == {b"mlimages": b"{}", b"more": b"later"}
    assert pq.ParquetFile(io.BytesIO(data)).metadata.num_row_groups == 3


def test_the_columns_are_those_that_pyarrow_itself_would_write() -> None:
    for categories in (10, 40_000):
        ours = pq.ParquetFile(io.BytesIO(write([make(10, categories=categories)], categories=categories)))
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_batches([make(10, categories=categories)]), buffer)
        theirs = pq.ParquetFile(buffer)
        assert str(ours.schema).split("\n")[1:] == str(theirs.schema).split("\n")[1:]
        for i in range(4):
            assert ours.schema.column(i).equals(theirs.schema.column(i))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("confidences", [1, 3, 1000])
def test_duckdb_and_polars_read_it_too(tmp_path, empty: bool, confidences: int) -> None:
    batch = make(3000, categories=11_166, empty=empty, confidences=confidences)
    path = tmp_path / "part.parquet"
    path.write_bytes(write([batch, batch.slice(100)], categories=11_166))
    expected = pa.Table.from_batches([batch, batch.slice(100)]).to_pydict()
    assert duckdb.sql(f"select * from '{path}'").to_arrow_table().to_pydict() == expected
    assert polars.read_parquet(path).to_dict(as_series=False) == expected
    assert file_hash(path) == xxhash.xxh3_128_hexdigest(path.read_bytes())


def test_a_table_without_rows_is_a_table() -> None:
    read = pq.read_table(io.BytesIO(write([], categories=3)))
    assert read.schema.remove_metadata() == table_schema(3)
    assert read.num_rows == 0


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=5),
            st.lists(st.tuples(st.integers(0, 19), st.floats(0, 1, width=32), st.integers(0, 4)), max_size=9),
        ),
        max_size=40,
    )
)
def test_any_rows_come_back(rows: list[tuple[str, list[tuple[int, float, int]]]]) -> None:
    columns = [[name for name, _ in rows]] + [[[entry[k] for entry in labels] for _, labels in rows] for k in range(3)]
    schema = table_schema(20)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    read = pq.read_table(io.BytesIO(write([batch], categories=20)))
    assert read.to_pydict() == batch.to_pydict()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 100_000)), max_size=400))
def test_lengths_are_packed_as_parquet_says(lengths: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    out = np.full(64 + (len(lengths) + 128) * 6, 255, np.uint8)
    used = pagekernels.write_lengths(offsets, out)
    assert unpack(out[:used].tobytes()) == lengths


def unpack(data: bytes) -> list[int]:
    """DELTA_BINARY_PACKED in plain Python."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def zigzag() -> int:
        value = varint()
        return value >> 1 if value % 2 == 0 else -(value + 1) // 2

    block, minis, count, first = varint(), varint(), varint(), zigzag()
    assert (block, minis) == (128, 4)
    values = [first][:count]
    while len(values) < count:
        lowest = zigzag()
        widths = data[at : at + 4]
        at += 4
        for width in widths:
            packed = int.from_bytes(data[at : at + 4 * width], "little")
            at += 4 * width
            for k in range(32):
                if len(values) < count:
                    values.append(values[-1] + lowest + (packed >> (k * width) & ((1 << width) - 1)))
    assert at == len(data)
    return values


def test_thrift_numbers_are_varints_and_zigzags() -> None:
    assert varint(0) == b"\x00"
    assert varint(300) == b"\xac\x02"
    assert [thrift.zigzag(value) for value in (0, -1, 1, -2, 63, 64)] == [b"\0", b"\1", b"\2", b"\3", b"~", b"\x80\1"]


def test_thrift_lists_of_fifteen_have_a_longer_head() -> None:
    assert thrift.struct({1: [1] * 14})[:2] == b"\x19\xe5"
    assert thrift.struct({1: [1] * 15})[:3] == b"\x19\xf5\x0f"
    assert thrift.struct({1: [], 20: b"x"}) == b"\x19\x0c\x08\x28\x01x\x00"
