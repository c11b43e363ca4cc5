from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import Hierarchy, Propagation
from mlimages.annotate.propagation.augment import augment
from mlimages.annotate.propagation.recover import recover_given
from mlimages.errors import LabelError
from tests.annotate.strategies import batch_of, hierarchies, rows_in, rows_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)


def test_what_an_earlier_label_brought_is_not_given(zoo: Hierarchy) -> None:
    row = [(CAT, 1.0), (PET, 1.0), (ANIMAL, 1.0), (THING, 1.0), (ROSE, 0.8), (PLANT, 0.8)]
    assert recover_given(row, zoo) == [(CAT, 1.0), (ROSE, 0.8)]


def test_a_parent_that_was_given_again_is_found(zoo: Hierarchy) -> None:
    row = [(CAT, 0.8), (PET, 0.8), (ANIMAL, 0.8)]
    assert recover_given(row, zoo) == [(CAT, 0.8), (PET, 0.8)]


def test_a_row_that_the_rules_cannot_make_is_given_as_it_is(zoo: Hierarchy) -> None:
    assert recover_given([(CAT, 1.0), (THING, 1.0)], zoo) == [(CAT, 1.0), (THING, 1.0)]


def test_keys_are_taken_for_labels_and_a_repeated_one_is_refused(zoo: Hierarchy) -> None:
    assert recover_given([("cat", 0.9), ("pet", 0.9)], zoo) == [(CAT, 0.9)]
    with pytest.raises(LabelError, match="a label stands twice"):
        recover_given([(CAT, 0.9), (CAT, 0.9)], zoo)


@pytest.mark.parametrize(
    ("name", "rows"), [("train_im_list_tiny.txt", 100), ("image_lists/train_im_list_tiny_1.txt", 50)]
)
def test_every_published_row_comes_back(official: Path, ml_images: Hierarchy, name: str, rows: int) -> None:
    published = pa.Table.from_batches(mlimages.annotate(official / name, ml_images, propagation="none"))
    given_labels = recover_given(published, ml_images)
    again = mlimages.annotate(given_labels, ml_images, propagation="published")
    assert len(again) == rows
    for column in ("image", "labels", "confidences"):
        assert again.column(column).to_pylist() == published.column(column).to_pylist()
    before, after = (sum(map(len, each.column("labels").to_pylist())) for each in (published, given_labels))
    assert after < before / 2


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_propagating_what_was_recovered_gives_the_row_again(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies())
    rules = data.draw(
        st.sampled_from(
            [
                Propagation(),
                Propagation.published(),
                Propagation(ancestors="parent", uncertain="none", conflict="first"),
                Propagation.named("none"),
            ]
        )
    )
    present = rows_of(hierarchy).map(lambda row: [(label, confidence) for label, confidence in row if confidence])
    rows = augment(batch_of(data.draw(st.lists(present, min_size=1, max_size=4))), hierarchy, rules)
    again = augment(recover_given(rows, hierarchy, rules), hierarchy, rules)
    for row, back in zip(rows_in(rows), rows_in(again), strict=True):
        assert [entry[0] for entry in back] == [entry[0] for entry in row]
        np.testing.assert_array_equal([entry[1] for entry in back], [entry[1] for entry in row])


def test_a_table_is_recovered_batch_by_batch(zoo: Hierarchy, tmp_path: Path) -> None:
    table = mlimages.annotate(
        pa.Table.from_batches([batch_of([[(CAT, 1)], [(ROSE, 0.5)]])]), zoo, out=tmp_path / "t", propagation="published"
    )
    batches = list(recover_given(table, zoo))
    assert [batch.column("labels").to_pylist() for batch in batches] == [[[CAT], [ROSE]]]
