"""What a batch must be, column by column: each type that holds the same values, and each damage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlimages.annotate.labels.schema import Origin, table_schema
from mlimages.errors import LabelError
from mlimages.images.packed.writing import packed_schema
from mlimages.storage.checks import GREATEST, Columns, check_memory, validate
from mlimages.storage.column import Damage

SCHEMA = table_schema(3)
COLUMNS = Columns(SCHEMA, 3)
LABELS = [[0, 1], [], [2]]
ROWS = {
    "image": ["a", "ä", "c"],
    "labels": LABELS,
    "confidences": [[1.0, 0.5], [], [0.0]],
    "origins": [[0, 1], [], [4]],
}


def batch(**changed: Any) -> pa.RecordBatch:
    """The rows above with other columns; None leaves one out."""
    arrays = {name: pa.array(ROWS[name], SCHEMA.field(name).type) for name in ROWS} | changed
    arrays = {name: each for name, each in arrays.items() if each is not None}
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def cast(name: str, kind: pa.DataType) -> pa.Array:
    """A column as another program has it."""
    rows = ROWS[name]
    if getattr(kind, "value_type", None) == pa.float16():  # which older Arrow takes from numpy alone
        rows = [[np.float16(value) for value in row] for row in rows]
    return pa.array(rows, kind)


def fixed_size(kind: pa.DataType) -> dict[str, pa.Array]:
    """All lists of one length, as fixed-size lists."""
    values = {"labels": [[0, 1]] * 3, "confidences": [[1, 0]] * 3, "origins": [[0, 1]] * 3}
    return {name: pa.array(each, pa.list_(kind, 2)) for name, each in values.items()}


def test_known_origins_are_those_of_the_enum():
    assert GREATEST["origins"] == max(Origin)


def test_a_batch_of_the_types_of_a_table_is_not_copied():
    given = batch()
    checked = COLUMNS.check(given)
    assert checked.equals(given)
    assert checked.column("labels").values.buffers()[1].address == given.column("labels").values.buffers()[1].address


@pytest.mark.parametrize(
    ("name", "column"),
    [
        *[
            ("labels", cast("labels", outer(inner)))
            for outer in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
            for inner in (pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint64(), pa.float64())
        ],
        (
            "labels",
            pa.ListArray.from_arrays(
                pa.array([0, 2, 2, 3], pa.int32()), pa.array([0, 1, 2], pa.int64()).dictionary_encode()
            ),
        ),
        ("labels", pa.array(LABELS, pa.list_(pa.field("item", pa.int16(), nullable=False)))),
        *[
            ("confidences", cast("confidences", outer(inner)))
            for outer in (pa.list_, pa.large_list, pa.list_view)
            for inner in (pa.float64(), pa.float16())
        ],
        *[("origins", cast("origins", pa.list_(inner))) for inner in (pa.int8(), pa.int64(), pa.uint32())],
        ("image", cast("image", pa.large_string())),
        ("image", cast("image", pa.string_view())),
        ("image", cast("image", pa.string()).dictionary_encode()),
        ("image", cast("image", pa.large_string()).dictionary_encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.type),
)
def test_types_that_hold_the_same_values_are_cast(name: str, column: pa.Array):
    for start in (0, 1):
        checked = COLUMNS.check(batch(**{name: column}).slice(start))
        checked.validate(full=True)
        assert checked.equals(batch().slice(start))
        assert checked.schema.equals(SCHEMA)


def test_lists_of_one_size_and_lists_without_a_type_are_cast():
    checked = COLUMNS.check(batch(**fixed_size(pa.int64())).slice(1))
    assert checked.column("labels").to_pylist() == [[0, 1], [0, 1]]
    empty = pa.array([[], [], []])
    assert COLUMNS.check(batch(labels=empty, confidences=empty, origins=empty)).schema.equals(SCHEMA)


def test_whole_confidences_are_numbers_too():
    checked = COLUMNS.check(batch(confidences=pa.array([[1, 0], [], [1]], pa.list_(pa.int64()))))
    assert checked.column("confidences").to_pylist() == [[1.0, 0.0], [], [1.0]]


def test_columns_come_by_name_in_the_order_of_the_schema_and_others_are_left_out():
    given = (
        batch().append_column("more", pa.array([1, 2, 3])).select(["more", "origins", "labels", "image", "confidences"])
    )
    assert COLUMNS.check(given).equals(batch())
    assert COLUMNS.select(["origins", "image"]).check(given).schema.names == ["origins", "image"]


@pytest.mark.parametrize(
    ("changed", "row", "reason"),
    [
        ({"labels": [[0, 1], [], [3]]}, 2, "found the label 3, expected 0 to 2"),
        ({"labels": [[0, 1], [], [-1]]}, 2, "found the label -1, expected 0 to 2"),
        ({"labels": [[0, 30_000], [], [-1]]}, 0, "found the label 30000, expected 0 to 2"),
        ({"labels": pa.array([[0, 1], [], [1 << 40]])}, 2, "found the label 1099511627776, expected 0 to 2"),
        ({"labels": pa.array([[0, 1], [], [-1]], pa.list_(pa.int8()))}, 2, "found the label -1, expected 0 to 2"),
        ({"labels": pa.array([[0, 0.5], [], [1]])}, 0, "found the label 0.5, expected 0 to 2"),
        ({"labels": [[0, None], [], [1]]}, 0, "found a null among its labels, expected 0 to 2"),
        ({"labels": [[0, 1], None, [1]]}, 1, "found a null in the column labels, expected a list"),
        ({"confidences": [[1, 2.5], [], [1]]}, 0, "found the confidence 2.5, expected 0 to 1"),
        ({"confidences": [[1, -2.5], [], [1]]}, 0, "found the confidence -2.5, expected 0 to 1"),
        ({"confidences": [[1, 1], [], [np.nan]]}, 2, "found the confidence nan, expected 0 to 1"),
        ({"confidences": [[1, np.inf], [], [1]]}, 0, "found the confidence inf, expected 0 to 1"),
        ({"confidences": [[1, 1.0000001], [], [1]]}, 0, "found the confidence 1.0000001, expected 0 to 1"),
        ({"confidences": pa.array([[1, 1], [], [np.nan]])}, 2, "found the confidence nan, expected 0 to 1"),
        ({"confidences": [[1], [], [1]]}, 0, "found 1 confidences for 2 labels, expected as many"),
        ({"confidences": [[1, 1], [1], []]}, 1, "found 1 confidences for 0 labels, expected as many"),
        ({"origins": [[0, 0], [], [5]]}, 2, "found the origin 5, expected 0 to 4"),
        ({"origins": pa.array([[0, 0], [], [-1]])}, 2, "found the origin -1, expected 0 to 4"),
        ({"image": ["a", None, "c"]}, 1, "found a null in the column image, expected a value in every row"),
    ],
)
def test_a_bad_row_is_named(changed: dict[str, Any], row: int, reason: str):
    columns = {
        name: each if isinstance(each, pa.Array) else pa.array(each, SCHEMA.field(name).type)
        for name, each in changed.items()
    }
    with pytest.raises(Damage) as caught:
        COLUMNS.check(batch(**columns))
    assert (caught.value.row, caught.value.reason) == (row, reason)
    sliced = batch(**columns).slice(row)
    with pytest.raises(Damage) as caught:
        COLUMNS.check(sliced)
    assert (caught.value.row, caught.value.reason) == (0, reason)
    sifted, bad = COLUMNS.sift(batch(**columns))
    assert (row, reason) in [(each.row, each.reason) for each in bad]
    assert sifted.num_rows + len(bad) == 3


def test_negative_zero_is_zero():
    assert COLUMNS.check(batch(confidences=pa.array([[1, -0.0], [], [1]], pa.list_(pa.float32())))).num_rows == 3


def test_text_that_is_not_utf8_is_a_bad_row():
    text = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"a\xffc"))
    with pytest.raises(Damage, match="not UTF-8") as caught:
        COLUMNS.check(batch(image=text))
    assert caught.value.row == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"origins": None}, "found the columns image, labels, confidences, expected origins among them"),
        ({"labels": pa.array([["0"], [], ["1"]])}, "column labels has the type list<item: string>, expected list<"),
        ({"labels": pa.array([[True], [], [False]])}, "column labels has the type list<item: bool>"),
        ({"labels": pa.array([0, 1, 2], pa.int16())}, "column labels has the type int16"),
        ({"labels": pa.array(["0", "1", "2"])}, "column labels has the type string"),
        ({"image": pa.array([b"a", b"b", b"c"])}, "column image has the type binary, expected string"),
        ({"image": pa.array([1, 2, 3])}, "column image has the type int64, expected string"),
    ],
)
def test_a_column_that_cannot_be_cast_is_refused_as_a_whole(changed: dict[str, Any], reason: str):
    for look in (COLUMNS.check, COLUMNS.sift):
        with pytest.raises(Damage) as caught:
            look(batch(**changed))
        assert caught.value.row is None
        assert caught.value.reason.startswith(reason)


def test_a_column_that_stands_twice_is_refused():
    with pytest.raises(Damage, match="expected labels once among them"):
        COLUMNS.check(batch().append_column("labels", pa.array(LABELS)))


def test_only_columns_that_are_selected_are_looked_at():
    broken = batch(origins=pa.array([[0, 0], [], [99]], pa.list_(pa.uint8())), image=pa.array([None] * 3, pa.string()))
    assert COLUMNS.select(["labels", "confidences"]).check(broken).num_rows == 3
    with pytest.raises(Damage, match="found no column unsure, expected one of image, labels"):
        COLUMNS.select(["unsure"])


def test_sifting_names_each_bad_row_once_with_its_first_problem():
    labels = pa.array([[0, 1], [7], [-1, 9]], pa.list_(pa.int16()))
    ones = pa.array([[1, 1], [1], [1, 3]], pa.list_(pa.float32()))
    kept, bad = Columns(SCHEMA.remove(3), 3).sift(batch(labels=labels, confidences=ones, origins=None))
    assert kept.to_pydict() == {"image": ["a"], "labels": [[0, 1]], "confidences": [[1, 1]]}
    assert [(each.row, each.reason) for each in bad] == [
        (1, "found the label 7, expected 0 to 2"),
        (2, "found the label -1, expected 0 to 2"),
    ]


def test_images_of_packed_rows_are_structs_of_bytes_and_a_name():
    columns = Columns(packed_schema(3).remove_metadata(), 3).select(["image", "labels"])
    labels = pa.array([[0], [1]], pa.list_(pa.int16()))

    def packed(image: pa.Array) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([image, labels], names=["image", "labels"])

    good = [{"path": "a", "bytes": b"x"}, {"path": "b", "bytes": b""}]
    kind = pa.struct([("path", pa.large_string()), ("more", pa.int8()), ("bytes", pa.large_binary())])
    checked = columns.check(packed(pa.array(good, kind)))
    assert checked.column("image").to_pylist() == [{"bytes": b"x", "path": "a"}, {"bytes": b"", "path": "b"}]
    assert columns.leaves == ["image.bytes", "image.path", "labels"]
    for row, reason in (
        ({"path": None, "bytes": b""}, "found a null in the column image.path"),
        ({"path": "b", "bytes": None}, "found a null in the column image.bytes"),
        (None, "found a null in the column image, "),
    ):
        with pytest.raises(Damage, match=reason) as caught:
            columns.check(packed(pa.array([good[0], row], kind)))
        assert caught.value.row == 1
    with pytest.raises(Damage, match=r"expected image\.bytes in it"):
        columns.check(packed(pa.array(good, pa.struct([("path", pa.string())]))))
    names = columns.select(["image.path"]).check(packed(pa.array(good, kind)))
    assert names.column("image").to_pylist() == [{"path": "a"}, {"path": "b"}]


def test_plain_numbers_and_columns_with_nulls_are_checked_too():
    schema = pa.schema([("group", pa.int64()), ("phash", pa.uint64()), ("sha256", pa.binary(2))])
    columns = Columns(schema, None, {"group": 9}, nullable={"phash", "sha256"})
    given = {
        "group": pa.array([0, 9], pa.int32()),
        "phash": pa.array([None, 5], pa.int64()),
        "sha256": pa.array([b"ab", None], pa.binary(2)),
    }
    assert columns.check(pa.record_batch(given)).to_pydict() == {
        "group": [0, 9],
        "phash": [None, 5],
        "sha256": [b"ab", None],
    }
    for group in ([0, 10], [0, -1], [0, None]):
        with pytest.raises(Damage) as caught:
            columns.check(pa.record_batch(given | {"group": pa.array(group, pa.int64())}))
        assert caught.value.row == 1
    with pytest.raises(Damage, match="column phash has the type string"):
        columns.check(pa.record_batch(given | {"phash": pa.array(["a", "b"])}))


def test_a_batch_in_memory_may_lack_all_but_names_and_labels():
    names = ("image", "labels", "confidences", "origins")
    given = pa.record_batch({"image": ["a"], "labels": [[5]]})
    assert check_memory(given, names, labels=pa.int32()).schema.names == ["image", "labels"]
    with pytest.raises(LabelError, match=r"row 0 \('a'\): found the confidence 2, expected 0 to 1"):
        check_memory(given.append_column("confidences", pa.array([[2]])), names, labels=pa.int32())
    with pytest.raises(LabelError, match="expected image among them"):
        check_memory(given.select(["labels"]), names, labels=pa.int32())


def test_offsets_that_fall_are_refused():
    offsets = pa.py_buffer(np.array([0, 2, 1, 2], np.int32))
    lists = pa.ListArray.from_buffers(pa.list_(pa.int16()), 3, [None, offsets], children=[pa.array([1, 2], pa.int16())])
    with pytest.raises(LabelError, match="not valid Arrow data"):
        validate(pa.RecordBatch.from_arrays([pa.array(["a", "b", "c"]), lists], names=["image", "labels"]))
