from __future__ import annotations

import random
from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError
from mlimages.annotate.cooccurrence import counts as cooccurrence
from mlimages.annotate.cooccurrence.counts import Cooccurrence
from mlimages.annotate.cooccurrence.paircounter import CountingSizes
from mlimages.annotate.cooccurrence.wilson import wilson_lower
from mlimages.annotate.labels.schema import Origin
from mlimages.annotate.tables.predictions import PredictionTable, write_predictions
from mlimages.errors import FormatError, LabelError, TableError
from tests.annotate.strategies import hierarchies, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
Rows = dict[str, list[tuple[int, float]]]

SCORES = st.sampled_from([0.0, 0.5, float(np.float32(0.8)), 0.9375, 1.0])


def table(rows: list[tuple[str, list[tuple[int, float]]]], values: str) -> pa.Table:
    return pa.table(
        {
            "image": pa.array([name for name, _ in rows], pa.string()),
            "labels": pa.array([[label for label, _ in row] for _, row in rows], pa.list_(pa.int32())),
            values: pa.array([[value for _, value in row] for _, row in rows], pa.list_(pa.float32())),
        }
    )


def annotations_of(rows: Rows) -> pa.Table:
    return table(list(rows.items()), "confidences")


def predictions_of(rows: Rows) -> pa.Table:
    return table(list(rows.items()), "scores")


def brute_force(
    annotated: Rows, predicted: Rows, threshold: float
) -> tuple[dict[tuple[int, int], int], dict[int, int]]:
    """Images by pair, and by source: what the design says, image by image."""
    pairs: dict[tuple[int, int], int] = {}
    images: dict[int, int] = {}
    for image in set(annotated) & set(predicted):
        seen = {label for label, score in predicted[image] if np.float32(score) > np.float32(threshold)}
        for source in {label for label, confidence in annotated[image] if confidence > 0}:
            images[source] = images.get(source, 0) + 1
            for target in seen:
                pairs[source, target] = pairs.get((source, target), 0) + 1
    return pairs, images


def pairs_in(counted: Cooccurrence) -> tuple[dict[tuple[int, int], int], dict[int, int]]:
    coo = counted.counts.tocoo()
    rows, columns = counted.sources[coo.coords[0]], counted.targets[coo.coords[1]]
    pairs = dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), coo.data.tolist(), strict=True))
    images = {int(counted.sources[i]): int(count) for i, count in enumerate(counted.images) if count}
    return pairs, images


@st.composite
def two_tables(draw: st.DrawFn) -> tuple[Hierarchy, Rows, Rows]:
    """Two tables that share some of their images, in orders of their own."""
    hierarchy = draw(hierarchies(most=8))
    labels = st.integers(0, len(hierarchy) - 1)
    row = st.lists(st.tuples(labels, SCORES), max_size=4)
    names = [f"{'x' * (i % 11)}{i}.jpg" for i in range(draw(st.integers(0, 12)))]
    both = []
    for _ in range(2):
        kept = [name for name in names if draw(st.integers(0, 5))]
        order = draw(st.permutations(kept)) if draw(st.booleans()) else kept
        both.append({name: draw(row) for name in order})
    return hierarchy, both[0], both[1]


@settings(max_examples=150, deadline=None)
@given(two_tables(), st.sampled_from([0.5, 0.8, 0.9]), st.booleans(), st.integers(1, 5), st.integers(1, 3))
def test_counts_are_those_of_a_brute_force_in_any_order_and_size(
    tables: tuple[Hierarchy, Rows, Rows], threshold: float, dense: bool, unit: int, workers: int
) -> None:
    hierarchy, annotated, predicted = tables
    counted = Cooccurrence.count(
        annotations_of(annotated),
        predictions_of(predicted),
        hierarchy=hierarchy,
        teacher_threshold=threshold,
        workers=workers,
        sizes=CountingSizes(unit_rows=unit, dense_bytes=1 << 20 if dense else 0, run_pairs=2),
    )
    assert pairs_in(counted) == brute_force(annotated, predicted, threshold)
    shared = set(annotated) & set(predicted)
    assert counted.total == len(shared)
    assert counted.unmatched == (len(annotated) - len(shared), len(predicted) - len(shared))
    for column, target in enumerate(counted.targets.tolist()):
        seen = [name for name in shared if any(a == target and b > np.float32(threshold) for a, b in predicted[name])]
        assert counted.target_images[column] == len(seen)


@settings(max_examples=50, deadline=None)
@given(two_tables(), st.randoms(use_true_random=False), st.booleans())
def test_any_split_merged_in_any_order_gives_the_same(
    tables: tuple[Hierarchy, Rows, Rows], chance: random.Random, dense: bool
) -> None:
    hierarchy, annotated, predicted = tables

    def count(images: list[str]) -> Cooccurrence:
        return Cooccurrence.count(
            annotations_of({name: row for name, row in annotated.items() if name in images}),
            predictions_of({name: row for name, row in predicted.items() if name in images}),
            hierarchy=hierarchy,
            teacher_threshold=0.5,
            sizes=CountingSizes(dense_bytes=1 << 20 if dense else 0),
        )

    images = list(dict.fromkeys([*annotated, *predicted]))
    whole = count(images)
    chance.shuffle(images)
    cuts = sorted({0, *(chance.randint(0, len(images)) for _ in range(3)), len(images)})
    parts = [count(images[start:stop]) for start, stop in pairwise(cuts)] or [count([])]
    chance.shuffle(parts)
    assert reduce(add, parts) == whole


@settings(max_examples=100, deadline=None)
@given(two_tables(), st.sampled_from([0.0, 0.25, 0.5]))
def test_rules_never_relate_a_category_to_itself_its_ancestors_or_descendants(
    tables: tuple[Hierarchy, Rows, Rows], least: float
) -> None:
    hierarchy, annotated, predicted = tables
    counted = Cooccurrence.count(
        annotations_of(annotated), predictions_of(predicted), hierarchy=hierarchy, teacher_threshold=0.5
    )
    rules = counted.rules(min_probability=least)
    found = set(zip(rules["source_index"], rules["target_index"], strict=True))
    pairs, images = brute_force(annotated, predicted, 0.5)
    for source, target in found:
        assert source != target
        assert target not in hierarchy.ancestors(source)
        assert source not in hierarchy.ancestors(target)
    assert found == {
        (source, target)
        for (source, target), count in pairs.items()
        if count / images[source] > least
        and source != target
        and target not in hierarchy.ancestors(source)
        and source not in hierarchy.ancestors(target)
    }


# The published rule, by example -----------------------------------------------------------------------------------


def published_example(zoo: Hierarchy) -> Cooccurrence:
    """Four pictures of roses, of which the teacher sees water on three, a plant on all; two of cats."""
    annotated = {f"rose{i}": [(ROSE, 1.0), (PLANT, 1.0), (THING, 1.0)] for i in range(4)}
    annotated |= {"cat0": [(CAT, 1.0)], "cat1": [(CAT, 0.5), (ROSE, 0.0)]}
    seen = {"rose0": [(WATER, 0.96)], "rose1": [(WATER, 1.0)], "rose2": [(WATER, 0.951)], "rose3": [(WATER, 0.95)]}
    predicted = {image: [*row, (PLANT, 0.99)] for image, row in seen.items()}
    predicted |= {"cat0": [(WATER, 0.96)], "cat1": []}
    return Cooccurrence.count(annotations_of(annotated), predictions_of(predicted), hierarchy=zoo)


def test_a_rule_needs_more_than_half_of_the_images_above_the_teacher_threshold(zoo: Hierarchy) -> None:
    counted = published_example(zoo)
    rules = counted.rules()
    # a score of 0.95 does not exceed the threshold, half of the cats are not more than half, rose -> plant is related
    assert rules[["source", "target", "p", "support", "images"]].values.tolist() == [
        ["plant", "water", 0.75, 3, 4],
        ["rose", "water", 0.75, 3, 4],
        ["thing", "water", 0.75, 3, 4],
    ]
    assert rules["lift"].tolist() == pytest.approx([0.75 / (4 / 6)] * 3)
    assert rules["lower"].tolist() == pytest.approx([0.3006] * 3, abs=1e-4)
    assert rules[["source_index", "target_index"]].values.tolist() == [[PLANT, WATER], [ROSE, WATER], [THING, WATER]]
    assert rules["target_name"].tolist() == ["Water"] * 3
    related = counted.rules(exclude_related=False)
    assert related[["source", "target"]].values.tolist()[:2] == [["rose", "plant"], ["thing", "plant"]]
    assert ["plant", "plant"] not in related[["source", "target"]].values.tolist()
    assert len(counted.rules(min_images=5)) == 0
    assert counted.rules(min_probability=0.49)["source"].tolist()[-1] == "cat"
    assert counted.normalised()[[ROSE, CAT], [WATER, WATER]].tolist() == [0.75, 0.5]


def test_axes_and_origins_restrict_what_is_counted(zoo: Hierarchy, tmp_path: Path) -> None:
    table_of({"a": [(ROSE, 1.0)], "b": [(CAT, 1.0)]}, zoo, tmp_path / "t")
    predicted = predictions_of({"a": [(WATER, 1.0), (DOG, 1.0)], "b": [(WATER, 1.0)]})
    given_only = Cooccurrence.count(tmp_path / "t", predicted, origins=[Origin.GIVEN], targets=["water"])
    assert pairs_in(given_only) == ({(ROSE, WATER): 1, (CAT, WATER): 1}, {ROSE: 1, CAT: 1})
    some = Cooccurrence.count(tmp_path / "t", predicted, sources=["thing", "rose"], targets=["dog", "water"])
    assert some.counts.toarray().tolist() == [[1, 2], [1, 1]]
    assert some.images.tolist() == [2, 1]
    with pytest.raises(MlimagesError, match="rose: named twice among sources or targets"):
        Cooccurrence.count(tmp_path / "t", predicted, sources=["rose", ROSE])


@pytest.mark.parametrize("workers", [1, 2])
def test_counts_stay_exact_where_cells_carry(zoo: Hierarchy, workers: int) -> None:
    rows = 3 << 16  # on all of them a rose, on one more than 2**16 also water, on exactly 2**16 a dog
    water, dog = np.arange(rows) <= 1 << 16, np.arange(rows) >= 2 << 16
    images = pa.array([str(i) for i in range(rows)])
    bounds = np.concatenate([[0], np.cumsum(water.astype(np.int32) + dog)]).astype(np.int32)
    seen = np.concatenate([np.full(water.sum(), WATER), np.full(dog.sum(), DOG)]).astype(np.int32)
    annotated = pa.table(
        {
            "image": images,
            "labels": pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), np.full(rows, ROSE, np.int32)),
        }
    )
    predicted = pa.table(
        {
            "image": images,
            "labels": pa.ListArray.from_arrays(bounds, seen),
            "scores": pa.ListArray.from_arrays(bounds, np.ones(len(seen), np.float32)),
        }
    )
    sizes = CountingSizes(unit_rows=1 << 16)
    counted = Cooccurrence.count(annotated, predicted, hierarchy=zoo, workers=workers, sizes=sizes)
    assert pairs_in(counted) == ({(ROSE, WATER): (1 << 16) + 1, (ROSE, DOG): 1 << 16}, {ROSE: rows})
    assert counted.total == rows


@pytest.mark.parametrize("dense", [True, False])
def test_counts_stay_exact_where_the_pairs_of_a_row_do_not_fit_what_is_listed_at_once(
    zoo: Hierarchy, dense: bool
) -> None:
    sizes = CountingSizes(dense_bytes=1 << 20 if dense else 0, run_pairs=1000)
    names, sources, targets = [str(i) for i in range(3000)], [ROSE, CAT, DOG], [WATER, STUFF, PET, PUPPY, PLANT]
    counted = Cooccurrence.count(
        annotations_of({name: [(label, 1.0) for label in sources] for name in names}),
        predictions_of({name: [(label, 1.0) for label in targets] for name in names}),
        hierarchy=zoo,
        workers=1,
        sizes=sizes,
    )  # 15 pairs a row: neither 4,096 nor 1,000 is a multiple
    assert pairs_in(counted)[0] == {(source, target): 3000 for source in sources for target in targets}


def test_wilson_interval_agrees_with_published_values() -> None:
    assert wilson_lower(np.array([0, 10]), np.array([10, 10])).tolist() == pytest.approx([0.0, 0.7225], abs=1e-4)


# On disk ------------------------------------------------------------------------------------------------------------


def test_tables_on_disk_count_alike_in_any_order(zoo: Hierarchy, tmp_path: Path) -> None:
    rows = {f"{i}.jpg": [(i % 10, 1.0)] for i in range(50)}
    seen = {f"{i}.jpg": [(i * 7 % 10, 0.99), ((i * 7 + 1) % 10, 0.5)] for i in range(50)}
    annotated = table_of(rows, zoo, tmp_path / "annotations", "none")
    table = predictions_of(seen)
    same = write_predictions(table.to_batches(), tmp_path / "same", zoo, outputs=range(10))
    order = np.random.default_rng(1).permutation(50)
    write_predictions(table.take(pa.array(order)).to_batches(), tmp_path / "shuffled", zoo, outputs=range(10))
    steps: list[tuple[int, int]] = []
    counted = Cooccurrence.count(annotated, same, progress=lambda *step: steps.append(step))
    assert steps == [(50, 50)]
    assert pairs_in(counted) == brute_force(rows, seen, 0.95)
    assert Cooccurrence.count(tmp_path / "annotations", tmp_path / "shuffled", hierarchy=zoo) == counted


def test_scores_are_not_read_where_a_table_holds_only_such_as_count(zoo: Hierarchy, tmp_path: Path) -> None:
    annotated = annotations_of({"a": [(ROSE, 1.0)], "b": [(ROSE, 1.0)]})
    seen = predictions_of({"a": [(WATER, 0.96)], "b": [(DOG, 0.97)]})
    table = write_predictions(seen.to_batches(), tmp_path / "p", zoo, outputs=[WATER, DOG], threshold=0.95)
    with patch.object(cooccurrence, "rows_of", wraps=cooccurrence.rows_of) as rows_of:
        counted = Cooccurrence.count(annotated, table, teacher_threshold=0.95)
        assert rows_of.call_args_list[1].args[1] == ["image", "labels"]
        higher = Cooccurrence.count(annotated, table, teacher_threshold=0.965)
        assert rows_of.call_args_list[3].args[1] == ["image", "labels", "scores"]
    assert pairs_in(counted) == ({(ROSE, WATER): 1, (ROSE, DOG): 1}, {ROSE: 2})
    assert pairs_in(higher) == ({(ROSE, DOG): 1}, {ROSE: 2})


def test_pairs_among_the_categories_of_a_teacher(zoo: Hierarchy, tmp_path: Path) -> None:
    seen = {"a": [(ROSE, 1.0), (WATER, 0.99)], "b": [(ROSE, 0.98), (DOG, 0.5)]}
    write_predictions(predictions_of(seen).to_batches(), tmp_path / "p", zoo, outputs=[ROSE, WATER, DOG])
    counted = Cooccurrence.among_predictions(tmp_path / "p")
    assert counted.counts.toarray().tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert counted.rules()[["source", "target", "p"]].values.tolist() == [["water", "rose", 1.0]]


@pytest.mark.parametrize("name", ["counts.parquet", "counts.npz"])
def test_counts_come_back_as_they_were_saved(zoo: Hierarchy, tmp_path: Path, name: str) -> None:
    counted = published_example(zoo)
    counted.save(tmp_path / name)
    assert Cooccurrence.load(tmp_path / name, hierarchy=zoo) == counted
    before = (tmp_path / name).read_bytes()
    counted.save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    if name.endswith("npz"):
        assert (scipy.sparse.load_npz(tmp_path / name) != counted.counts).nnz == 0
    with pytest.raises(TableError, match="counted with the hierarchy"):
        Cooccurrence.load(tmp_path / name, hierarchy=zoo.subtree("thing"))
    (tmp_path / name).write_bytes(before[:100])
    with pytest.raises(FormatError, match=f"{name}: no co-occurrence counts"):
        Cooccurrence.load(tmp_path / name, hierarchy=zoo)


def test_counts_of_other_categories_or_below_zero_are_refused(zoo: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "counts.parquet"
    published_example(zoo).save(path)
    stored = pq.read_table(path)
    for column, value, message in (
        ("source", -1, "row 0: found the entry of source -1, expected 0 to"),
        ("source", 99, "IndexError"),
        ("target", None, "row 0: found a null among its target"),
        ("count", -3, "row 0: found the entry of count -3, expected 0 to"),
    ):
        place = stored.schema.get_field_index(column)
        values = [value, *stored.column(column).to_pylist()[1:]]
        pq.write_table(stored.set_column(place, column, pa.array(values, stored.schema.field(column).type)), path)
        with pytest.raises(FormatError, match=rf"counts\.parquet: no co-occurrence counts \({message}"):
            Cooccurrence.load(path, hierarchy=zoo)


def test_a_matrix_whose_indices_lie_outside_is_refused(zoo: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "counts.npz"
    published_example(zoo).save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["indices"] = arrays["indices"] + 1000
    np.savez_compressed(path, **arrays)
    with pytest.raises(FormatError, match=r"counts\.npz: no co-occurrence counts"):
        Cooccurrence.load(path, hierarchy=zoo)


def test_a_table_of_predictions_comes_back_as_it_was_written(zoo: Hierarchy, tmp_path: Path) -> None:
    table = predictions_of({"a": [(ROSE, 1.0), (WATER, 0.5)], "b": []})
    written = write_predictions(
        [batch for i in range(2) for batch in table.slice(i, 1).to_batches()],
        tmp_path / "p",
        zoo,
        outputs=["water", "rose"],
        threshold=0.25,
        top=5,
        teacher={"name": "test"},
    )
    assert PredictionTable.open(tmp_path / "p", hierarchy=zoo).outputs.tolist() == [WATER, ROSE]
    assert (written.threshold, written.top, len(written)) == (0.25, 5, 2)
    assert written.to_table().to_pylist() == table.to_pylist()
    assert written.schema.field("labels").type == pa.list_(pa.int16())
    with pytest.raises(TableError, match="holds predictions, expected an annotation table"):
        Cooccurrence.count(tmp_path / "p", tmp_path / "p")
    with pytest.raises(TableError, match=r"holds only scores above 0.25, and teacher_threshold is 0.1"):
        Cooccurrence.among_predictions(tmp_path / "p", teacher_threshold=0.1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([(ROSE, 1.0), (CAT, 1.0)], r"row 1 \('b'\): found the label 5, expected one of the 2 outputs"),
        ([(77, 1.0)], r"row 1 \('b'\): found the label 77, expected one of the 2 outputs"),
        ([(ROSE, 1.5)], r"row 1 \('b'\): found the score 1.5 of label 8, expected 0 to 1"),
        ([(ROSE, 0.25)], r"row 1 \('b'\): found the score 0.25 of label 8, expected one above the threshold 0.25"),
        ([(ROSE, 0.5), (WATER, 0.5), (ROSE, 0.75)], r"row 1 \('b'\): found the label 8 twice, expected each once"),
    ],
)
def test_bad_predictions_are_not_written(
    zoo: Hierarchy, tmp_path: Path, row: list[tuple[int, float]], message: str
) -> None:
    batches = predictions_of({"a": [(ROSE, 1.0)], "b": row}).to_batches()
    with pytest.raises(LabelError, match=message):
        write_predictions(batches, tmp_path / "p", zoo, outputs=[ROSE, WATER], threshold=0.25)
    assert not list((tmp_path / "p").iterdir())


# Mistakes -----------------------------------------------------------------------------------------------------------


def test_images_with_several_rows_are_named_where_tables_are_joined(zoo: Hierarchy) -> None:
    annotated = table([("a", [(ROSE, 1.0)]), ("b", []), ("a", [(CAT, 1.0)])], "confidences")
    predicted = table([("b", []), ("a", [(WATER, 1.0)]), ("c", [])], "scores")
    with pytest.raises(TableError, match=r"the annotations: the image 'a' has several rows \(one is row 2\)"):
        Cooccurrence.count(annotated, predicted, hierarchy=zoo)
    twice = table([("b", []), ("a", [(WATER, 1.0)]), ("a", [])], "scores")
    with pytest.raises(TableError, match=r"the predictions: the image 'a' has several rows \(one is row 2\)"):
        Cooccurrence.count(annotated.slice(0, 2), twice, hierarchy=zoo)


def test_what_cannot_be_counted_is_named(zoo: Hierarchy) -> None:
    good, seen = annotations_of({"a": [(ROSE, 1.0)]}), predictions_of({"a": [(WATER, 1.0)]})
    with pytest.raises(LabelError, match=r"the annotations, row 0 \('a'\): found the label 99, expected 0 to 9"):
        Cooccurrence.count(annotations_of({"a": [(99, 1.0)]}), seen, hierarchy=zoo)
    with pytest.raises(MlimagesError, match="labels in memory do not name their categories: pass hierarchy="):
        Cooccurrence.count(good, seen)
    with pytest.raises(MlimagesError, match="the predictions have the columns image, labels, confidences"):
        Cooccurrence.count(good, good, hierarchy=zoo)
    with pytest.raises(MlimagesError, match="found a list, expected a table's path, a DataFrame"):
        Cooccurrence.count([], seen, hierarchy=zoo)
    with pytest.raises(MlimagesError, match=r"teacher_threshold=1: expected 0 up to less than 1"):
        Cooccurrence.count(good, seen, hierarchy=zoo, teacher_threshold=1)
    with pytest.raises(MlimagesError, match="workers=0: expected at least 1"):
        Cooccurrence.count(good, seen, hierarchy=zoo, workers=0)


def test_counts_that_do_not_fit_are_not_added_and_thresholds_are_checked(zoo: Hierarchy) -> None:
    good, seen = annotations_of({"a": [(ROSE, 1.0)]}), predictions_of({"a": [(WATER, 1.0)]})
    counted = Cooccurrence.count(good, seen, hierarchy=zoo)
    for options, message in (
        ({"teacher_threshold": 0.9}, "the teacher threshold is 0.95 in one and 0.9 in the other"),
        ({"sources": [ROSE]}, "the number of sources is 10 in one and 1 in the other"),
        ({"targets": [*range(1, 10), 0]}, "sources or targets are other categories or in another order"),
    ):
        with pytest.raises(MlimagesError, match=message):
            counted + Cooccurrence.count(good, seen, hierarchy=zoo, **options)  # type: ignore[arg-type]
    with pytest.raises(MlimagesError, match=r"teacher_threshold=0.5: the counts were made with 0.95"):
        counted.rules(teacher_threshold=0.5)
    assert len(counted.rules(teacher_threshold=0.95)) == 1
    with pytest.raises(MlimagesError, match=r"min_probability=1.5: expected 0 to 1"):
        counted.rules(min_probability=1.5)
    with pytest.raises(MlimagesError, match="min_images=0: expected at least 1"):
        counted.rules(min_images=0)
