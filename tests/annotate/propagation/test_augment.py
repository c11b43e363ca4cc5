from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError, Propagation
from mlimages.annotate.labels.schema import Origin, table_schema
from mlimages.annotate.propagation.augment import Augmenter, augment
from mlimages.errors import LabelError
from tests.annotate.reference import propagate
from tests.annotate.strategies import PROPAGATIONS, batch_of, hierarchies, rows_in, rows_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
G, A, D = Origin.GIVEN, Origin.ANCESTOR, Origin.DESCENDANT


def run(zoo: Hierarchy, row: list[tuple[int, float]], **rules: str) -> list[tuple[int, float, int]]:
    return rows_in(augment(batch_of([row]), zoo, Propagation(**rules)))[0]


def test_every_ancestor_follows_its_label_nearest_first(zoo: Hierarchy) -> None:
    assert run(zoo, [(PUPPY, 0.5)]) == [
        (PUPPY, 0.5, G),
        (DOG, 0.5, A),
        (ANIMAL, 0.5, A),
        (PET, 0.5, A),
        (THING, 0.5, A),
    ]


def test_an_ancestor_has_the_largest_confidence_that_brings_it(zoo: Hierarchy) -> None:
    found = run(zoo, [(CAT, 0.25), (ROSE, 0.75)])
    assert (THING, 0.75, A) in found
    assert (ANIMAL, 0.25, A) in found


def test_the_first_confidence_stays_where_conflicts_go_to_the_first(zoo: Hierarchy) -> None:
    assert (THING, 0.25, A) in run(zoo, [(CAT, 0.25), (ROSE, 0.75)], conflict="first")


def test_a_given_label_that_came_as_ancestor_keeps_its_place_and_is_given(zoo: Hierarchy) -> None:
    assert run(zoo, [(ROSE, 1), (PLANT, 1)]) == [(ROSE, 1, G), (PLANT, 1, G), (THING, 1, A)]


def test_published_an_uncertain_label_brings_its_parent_only(zoo: Hierarchy) -> None:
    rules = Propagation.published()
    batch = augment(batch_of([[(ROSE, 0.75)], [(ROSE, 1)], [(ROSE, 0.75), (PLANT, 0.5)]]), zoo, rules)
    assert rows_in(batch) == [
        [(ROSE, 0.75, G), (PLANT, 0.75, A)],
        [(ROSE, 1, G), (PLANT, 1, A), (THING, 1, A)],
        [(ROSE, 0.75, G), (PLANT, 0.75, G), (THING, 0.5, A)],  # given again, it brings its own parent
    ]


def test_parent_brings_every_direct_parent(zoo: Hierarchy) -> None:
    assert run(zoo, [(DOG, 1)], ancestors="parent") == [(DOG, 1, G), (ANIMAL, 1, A), (PET, 1, A)]


def test_none_brings_nothing(zoo: Hierarchy) -> None:
    assert run(zoo, [(DOG, 1)], ancestors="none") == [(DOG, 1, G)]


def test_an_absence_brings_no_ancestor_and_flows_down_only_if_told(zoo: Hierarchy) -> None:
    assert run(zoo, [(PET, 0)]) == [(PET, 0, G)]
    assert run(zoo, [(PET, 0)], absent="descendants") == [(PET, 0, G), (DOG, 0, D), (PUPPY, 0, D), (CAT, 0, D)]


def test_a_present_label_beats_an_absence_and_is_counted(zoo: Hierarchy) -> None:
    augmenter = Augmenter(zoo, Propagation(absent="descendants"))
    found = augmenter.apply(batch_of([[(ANIMAL, 0), (CAT, 0.5)], [(CAT, 0.5), (ANIMAL, 0)]]))
    assert found.conflicts == 2
    assert rows_in(found.batch) == [
        [(ANIMAL, 0.5, A), (CAT, 0.5, G), (PET, 0.5, A), (THING, 0.5, A)],
        [(CAT, 0.5, G), (PET, 0.5, A), (ANIMAL, 0.5, A), (THING, 0.5, A)],
    ]


def test_an_absence_stops_at_a_present_descendant(zoo: Hierarchy) -> None:
    rules = {"ancestors": "none", "absent": "descendants"}
    assert run(zoo, [(PET, 0), (DOG, 1)], **rules) == [(PET, 0, G), (DOG, 1, G), (PUPPY, 0, D), (CAT, 0, D)]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_kernel_agrees_with_the_plain_rules(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies())
    rows = data.draw(st.lists(rows_of(hierarchy), max_size=5))
    rules = data.draw(PROPAGATIONS)
    expected = [propagate(row, hierarchy, rules) for row in rows]
    found = Augmenter(hierarchy, rules).apply(batch_of(rows))
    assert rows_in(found.batch) == [row for row, _ in expected]
    assert found.conflicts == sum(conflicts for _, conflicts in expected)


def test_wide_hierarchies_have_int32_labels() -> None:
    hierarchy = Hierarchy([f"c{i}" for i in range(32_768)], [[]] + [[0]] * 32_767)
    batch = augment(batch_of([[(32_767, 1)]]), hierarchy)
    assert batch.schema == table_schema(32_768)
    assert batch.schema.field("labels").type == pa.list_(pa.int32())
    assert rows_in(batch) == [[(32_767, 1, G), (0, 1, A)]]


def test_slices_casts_and_missing_confidences_are_understood(zoo: Hierarchy) -> None:
    batch = pa.record_batch(
        {
            "image": pa.array(["a", "b", "c"], pa.large_string()),
            "labels": pa.array([[1], [8], [5]], pa.large_list(pa.int64())),
        }
    )
    assert [row[0][0] for row in rows_in(augment(batch.slice(1), zoo))] == [ROSE, CAT]
    with_confidences = batch_of([[(DOG, 0.5)], [(CAT, 0.25), (ROSE, 1)]])
    assert rows_in(augment(with_confidences.slice(1), zoo, Propagation.named("none"))) == [
        [(CAT, 0.25, G), (ROSE, 1, G)]
    ]


def test_origins_that_are_known_are_kept(zoo: Hierarchy) -> None:
    batch = batch_of([[(ROSE, 1)]]).append_column("origins", pa.array([[4]], pa.list_(pa.uint8())))
    assert rows_in(augment(batch, zoo))[0][0] == (ROSE, 1, Origin.TEACHER)


def test_an_empty_batch_stays_empty(zoo: Hierarchy) -> None:
    assert augment(batch_of([]), zoo).num_rows == 0
    assert rows_in(augment(batch_of([[]]), zoo)) == [[]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([(10, 1.0)], r"row 1 \('1.jpg'\): label 10, expected 0 to 9"),
        ([(-1, 1.0)], r"row 1 \('1.jpg'\): label -1, expected 0 to 9"),
        ([(1, 1.5)], r"row 1 \('1.jpg'\): confidence 1.5 of label 1, expected 0 to 1"),
        ([(1, -0.5)], r"confidence -0.5 of label 1"),
        ([(1, np.nan)], r"confidence nan of label 1"),
    ],
)
def test_a_bad_label_names_row_and_image(zoo: Hierarchy, row: list[tuple[int, float]], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        augment(batch_of([[(1, 1.0)], row]), zoo)


def test_columns_that_do_not_fit_are_named(zoo: Hierarchy) -> None:
    with pytest.raises(LabelError, match="expected labels among them"):
        augment(pa.record_batch({"image": ["a"]}), zoo)
    with pytest.raises(LabelError, match="1 confidences for 2 labels"):
        augment(pa.record_batch({"image": ["a"], "labels": [[1, 2]], "confidences": [[1.0]]}), zoo)
    with pytest.raises(LabelError, match="null in the column labels"):
        augment(
            pa.record_batch(
                {"image": ["a"], "labels": [None]},
                schema=pa.schema({"image": pa.string(), "labels": pa.list_(pa.int32())}),
            ),
            zoo,
        )
    with pytest.raises(LabelError, match="column labels has the type"):
        augment(pa.record_batch({"image": ["a"], "labels": ["dog"]}), zoo)


def test_rules_that_do_not_exist_are_named() -> None:
    with pytest.raises(MlimagesError, match=r"Propagation\(ancestors='some'\): expected one of all, parent, none"):
        Propagation(ancestors="some")  # type: ignore[arg-type]
    with pytest.raises(MlimagesError, match="unknown propagation 'paper': expected one of default, published"):
        Propagation.named("paper")
