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
from mlimages.annotate.sources.source import Report
from mlimages.annotate.tables.merging import merging_tasks
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


def test_an_absence_below_a_beaten_one_is_not_kept(zoo: Hierarchy, tmp_path: Path) -> None:
    rules = Propagation(absent="descendants")
    absent = table_of({"x": [(DOG, 0.0)]}, zoo, tmp_path / "1", rules)
    assert labels_by_image(absent)["x"] == [(DOG, 0.0, G), (PUPPY, 0.0, D)]
    present = table_of({"x": [(DOG, 1.0)]}, zoo, tmp_path / "2", rules)
    for order in ([absent, present], [present, absent]):
        made = merge(order, tmp_path / f"out-{order[0].folder.name}")
        assert sorted(labels_by_image(made)["x"]) == sorted(labels_by_image(present)["x"])


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


def two_overlapping_tables(zoo: Hierarchy, folder: Path) -> list[AnnotationTable]:
    label = [PUPPY, CAT, ROSE, WATER, STUFF, DOG, PLANT]
    first = {f"{i}": [(label[i % 7], 1.0)] for i in range(100)}
    second = {f"{i * 3 % 200}": [(label[i % 5], 0.5)] for i in range(200)}
    return [table_of(rows, zoo, folder / str(i), part_rows=16) for i, rows in enumerate((first, second))]


def test_bytes_are_the_same_for_any_workers(zoo: Hierarchy, tmp_path: Path) -> None:
    tables = two_overlapping_tables(zoo, tmp_path)
    assert len(tables[0].manifest.parts) == 7
    one = merge(tables, tmp_path / "one", workers=1)
    two = merge(tables, tmp_path / "two", workers=2)
    assert one.manifest == two.manifest
    assert one.manifest.counts == {"rows_joined": 100}
    assert merge(tables, tmp_path / "two", resume=True).manifest == two.manifest
    together = {name: list(row) for name, row in labels_by_image(one).items()}
    assert set(together) == {str(i) for i in range(200)}
    assert [image for image, _ in rows_of_table(one)][:100] == [str(i) for i in range(100)]


def test_rows_are_joined_alike_from_one_file_or_many(zoo: Hierarchy, tmp_path: Path) -> None:
    tables = two_overlapping_tables(zoo, tmp_path)
    made = []
    for bucket_rows, files in ((1 << 17, 1), (10, 30)):
        folder = tmp_path / f"files-{bucket_rows}"
        folder.mkdir()
        tasks = merging_tasks(tables, folder, bucket_rows=bucket_rows)
        assert len(list(folder.glob("joining-*"))) == files
        made.append(pa.Table.from_batches(batch for task in tasks for batch in task.batches(Report("raise"))))
    assert made[0].equals(made[1])
    assert rows_in(made[0]) == rows_in(merge(tables, tmp_path / "out").to_table())


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
