from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import AnnotationTable, Hierarchy, MlimagesError, Propagation
from mlimages.annotate import Origin, merge
from mlimages.annotate.tables import merging
from mlimages.errors import JobError, TableError
from mlimages.storage.verify import verify_parts
from tests.annotate.strategies import batch_of, hierarchies, labels_by_image, rows_in, rows_of, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
G, A, D = Origin.GIVEN, Origin.ANCESTOR, Origin.DESCENDANT
POLICIES = st.builds(
    Propagation,
    uncertain=st.sampled_from(["all", "parent"]),
    conflict=st.sampled_from(["max", "first"]),
    absent=st.sampled_from(["keep", "descendants"]),
)


def rows_of_table(table: AnnotationTable) -> list[tuple[str, list[tuple[int, float, int]]]]:
    whole = table.to_table()
    return list(zip(whole.column("image").to_pylist(), rows_in(whole), strict=True))


def test_tables_that_share_no_image_follow_each_other(zoo: Hierarchy, tmp_path: Path) -> None:
    first = table_of({"b": [(CAT, 1.0)], "a": [(WATER, 1.0)]}, zoo, tmp_path / "1")
    second = table_of({"d": [(DOG, 0.5)], "c": []}, zoo, tmp_path / "2")
    made = merge([first, str(tmp_path / "2")], tmp_path / "out")
    assert rows_of_table(made) == rows_of_table(first) + rows_of_table(second)
    assert made.manifest.counts == {}
    assert made.manifest.options == {"format": "table", "operation": "merge"}
    assert [each.path for each in made.manifest.inputs] == [str(tmp_path / f"{i}/manifest.json") for i in (1, 2)]
    assert verify_parts(tmp_path / "out") == []


def test_an_image_in_several_tables_gets_the_labels_of_all_in_its_first_place(zoo: Hierarchy, tmp_path: Path) -> None:
    first = table_of({"x": [(PUPPY, 0.5)], "y": [(WATER, 1.0)]}, zoo, tmp_path / "1")
    second = table_of({"z": [(ROSE, 1.0)], "x": [(PET, 0.75), (STUFF, 1.0)]}, zoo, tmp_path / "2")
    made = merge([first, second], tmp_path / "out")
    assert rows_of_table(made) == [
        (
            "x",
            [(PUPPY, 0.5, G), (DOG, 0.5, A), (ANIMAL, 0.75, A), (PET, 0.75, G), (THING, 0.75, A), (STUFF, 1.0, G)],
        ),
        ("y", [(WATER, 1.0, G), (STUFF, 1.0, A)]),
        ("z", [(ROSE, 1.0, G), (PLANT, 1.0, A), (THING, 1.0, A)]),
    ]
    assert made.manifest.counts == {"rows_joined": 1}


def test_a_present_label_beats_an_absence_and_what_flowed_down_from_it(zoo: Hierarchy, tmp_path: Path) -> None:
    rules = Propagation(absent="descendants")
    first = table_of({"x": [(PET, 0.0), (WATER, 0.0)]}, zoo, tmp_path / "1", rules)
    assert (CAT, 0.0, D) in labels_by_image(first)["x"]
    second = table_of({"x": [(PUPPY, 1.0)]}, zoo, tmp_path / "2", rules)
    made = merge([first, second], tmp_path / "out")
    assert sorted(labels_by_image(made)["x"]) == sorted(
        [(PUPPY, 1.0, G), (DOG, 1.0, A), (PET, 1.0, A), (ANIMAL, 1.0, A), (THING, 1.0, A), (WATER, 0.0, G)]
    )
    assert made.manifest.counts == {"absences_beaten": 3, "rows_joined": 1}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_merging_is_annotating_all_given_labels_together(data: st.DataObject) -> None:
    hierarchy, rules = data.draw(hierarchies()), data.draw(POLICIES)
    images = st.dictionaries(st.sampled_from("abcde"), rows_of(hierarchy), max_size=5)
    sources = data.draw(st.lists(images, min_size=2, max_size=3))
    together: dict[str, list[tuple[int, float]]] = {}
    for source in sources:
        for image, row in source.items():
            together[image] = together.get(image, []) + row
    with tempfile.TemporaryDirectory() as folder:
        tables = [table_of(rows, hierarchy, Path(folder) / str(i), rules) for i, rows in enumerate(sources)]
        made = rows_of_table(merge(tables, Path(folder) / "out"))
        expected = rows_of_table(table_of(together, hierarchy, Path(folder) / "all", rules))
    assert [image for image, _ in made] == [image for image, _ in expected]
    assert [sorted(row) for _, row in made] == [sorted(row) for _, row in expected]
    if rules.absent == "keep":  # what flows down stands at the end of a row, so there the order can differ
        assert made == expected


def test_bytes_are_the_same_for_any_workers_and_any_files_of_joining_rows(
    monkeypatch: pytest.MonkeyPatch, zoo: Hierarchy, tmp_path: Path
) -> None:
    from mlimages.annotate import pipeline

    monkeypatch.setattr(pipeline, "PART_ROWS", 16)
    label = [PUPPY, CAT, ROSE, WATER, STUFF, DOG, PLANT]
    first = table_of({f"{i}": [(label[i % 7], 1.0)] for i in range(100)}, zoo, tmp_path / "1")
    second = table_of({f"{i * 3 % 200}": [(label[i % 5], 0.5)] for i in range(200)}, zoo, tmp_path / "2")
    assert len(first.manifest.parts) == 7
    one = merge([first, second], tmp_path / "one", workers=1)
    monkeypatch.setattr(merging, "_BUCKET_ROWS", 10)
    two = merge([first, second], tmp_path / "two", workers=2)
    assert one.manifest == two.manifest
    assert one.manifest.counts == {"rows_joined": 100}
    assert merge([first, second], tmp_path / "two", resume=True).manifest == two.manifest
    together = {name: list(row) for name, row in labels_by_image(one).items()}
    assert set(together) == {str(i) for i in range(200)}
    assert [image for image, _ in rows_of_table(one)][:100] == [str(i) for i in range(100)]


def test_rows_of_one_table_that_name_the_same_image_are_joined_too(zoo: Hierarchy, tmp_path: Path) -> None:
    batch = batch_of([[(WATER, 1.0)], [(ROSE, 1.0)], [(STUFF, 1.0)]]).set_column(0, "image", pa.array(["x", "y", "x"]))
    first = mlimages.annotate(batch, zoo, out=tmp_path / "1")
    second = table_of({"z": [(STUFF, 1.0)]}, zoo, tmp_path / "2")
    made = merge([first, second], tmp_path / "out")
    assert rows_of_table(made)[0] == ("x", [(WATER, 1.0, G), (STUFF, 1.0, G)])
    assert [image for image, _ in rows_of_table(made)] == ["x", "y", "z"]


def test_tables_that_do_not_fit_are_refused(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of({"x": [(WATER, 1.0)]}, zoo, tmp_path / "1")
    table_of({"x": [(0, 1.0)]}, Hierarchy(["a"], [[]]), tmp_path / "2")
    table_of({"x": [(WATER, 1.0)]}, zoo, tmp_path / "3", "published")
    with pytest.raises(MlimagesError, match="found 1 tables to merge, expected at least 2"):
        merge([table], tmp_path / "out")
    with pytest.raises(MlimagesError, match="named twice"):
        merge([table, tmp_path / "1"], tmp_path / "out")
    with pytest.raises(TableError, match="made with the hierarchy"):
        merge([table, tmp_path / "2"], tmp_path / "out")
    with pytest.raises(TableError, match=r"its propagation is .*: annotate both alike"):
        merge([table, tmp_path / "3"], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    table_of({"y": []}, zoo, tmp_path / "4")
    with pytest.raises(JobError, match="not an empty folder"):
        merge([table, tmp_path / "4"], tmp_path / "full")


def test_a_job_that_was_killed_after_its_last_part_ends_when_resumed(zoo: Hierarchy, tmp_path: Path) -> None:
    first = table_of({"x": [(PUPPY, 0.5)]}, zoo, tmp_path / "1")
    second = table_of({"x": [(WATER, 1.0)], "y": []}, zoo, tmp_path / "2")
    made = merge([first, second], tmp_path / "out")
    begun = replace(
        made.manifest, inputs=[replace(each, xxh3_128=None) for each in made.manifest.inputs], parts=[], counts={}
    )
    for _ in range(5):  # it was a race between the hashes of the inputs and the end of the job
        begun.write(tmp_path / "out" / "job.json")
        (tmp_path / "out" / "manifest.json").unlink()
        assert merge([first, second], tmp_path / "out", resume=True).manifest == made.manifest
