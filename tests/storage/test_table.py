"""What of a damaged table is said, and what of one that another program wrote is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlimages
from mlimages import AnnotationTable, Hierarchy
from mlimages.annotate.tables.predictions import PredictionTable, write_predictions
from mlimages.errors import FormatError, TableError
from mlimages.storage.manifest import Manifest
from mlimages.storage.part import DamagedRow
from mlimages.storage.rows import StoredRows
from mlimages.storage.verify import verify_parts

PART = "part-00000.parquet"
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def table(zoo: Hierarchy, tmp_path: Path) -> AnnotationTable:
    """Twelve images, image i of category i % 10."""
    source = pa.table({"image": [f"{i}.jpg" for i in range(12)], "labels": [[i % 10] for i in range(12)]})
    return mlimages.annotate(source, zoo, out=tmp_path / "table")


def change(table: AnnotationTable, how: Change, *, rows: int = 5) -> AnnotationTable:
    """Write the part anew in row groups of some rows, and leave the manifest as it was."""
    path = table.folder / PART
    pq.write_table(how(pq.read_table(path)), path, row_group_size=rows)
    return AnnotationTable.open(table.folder)


def with_row(column: str, row: int, value: Any) -> Change:
    """Put a value into a row of a column."""

    def how(part: pa.Table) -> pa.Table:
        values = part.column(column).to_pylist()
        values[row] = value
        place = part.schema.get_field_index(column)
        return part.set_column(place, column, pa.array(values, part.schema.field(column).type))

    return how


def read_all(table: AnnotationTable) -> None:
    for _ in table.batches():
        pass


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (with_row("labels", 7, [30_000]), r"row 7 \('7\.jpg'\): found the label 30000, expected 0 to 9"),
        (with_row("labels", 11, [-1, 2]), r"row 11 \('11\.jpg'\): found the label -1, expected 0 to 9"),
        (with_row("confidences", 6, [1]), r"row 6 \('6\.jpg'\): found 1 confidences for 2 labels, expected as many"),
        (with_row("image", 3, None), r"row 3: found a null in the column image"),
        (lambda part: part.drop_columns("origins"), "expected origins among them"),
        (lambda part: part.slice(1), "found 11 rows, expected 12 as the manifest says"),
        (lambda part: pa.concat_tables([part, part]), "found 24 rows, expected 12 as the manifest says"),
        (lambda part: part.slice(0, 0), "found 0 rows, expected 12 as the manifest says"),
    ],
)
def test_damage_is_one_line_that_names_the_part(table: AnnotationTable, how: Change, message: str):
    table = change(table, how)
    for read in (read_all, lambda each: each.take(range(12)), lambda each: each.to_table()):
        with pytest.raises(
            TableError, match=rf"part-00000\.parquet: .*{message}.*; mlimages verify --content checks all"
        ):
            read(table)
    assert len(list(table.problems())) == 1


def test_the_image_is_named_where_only_labels_are_read(table: AnnotationTable):
    table = change(table, with_row("labels", 7, [30_000]))
    with pytest.raises(TableError, match=r"row 7 \('7\.jpg'\): found the label 30000"):
        table.category_counts()
    with pytest.raises(TableError, match=r"row 7 \('7\.jpg'\): found the label 30000"):
        list(StoredRows(table, ["labels"]).read(6, 8))
    with pytest.raises(TableError, match=r"row 7 \('7\.jpg'\): found the label 30000"):
        table.multi_hot([5])


def test_only_what_is_read_is_checked(table: AnnotationTable):
    table = change(table, with_row("origins", 7, [99]))
    assert table.category_counts().sum() > 0
    assert table.take([0, 11]).num_rows == 2  # neither stands in the row group of row 7
    with pytest.raises(TableError, match="found the origin 99, expected 0 to 4"):
        table.take([5])


@pytest.mark.parametrize(
    "how",
    [
        lambda part: part.select(["origins", "image", "confidences", "labels"]),
        lambda part: part.append_column("split", pa.array(["train"] * len(part))),
        lambda part: part.replace_schema_metadata(None),
        lambda part: part.cast(
            pa.schema(
                [
                    ("image", pa.large_string()),
                    ("labels", pa.large_list(pa.int64())),
                    ("confidences", pa.large_list(pa.float64())),
                    ("origins", pa.large_list(pa.int64())),
                ]
            )
        ),
        lambda part: part.set_column(0, "image", part.column("image").dictionary_encode()),
    ],
    ids=["order", "surplus column", "no metadata", "wider", "dictionary"],
)
def test_a_table_that_another_program_wrote_is_the_same_table(table: AnnotationTable, how: Change):
    expected = table.to_table()
    table = change(table, how)
    assert table.to_table().equals(expected)
    assert table.take([11, 3]).equals(expected.take([11, 3]))
    assert table.to_table(columns=["confidences", "image"]).equals(expected.select(["confidences", "image"]))
    assert list(table.problems()) == []


def test_a_column_that_there_is_not_is_said(table: AnnotationTable):
    with pytest.raises(TableError, match="found no column unsure, expected one of image, labels, confidences, origins"):
        list(table.batches(columns=["unsure"]))


def test_a_part_of_another_hierarchy_is_refused(table: AnnotationTable, zoo: Hierarchy, tmp_path: Path):
    other = mlimages.annotate(
        pa.table({"image": [str(i) for i in range(12)], "labels": [[0]] * 12}),
        zoo.subtree("animal"),
        out=tmp_path / "other",
    )
    shutil.copy(other.folder / PART, table.folder / PART)
    with pytest.raises(TableError, match=r"part-00000\.parquet: found a part made with the hierarchy .*, expected"):
        read_all(table)


def test_bad_rows_are_left_out_and_named(table: AnnotationTable):
    table = change(change(table, with_row("labels", 7, [30_000, 9])), with_row("image", 2, None))
    bad: list[DamagedRow] = []
    assert sum(batch.num_rows for batch in table.sifted_batches(bad)) == 10
    assert [(each.row, each.image, each.reason) for each in bad] == [
        (2, None, "found a null in the column image, expected a value in every row"),
        (7, "7.jpg", "found the label 30000, expected 0 to 9"),
    ]
    bad.clear()
    assert sum(batch.num_rows for batch in table.sifted_batches(bad, unchecked=("labels",))) == 11
    (table.folder / PART).write_bytes(b"nothing")
    assert list(table.sifted_batches(bad)) == []
    assert (bad[-1].row, bad[-1].reason.startswith("damaged (")) == (None, True)


def test_verifying_reads_content_too(table: AnnotationTable):
    assert verify_parts(table.folder) == list(table.problems()) == []
    change(table, with_row("labels", 7, [30_000]))
    (problem,) = table.problems()
    assert problem == f"{table.folder / PART}: row 7 ('7.jpg'): found the label 30000, expected 0 to 9"
    (table.folder / "categories.parquet").unlink()
    assert verify_parts(table.folder)[0].startswith(f"{table.folder / 'categories.parquet'}: missing")


def test_categories_of_another_number_are_refused(table: AnnotationTable, zoo: Hierarchy):
    zoo.subtree("animal").to_parquet(table.folder / "categories.parquet")
    with pytest.raises(
        TableError, match=r"categories\.parquet: found 5 categories, expected 10 as .*manifest\.json says"
    ):
        read_all(AnnotationTable.open(table.folder))
    assert "found the hierarchy" in verify_parts(table.folder)[0]


def test_scores_are_checked(zoo: Hierarchy, tmp_path: Path):
    rows = pa.record_batch({"image": ["a", "b"], "labels": [[1], [2]], "scores": [[0.5], [0.25]]})
    table = write_predictions([rows], tmp_path / "predictions", zoo, outputs=range(10))
    part = pq.read_table(table.folder / PART)
    wrong = pa.array([[0.5], [np.nan]], pa.list_(pa.float32()))
    pq.write_table(part.set_column(2, "scores", wrong), table.folder / PART)
    with pytest.raises(TableError, match=r"row 1 \('b'\): found the score nan, expected 0 to 1"):
        read_all(PredictionTable.open(table.folder))
    assert len(list(PredictionTable.open(table.folder).problems())) == 1


# Manifests ------------------------------------------------------------------------------------------------------------


def set_at(*keys: Any) -> Callable[[dict[str, Any], Any], None]:
    """Put a value at a place of a manifest."""

    def change(content: dict[str, Any], value: Any) -> None:
        inner: Any = content
        for key in keys[:-1]:
            inner = inner[key]
        if value is KeyError:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (set_at("parts"), 3, "found parts 3, expected a list"),
        (set_at("parts"), KeyError, r"KeyError: 'parts'"),
        (set_at("parts"), [], r"found rows 12, and its parts together have 0: parts are missing or surplus"),
        (set_at("parts", 0), "part-00000.parquet", r'found parts\[0\] "part-00000.parquet", expected an object'),
        (set_at("parts", 0, "rows"), "12", r'found parts\[0\]\.rows "12", expected a whole number'),
        (set_at("parts", 0, "rows"), True, r"found parts\[0\]\.rows true, expected a whole number"),
        (set_at("parts", 0, "rows"), 11.5, r"found parts\[0\]\.rows 11\.5, expected a whole number"),
        (set_at("parts", 0, "rows"), -12, r"found -12 rows for the part 'part-00000.parquet', expected 0 or more"),
        (set_at("parts", 0, "rows"), 11, "found rows 12, and its parts together have 11"),
        (set_at("parts", 0, "rows"), KeyError, r"parts\[0\] lacks 'rows'"),
        (set_at("parts", 0, "more"), 1, r"parts\[0\] has 'more'"),
        (
            set_at("parts", 0, "file"),
            "../part-00000.parquet",
            r"found the part '\.\./part-00000\.parquet', expected a file",
        ),
        (set_at("parts", 0, "file"), "/etc/passwd", r"found the part '/etc/passwd', expected a file of this folder"),
        (set_at("parts", 0, "file"), "", "found the part '', expected a file of this folder"),
        (set_at("parts", 0, "file"), "a\ud800", "expected a file of this folder"),
        (set_at("counts"), [], r"found counts \[\], expected an object"),
        (set_at("counts"), {"conflicts": "many"}, r'found counts\.conflicts "many", expected a whole number'),
        (set_at("inputs"), {}, r"found inputs \{\}, expected a list"),
        (set_at("options"), None, "found options null, expected an object"),
        (set_at("format_version"), "1", 'found format_version "1", expected a whole number'),
        (set_at("categories"), KeyError, "KeyError: 'categories'"),
        (set_at("categories"), "10", 'found categories "10", expected a whole number'),
        (set_at("categories"), -1, "found categories -1, expected how many there are"),
        (set_at("categories"), 1 << 40, "found categories 1099511627776, expected how many there are"),
        (set_at("hierarchy_fingerprint"), None, "found hierarchy_fingerprint null, expected text"),
        (set_at("propagation"), KeyError, "KeyError: 'propagation'"),
        (set_at("propagation"), {"ancestors": "some"}, "found another propagation"),
        (set_at("propagation"), {"up": "all"}, "found another propagation"),
        (set_at("rules"), 5, "found rules 5, expected an object"),
    ],
)
def test_a_manifest_with_other_types_is_one_line(
    table: AnnotationTable, place: Callable[[dict[str, Any], Any], None], value: Any, message: str
):
    path = table.folder / "manifest.json"
    content = json.loads(path.read_text())
    place(content, value)
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"manifest\.json: .*{message}") as caught:
        read_all(AnnotationTable.open(table.folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\xff", "[" * 100_000, "9" * 5000, "null", '"text"'])
def test_a_manifest_that_is_no_object_is_one_line(table: AnnotationTable, text: str):
    (table.folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=r"manifest\.json(:1)?: (not JSON|found a JSON)") as caught:
        Manifest.read(table.folder)
    assert "\n" not in str(caught.value)


def test_a_part_named_twice_is_refused(table: AnnotationTable):
    path = table.folder / "manifest.json"
    content = json.loads(path.read_text())
    content["parts"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"found the part 'part-00000\.parquet' twice, expected each once"):
        Manifest.read(table.folder)
