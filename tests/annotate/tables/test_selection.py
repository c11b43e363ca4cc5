from __future__ import annotations

import gzip
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError, Propagation
from mlimages.annotate import Origin, filter, subset  # noqa: A004  (what the package calls it)
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.annotate.tables.derive import rows_tasks
from mlimages.errors import FormatError, JobError, TableError, UnknownCategoryError
from mlimages.storage.batches import PART_ROWS
from mlimages.storage.manifest import Part
from mlimages.storage.verify import verify_parts
from tests.annotate.strategies import hierarchies, labels_by_image, rows_of, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
ROWS = {"a": [(PUPPY, 0.5)], "b": [(CAT, 1.0), (WATER, 0.25)], "c": [(ROSE, 0.75), (DOG, 0.0)], "d": []}


def test_images_that_carry_a_category_or_one_below_it_are_kept_whole(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    made = filter(table, tmp_path / "out", categories=["pet"])
    assert labels_by_image(made) == {image: labels_by_image(table)[image] for image in "ab"}
    assert made.manifest.counts == {"images_left_out": 2, "labels_left_out": 4}
    assert made.manifest.options["categories"] == ["pet"]
    assert made.hierarchy.fingerprint == zoo.fingerprint
    assert verify_parts(tmp_path / "out") == []


def test_a_verified_absence_does_not_carry_its_category(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    assert list(labels_by_image(filter(table, tmp_path / "out", categories=["dog"]))) == ["a"]


def test_all_categories_can_be_asked_for(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    made = filter(table, tmp_path / "out", categories=["pet", WATER, "pet"], match="all")
    assert list(labels_by_image(made)) == ["b"]


def test_labels_are_kept_by_category_confidence_and_origin(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    made = filter(table, tmp_path / "1", restrict=["dog", "pet", "rose"])
    assert labels_by_image(made) == {
        "a": [(DOG, 0.5, Origin.ANCESTOR), (PET, 0.5, Origin.ANCESTOR)],
        "b": [(PET, 1.0, Origin.ANCESTOR)],
        "c": [(ROSE, 0.75, Origin.GIVEN), (DOG, 0.0, Origin.GIVEN)],
    }
    assert made.manifest.counts == {"images_left_out": 1, "labels_left_out": 10}
    confident = filter(table, tmp_path / "2", min_confidence=0.75)
    assert sorted(label for label, _, _ in labels_by_image(confident)["c"]) == [DOG, PLANT, ROSE, THING]
    assert list(labels_by_image(confident)) == ["b", "c"]
    given_only = filter(table, tmp_path / "3", origins=["given", Origin.TEACHER], keep_empty=True)
    assert [(c, a) for row in labels_by_image(given_only).values() for c, a, _ in row] == [
        pair for row in ROWS.values() for pair in row
    ]
    assert list(labels_by_image(given_only)) == ["a", "b", "c", "d"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_filter_agrees_with_a_loop(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies())
    rows = data.draw(st.lists(rows_of(hierarchy), min_size=1, max_size=6))
    some = st.none() | st.sets(st.integers(0, len(hierarchy) - 1), min_size=1, max_size=3)
    categories, restrict = data.draw(some), data.draw(some)
    least = data.draw(st.sampled_from([0.5, 0.75]) if categories is restrict is None else st.sampled_from([None, 0.5]))
    match, keep_empty = data.draw(st.sampled_from(["any", "all"])), data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        table = table_of({str(i): row for i, row in enumerate(rows)}, hierarchy, Path(folder) / "t")
        made = filter(
            table,
            Path(folder) / "out",
            categories=categories,
            restrict=restrict,
            min_confidence=least,
            match=match,
            keep_empty=keep_empty,
        )
        expected = {}
        for image, row in labels_by_image(table).items():
            kept = [
                entry
                for entry in row
                if (restrict is None or entry[0] in restrict) and (least is None or not 0 < entry[1] < least)
            ]
            carried = [label in {entry[0] for entry in kept if entry[1] > 0} for label in categories or []]
            wanted = categories is None or (all(carried) if match == "all" else any(carried))
            if wanted and (kept or keep_empty):
                expected[image] = kept
        assert labels_by_image(made) == expected


def test_the_bytes_do_not_depend_on_the_workers_and_a_finished_job_resumes(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    one = filter(table, tmp_path / "one", categories=["pet"], workers=1)
    two = filter(table, tmp_path / "two", categories=["pet"], workers=2)
    assert one.manifest == two.manifest
    assert filter(table, tmp_path / "two", categories=["pet"], resume=True).manifest == two.manifest
    with pytest.raises(JobError, match=r"begun with categories \['pet'\], and to be resumed with \['dog'\]"):
        filter(table, tmp_path / "two", categories=["dog"], resume=True)
    with pytest.raises(JobError, match="already holds a table"):
        filter(table, tmp_path / "two", categories=["pet"])


def test_the_small_parts_of_a_selection_become_one(zoo: Hierarchy, tmp_path: Path) -> None:
    rows = {f"{i:02d}": [(PUPPY, 1.0)] for i in range(40)}
    table = table_of(rows, zoo, tmp_path / "t", part_rows=8, batch_rows=3)
    assert [part.rows for part in table.manifest.parts] == [8, 8, 8, 8, 8]
    made = subset(table, tmp_path / "out", images=[f"{i:02d}" for i in range(40) if i % 2])
    assert [part.rows for part in made.manifest.parts] == [20]
    file = pq.read_metadata(tmp_path / "out" / "part-00000.parquet")
    assert [file.row_group(i).num_rows for i in range(file.num_row_groups)] == [20]
    assert list(labels_by_image(made)) == [f"{i:02d}" for i in range(40) if i % 2]
    whole = labels_by_image(table)
    assert labels_by_image(made) == {image: whole[image] for image in labels_by_image(made)}


def test_a_selection_from_large_parts_has_as_many_parts_as_its_rows_need(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    third = PART_ROWS // 3
    large = AnnotationTable(table.folder, replace(table.manifest, parts=[Part(f"{i}", third, 0, "") for i in range(7)]))
    keep = np.ones(7 * third, bool)
    assert [task.parts for task in rows_tasks(large, keep)] == [range(3), range(3, 6), range(6, 7)]
    keep[: 2 * third] = False
    assert [task.parts for task in rows_tasks(large, keep)] == [range(5), range(5, 7)]


def test_the_propagation_of_the_table_is_kept(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t", Propagation.published())
    made = filter(table, tmp_path / "out", restrict=["puppy"])
    assert made.manifest.metadata == table.manifest.metadata
    assert [each.path for each in made.manifest.inputs] == [str(tmp_path / "t" / "manifest.json")]


@pytest.mark.parametrize("name", ["list.txt", "list.txt.gz"])
def test_a_subset_follows_a_list_in_the_order_of_the_table(name: str, zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    text = "\ufeffc\t8:1\r\nnone\t1\r\n\r\na".encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    made = subset(table, tmp_path / "out", images=tmp_path / name)
    assert labels_by_image(made) == {image: labels_by_image(table)[image] for image in "ac"}
    assert (made.manifest.options["images"], made.manifest.options["not_found"]) == (3, 1)
    assert made.manifest.counts == {"images_left_out": 2}


def test_another_list_does_not_resume_a_subset(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    subset(table, tmp_path / "out", images=["a"])
    with pytest.raises(JobError, match="begun with images_sha256"):
        subset(table, tmp_path / "out", images=["b"], resume=True)


def test_wrong_arguments_say_what_is_expected(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of(ROWS, zoo, tmp_path / "t")
    out = tmp_path / "out"
    with pytest.raises(MlimagesError, match="nothing to filter by"):
        filter(table, out)
    with pytest.raises(UnknownCategoryError, match="unknown category 'unicorn'"):
        filter(table, out, categories=["unicorn"])
    with pytest.raises(MlimagesError, match=r"expected a sequence of categories, such as \['dog'\]"):
        filter(table, out, categories="dog")
    with pytest.raises(MlimagesError, match="restrict: found no category"):
        filter(table, out, restrict=[])
    with pytest.raises(MlimagesError, match="min_confidence=0"):
        filter(table, out, min_confidence=0)
    with pytest.raises(MlimagesError, match="unknown origin 'guess': expected one of given, ancestor"):
        filter(table, out, origins=["guess"])
    with pytest.raises(MlimagesError, match="match='some'"):
        filter(table, out, categories=["dog"], match="some")  # type: ignore[arg-type]
    with pytest.raises(MlimagesError, match="workers=0"):
        filter(table, out, categories=["dog"], workers=0)
    with pytest.raises(TableError, match="holds none of the 1 images listed, such as 'x'"):
        subset(table, out, images=["x"])
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(FormatError, match="found no name"):
        subset(table, out, images=tmp_path / "empty")
    (tmp_path / "latin").write_bytes(b"a\n\xe9\n")
    with pytest.raises(FormatError, match="latin:2: found bytes that are no UTF-8"):
        subset(table, out, images=tmp_path / "latin")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"abcdefgh" * 100)[:-12])
    with pytest.raises(FormatError, match="cut short"):
        subset(table, out, images=tmp_path / "cut.gz")
    assert not out.exists()
