"""Files beside the parts of tables, read through the same checks."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlimages.errors import FormatError
from mlimages.storage.checks import Columns
from mlimages.storage.part import read_file

COLUMNS = Columns(pa.schema([("group", pa.int64()), ("image", pa.string())]), None, {"group": 9})


def test_a_file_of_the_columns_is_read_whatever_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    kinds = pa.schema([("image", pa.large_string()), ("more", pa.int8()), ("group", pa.int32())])
    pq.write_table(pa.table({"image": ["a", "b"], "more": [1, 2], "group": [0, 9]}, schema=kinds), path)
    read = read_file(path, COLUMNS, advice="write it anew")
    assert read.schema.equals(COLUMNS.schema)
    assert read.to_pydict() == {"group": [0, 9], "image": ["a", "b"]}
    pq.write_table(pa.table({"image": [], "group": []}, schema=kinds.remove(1)), path)
    assert read_file(path, COLUMNS, advice="write it anew").num_rows == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"group": [0, 10], "image": ["a", "b"]}, "row 1: found the entry of group 10, expected 0 to 9; write it anew"),
        ({"group": [-1], "image": ["a"]}, "row 0: found the entry of group -1, expected 0 to 9; write it anew"),
        (
            {"group": [1], "image": [None]},
            "row 0: found a null in the column image, expected a value in every row; write",
        ),
        ({"group": ["1"], "image": ["a"]}, "column group has the type string, expected int64; write it anew"),
        ({"image": ["a"]}, "found the columns image, expected group among them; write it anew"),
        (None, r"damaged \(.*\); write it anew"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: dict[str, list[object]] | None, message: str):
    path = tmp_path / "groups.parquet"
    if content is None:
        path.write_bytes(b"PAR1 and nothing else")
    else:
        pq.write_table(pa.table(content), path)
    with pytest.raises(FormatError, match=rf"groups\.parquet: ({message})") as caught:
        read_file(path, COLUMNS, advice="write it anew")
    assert "\n" not in str(caught.value)
