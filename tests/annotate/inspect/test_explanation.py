from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import mlimages
from mlimages import Hierarchy, Propagation, explain
from mlimages.annotate import Origin
from mlimages.errors import TableError
from tests.annotate.strategies import table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)


def reasons(path: Path, image: str = "a") -> list[tuple[str, float, str, list[str]]]:
    return [
        (row.category.key, row.confidence, row.origin.name, [each.key for each in row.brought_by])
        for row in explain(path, image).rows
    ]


def test_an_ancestor_names_the_labels_of_its_confidence_nearest_first(zoo: Hierarchy, tmp_path: Path) -> None:
    table_of({"a": [(CAT, 0.5), (PUPPY, 1.0), (PET, 1.0)]}, zoo, tmp_path / "t")
    assert reasons(tmp_path / "t") == [
        ("cat", 0.5, "GIVEN", []),
        ("pet", 1.0, "GIVEN", []),
        ("animal", 1.0, "ANCESTOR", ["pet", "puppy"]),
        ("thing", 1.0, "ANCESTOR", ["pet", "puppy"]),
        ("puppy", 1.0, "GIVEN", []),
        ("dog", 1.0, "ANCESTOR", ["puppy"]),
    ]


def test_rules_that_bring_the_parent_only_are_heeded(zoo: Hierarchy, tmp_path: Path) -> None:
    rows = {"a": [(ROSE, 0.5), (PLANT, 0.5)]}
    table_of(rows, zoo, tmp_path / "t", Propagation.published())
    assert reasons(tmp_path / "t")[2] == ("thing", 0.5, "ANCESTOR", ["plant"])  # not the rose, which is two above


def test_a_verified_absence_that_flowed_down_names_its_source(zoo: Hierarchy, tmp_path: Path) -> None:
    table_of({"a": [(PET, 0.0), (WATER, 1.0)]}, zoo, tmp_path / "t", Propagation(absent="descendants"))
    explained = explain(tmp_path / "t", "a")
    assert reasons(tmp_path / "t")[-3:] == [
        ("dog", 0.0, "DESCENDANT", ["pet"]),
        ("puppy", 0.0, "DESCENDANT", ["pet"]),
        ("cat", 0.0, "DESCENDANT", ["pet"]),
    ]
    assert explained.rows[-1].because == "below Pet (pet), verified absent"


def test_labels_from_outside_say_where_they_came_from(zoo: Hierarchy, tmp_path: Path) -> None:
    batch = pa.record_batch(
        {
            "image": ["a"],
            "labels": [[STUFF, THING, WATER]],
            "confidences": pa.array([[1.0, 0.8, 1.0]], pa.list_(pa.float32())),
            "origins": pa.array([[Origin.COOCCURRENCE, Origin.TEACHER, Origin.ANCESTOR]], pa.list_(pa.uint8())),
        }
    )
    mlimages.annotate(batch, zoo, out=tmp_path / "t", propagation="none")
    assert [row.because for row in explain(tmp_path / "t", "a").rows] == [
        "a co-occurrence rule",
        "predicted by a teacher",
        "above a label that is not in the table",
    ]


def test_it_prints_as_text_html_and_plain_values(zoo: Hierarchy, tmp_path: Path) -> None:
    table_of({"<a>": [(WATER, 0.8)]}, zoo, tmp_path / "t")
    explained = explain(tmp_path / "t", "<a>")
    assert repr(explained).splitlines() == [
        "<a>: 2 labels",
        "category  name   confidence  origin    because",
        "water     Water  0.8         given     given in the list",
        "stuff     Stuff  0.8         ancestor  above Water (water)",
    ]
    assert "<b>&lt;a&gt;</b>" in explained._repr_html_()
    assert explained.to_dict()["labels"][1] == {
        "category": "stuff",
        "index": STUFF,
        "name": "Stuff",
        "confidence": 0.8,
        "origin": "ancestor",
        "brought_by": ["water"],
        "because": "above Water (water)",
    }


def test_an_unknown_image_is_an_error(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of({"a": [(WATER, 0.8)]}, zoo, tmp_path / "t")
    with pytest.raises(TableError, match="holds no image 'b'"):
        explain(table, "b")
