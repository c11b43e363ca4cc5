"""Hierarchies as Parquet files: read, written, and refused with the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy
from mlimages.errors import FormatError

GARBAGE = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def table(**changed: pa.Array | None) -> pa.Table:
    """A table of three categories, some columns changed or, if None, left out."""
    columns = {
        "index": pa.array([0, 1, 2], pa.int32()),
        "key": pa.array(["a", "b", "c"]),
        "names": pa.array([["x", "y"], [], ["z"]], pa.list_(pa.string())),
        "parents": pa.array([[], [0], [1, 0]], pa.list_(pa.int32())),
    } | changed
    return pa.table({name: column for name, column in columns.items() if column is not None})


def test_parquet_brings_the_hierarchy_back(zoo, tmp_path):
    zoo.to_parquet(tmp_path / "h.parquet")
    assert Hierarchy.from_parquet(tmp_path / "h.parquet") == zoo


def test_parquet_is_the_same_byte_for_byte_every_time(zoo, tmp_path):
    for name in ("1", "2"):
        zoo.to_parquet(tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_parquet_has_the_documented_columns(zoo, tmp_path):
    zoo.to_parquet(str(tmp_path / "h.parquet"))
    written = pq.read_table(tmp_path / "h.parquet")
    assert written.schema.metadata[b"mlimages.hierarchy.fingerprint"].decode() == zoo.fingerprint
    assert written.slice(0, 1).to_pylist() == [{"index": 0, "key": "dog", "names": ["Dog", "a dog"], "parents": [2, 3]}]


@pytest.mark.parametrize("keys", [[], ["a"]])
def test_parquet_brings_the_smallest_hierarchies_back(keys, tmp_path):
    h = Hierarchy(keys, [[] for _ in keys])
    h.to_parquet(tmp_path / "h.parquet")
    assert Hierarchy.from_parquet(tmp_path / "h.parquet") == h


def test_parquet_of_wider_types_and_more_columns_is_read(tmp_path):
    wide = table(
        index=pa.array([0, 1, 2], pa.int64()),
        key=pa.array(["a", "b", "c"], pa.large_string()).dictionary_encode(),
        parents=pa.array([[], [0], [1, 0]], pa.large_list(pa.int64())),
        extra=pa.array([1.0, 2.0, 3.0]),
    )
    pq.write_table(wide, tmp_path / "h.parquet", row_group_size=2)
    h = Hierarchy.from_parquet(tmp_path / "h.parquet")
    assert (h.keys, h.names) == (("a", "b", "c"), (("x", "y"), (), ("z",)))
    assert [row.tolist() for row in h.parents()] == [[], [0], [1, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table(parents=None), "found the columns index, key, names; expected parents once among them"),
        (table(index=pa.array(["0", "one", "2"])), "not a Parquet file of a hierarchy"),
        (table(index=pa.array([0, 2, 1])), "found a column index that does not count up from 0"),
        (table(index=pa.array([0, None, 2])), "null"),
        (table(key=pa.array(["a", None, "c"])), "null"),
        (table(key=pa.array(["a", "b", "a"])), "duplicate key 'a': categories 0 and 2"),
        (table(key=pa.array([b"a", b"\xff", b"c"])), "(?i)utf-?8"),
        (table(names=pa.array([["x"], None, []])), "null"),
        (table(names=pa.array([["x"], [None], []])), "found a null in the lists of the column names, expected none"),
        (table(names=pa.array(["x", "y", "z"])), "expected index int32, key string, names list"),
        (table(parents=pa.array([[], [None], []], pa.list_(pa.int32()))), "null in the lists of the column parents"),
        (table(parents=pa.array([[], [3], []])), r"category 1 \(b\) has the unknown parent 3"),
        (table(parents=pa.array([[], [2**40], []])), "not a Parquet file of a hierarchy"),
        (table(parents=pa.array([[], [0, 0], []])), r"category 1 \(b\) names its parent 0 \(a\) twice"),
        (table(parents=pa.array([[], [2], [1]])), "cycle of 2 categories: b -> c -> b"),
        (table().replace_schema_metadata({"mlimages.hierarchy.fingerprint": "0"}), "the stored fingerprint does not"),
        (pa.Table.from_arrays([pa.array([0])] * 2, ["index", "index"]), "expected index once among them"),
        (pa.table({}), "expected index once among them"),
    ],
)
def test_bad_parquet_is_refused_with_the_file(rows, message, tmp_path):
    path = tmp_path / "h.parquet"
    pq.write_table(rows, path)
    with pytest.raises(FormatError, match=message) as caught:
        Hierarchy.from_parquet(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"category_index\tcategory_id\n"])
def test_no_parquet_is_refused_with_the_file(content, tmp_path):
    path = tmp_path / "h.parquet"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"^{path}: not a Parquet file of a hierarchy \("):
        Hierarchy.from_parquet(path)


def test_missing_files_and_folders_are_os_errors(zoo, tmp_path):
    with pytest.raises(FileNotFoundError):
        Hierarchy.from_parquet(tmp_path / "none.parquet")
    with pytest.raises(IsADirectoryError):
        Hierarchy.from_parquet(tmp_path)
    with pytest.raises(FileNotFoundError):
        zoo.to_parquet(tmp_path / "none" / "h.parquet")


@GARBAGE
@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_a_format_error(tmp_path, data, framed):
    path = tmp_path / "garbage.parquet"
    path.write_bytes(b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1" if framed else data)
    with pytest.raises(FormatError):
        Hierarchy.from_parquet(path)


@GARBAGE
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5))
def test_mutated_parquet_is_read_or_refused(tmp_path, zoo, mutations):
    path = tmp_path / "mutated.parquet"
    zoo.to_parquet(path)
    data = bytearray(path.read_bytes())
    for place, value in mutations:
        data[int(place * len(data))] = value
    path.write_bytes(data)
    try:
        h = Hierarchy.from_parquet(path)
    except FormatError:
        return
    assert h.fingerprint  # what was read is whole


def test_reading_parquet_does_not_load_pandas(zoo, tmp_path):
    zoo.to_parquet(tmp_path / "h.parquet")
    code = "import sys, mlimages; mlimages.Hierarchy.from_parquet(sys.argv[1]); print('pandas' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "h.parquet"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert run.stdout == "False\n"
