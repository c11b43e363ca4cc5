from __future__ import annotations

import random
from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError
from mlimages.annotate import paircounter, paircounting
from mlimages.annotate.cooccurrence import Cooccurrence, wilson_lower
from mlimages.annotate.predictions import PredictionTable, write_predictions
from mlimages.annotate.schema import Origin
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
    with (
        patch.object(paircounting, "_UNIT_ROWS", unit),
        patch.object(paircounter, "DENSE_BYTES", 1 << 20 if dense else 0),
        patch.object(paircounter, "_RUN_PAIRS", 2),
    ):
        counted = Cooccurrence.count(
            annotations_of(annotated),
            predictions_of(predicted),
            hierarchy=hierarchy,
            teacher_threshold=threshold,
            workers=workers,
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
    with patch.object(paircounter, "DENSE_BYTES", 1 << 20 if dense else 0):

        def count(images: list[str]) -> Cooccurrence:
            return Cooccurrence.count(
                annotations_of({name: row for name, row in annotated.items() if name in images}),
                predictions_of({name: row for name, row in predicted.items() if name in images}),
                hierarchy=hierarchy,
                teacher_threshold=0.5,
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
