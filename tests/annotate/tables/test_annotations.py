from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate.labels.schema import Origin
from mlimages.errors import FormatError, TableError
from tests.annotate.strategies import table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)


@pytest.fixture
def table(zoo: Hierarchy, tmp_path: Path) -> AnnotationTable:
    """Four parts of up to 30 images in row groups of 10; image i carries category i % 10."""
    rows = {f"{i}.jpg": [(i % 10, 1.0)] if i != 50 else [(CAT, 0.5), (WATER, 0.0)] for i in range(100)}
    return table_of(rows, zoo, tmp_path / "table", part_rows=30, batch_rows=10)


def test_it_has_the_columns_of_the_design(table: AnnotationTable) -> None:
    assert [part.rows for part in table.manifest.parts] == [30, 30, 30, 10]
    assert len(table) == 100
    assert table.to_table().schema.equals(
        pa.schema(
            [
                ("image", pa.string()),
                ("labels", pa.list_(pa.int16())),
                ("confidences", pa.list_(pa.float32())),
                ("origins", pa.list_(pa.uint8())),
            ]
        )
    )
    assert sum(batch.num_rows for batch in table.batches(columns=["image"])) == 100
    assert max(batch.num_rows for batch in table.batches(rows=7)) == 7


def test_labels_of_an_image_are_named(table: AnnotationTable) -> None:
    labels = table.labels_of("50.jpg")
    assert [(each.category.key, each.confidence, each.origin) for each in labels] == [
        ("cat", 0.5, Origin.GIVEN),
        ("pet", 0.5, Origin.ANCESTOR),
        ("animal", 0.5, Origin.ANCESTOR),
        ("thing", 0.5, Origin.ANCESTOR),
        ("water", 0.0, Origin.GIVEN),
    ]
    with pytest.raises(TableError, match=r"holds no image '50'; names are case-sensitive"):
        table.labels_of("50")


def test_rows_are_taken_in_any_order(table: AnnotationTable) -> None:
    rows = [99, 0, 31, 31, 5]
    assert table.take(rows, columns=["image"]).column("image").to_pylist() == [f"{i}.jpg" for i in rows]
    assert table.take([]).num_rows == 0
    with pytest.raises(IndexError, match="row 100 of a table of 100"):
        table.take([100])


def test_multi_hot_tells_unknown_from_absent(table: AnnotationTable) -> None:
    matrix = table.multi_hot([50, 7], unknown=-1)
    assert matrix.dtype == np.float32
    expected = np.full((2, 10), -1, np.float32)
    expected[0, [CAT, PET, ANIMAL, THING]] = 0.5
    expected[0, WATER] = 0
    expected[1, [PLANT, THING]] = 1
    np.testing.assert_array_equal(matrix, expected)
    assert table.multi_hot([50])[0, WATER] == 0


def test_categories_are_counted_where_they_are_present(table: AnnotationTable) -> None:
    counts = table.category_counts()
    assert counts[[CAT, WATER, STUFF]].tolist() == [11, 10, 20]
    assert counts[DOG] == 19  # 50.jpg would have been a tenth dog; puppies are dogs


def test_the_categories_travel_along(table: AnnotationTable, zoo: Hierarchy) -> None:
    assert AnnotationTable.open(table.folder).hierarchy == zoo
    assert AnnotationTable.open(table.folder, hierarchy=zoo).hierarchy.names == zoo.names


def test_another_hierarchy_is_refused(table: AnnotationTable, zoo: Hierarchy) -> None:
    with pytest.raises(
        TableError, match=r"indices would mean other categories; .*categories.parquet holds the right one"
    ):
        AnnotationTable.open(table.folder, hierarchy=zoo.restrict(range(9)))


def test_what_is_no_table_is_said(tmp_path: Path, table: AnnotationTable) -> None:
    with pytest.raises(TableError, match="no such folder"):
        AnnotationTable.open(tmp_path / "nothing")
    with pytest.raises(TableError, match=r"found no manifest.json, expected an annotation table"):
        AnnotationTable.open(tmp_path)
    (table.folder / "part-00002.parquet").write_bytes(b"garbage")
    with pytest.raises(TableError, match="damaged"):
        table.to_table()
    (table.folder / "part-00002.parquet").unlink()
    with pytest.raises(TableError, match=r"missing; mlimages verify checks all parts"):
        table.to_table()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"manifest.json:1: not JSON"),
        ("[]", "found a JSON list, expected an object"),
        ("{}", "not the manifest of a table"),
        ('{"format_version": 99}', "found format version 99, and this mlimages reads up to 1: upgrade it"),
    ],
)
def test_a_bad_manifest_is_said(table: AnnotationTable, text: str, message: str) -> None:
    (table.folder / "manifest.json").write_text(text)
    with pytest.raises(FormatError, match=message):
        AnnotationTable.open(table.folder)


def test_pandas_gets_arrays(table: AnnotationTable) -> None:
    frame = table.to_pandas(columns=["image", "labels"])
    assert list(frame.columns) == ["image", "labels"]
    assert frame["labels"][5].tolist() == [CAT, PET, ANIMAL, THING]
