"""Metrics against brute force and torchmetrics; scores made consistent with the hierarchy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy
from mlimages.errors import ModelError
from mlimages.models import MultiLabelMetrics, TopKAccuracy, consistent
from mlimages.models.evaluation.metrics import AveragePrecision


def random_batch(seed, images=40, classes=10, unknown=0.2):
    random = np.random.default_rng(seed)
    targets = (random.random((images, classes)) < 0.25).astype(np.float32)
    targets[random.random((images, classes)) < unknown] = -1
    odds = random.normal(-1, 2, (images, classes)) + 2 * (targets > 0)
    return (1 / (1 + np.exp(-odds))).astype(np.float32), targets


def test_top_k_by_hand():
    accuracy = TopKAccuracy(ks=(1, 2, 3))
    accuracy.update([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [2, 0])
    accuracy.update([[3.0, 2.0, 1.0]], [2])
    assert accuracy.compute() == {"top1": 1 / 3, "top2": 2 / 3, "top3": 1.0}


def test_top_k_ranks_equals_by_index():
    accuracy = TopKAccuracy(ks=(1, 2))
    accuracy.update([[0.5, 0.5, 0.5]] * 3, [0, 1, 2])
    assert accuracy.compute() == {"top1": 1 / 3, "top2": 2 / 3}


def test_top_k_of_nothing_is_nan():
    assert math.isnan(TopKAccuracy().compute()["top5"])


def test_average_precision_by_hand():
    metric = AveragePrecision(2)
    metric.update(np.array([[0.9, 0.5], [0.8, 0.5], [0.7, 0.1]]), np.array([[1, -1], [0, 1], [1, 0]]))
    assert metric.compute().tolist() == [pytest.approx((1 + 2 / 3) / 2), 1.0]


def test_average_precision_of_ties_and_extremes():
    metric = AveragePrecision(3)
    metric.update(np.array([[0.5, 0.0, 1.0], [0.5, 1.0, 1.0]]), np.array([[1, 0, 0], [0, 1, 0]]))
    assert metric.compute()[:2].tolist() == [0.5, 1.0]
    assert math.isnan(metric.compute()[2])


@pytest.mark.parametrize("unknown", [0.0, 0.3])
@pytest.mark.parametrize(("bins", "error"), [(1024, 0.003), (65536, 5e-5)])
def test_average_precision_equals_torchmetrics_but_for_binning(unknown, bins, error):
    scores, targets = random_batch(3, images=2000, unknown=unknown)
    metric = AveragePrecision(10, bins=bins)
    for start in range(0, 2000, 300):
        metric.update(scores[start : start + 300], targets[start : start + 300])
    exact = reference.multilabel_average_precision(
        torch.tensor(scores), torch.tensor(targets).long(), num_labels=10, average="none", ignore_index=-1
    )
    assert np.abs(metric.compute() - exact.numpy()).max() < error


@pytest.mark.parametrize("k", [1, 3])
def test_scores_at_k_equal_torchmetrics(k):
    scores, targets = random_batch(5, unknown=0.0)
    metrics = MultiLabelMetrics(10, ks=(k,))
    metrics.update(scores[:7], targets[:7])
    metrics.update(scores[7:], targets[7:])
    chosen = torch.zeros(40, 10).scatter(1, torch.tensor(scores).topk(k).indices, 1.0)
    truth, found = torch.tensor(targets).long(), metrics.compute()
    for prefix, average in (("", "micro"), ("macro_", "macro")):
        for name in ("precision", "recall"):
            function = getattr(reference, f"multilabel_{name}")
            expected = function(chosen, truth, num_labels=10, average=average).item()
            assert found[f"{prefix}{name}@{k}"] == pytest.approx(expected, rel=1e-6)
        expected = reference.multilabel_f1_score(chosen, truth, num_labels=10, average=average).item()
        assert found[f"{prefix}f1@{k}"] == pytest.approx(expected, rel=1e-6)


def test_unknown_labels_take_no_place_among_the_best():
    metrics = MultiLabelMetrics(3, ks=(1, 3))
    metrics.update([[0.9, 0.8, 0.1]], [[-1, 1, 0]])
    found = metrics.compute()
    assert found["precision@1"] == 1.0
    assert found["precision@3"] == 0.5  # two are known
    assert found["recall@3"] == 1.0


def test_means_are_over_trainable_classes_with_a_positive():
    metrics = MultiLabelMetrics(4, ks=(1,), trainable=[True, True, False, True])
    metrics.update([[0.9, 0.1, 0.2, 0.0], [0.9, 0.8, 0.2, 0.0]], [[1, 0, 1, 0], [0, 1, 1, 0]])
    found = metrics.compute()
    assert found["classes"] == 2
    assert found["map"] == pytest.approx((0.5 + 1.0) / 2)  # class 0: one right of two tied
    assert found["macro_recall@1"] == 0.5
    assert found["recall@1"] == 0.5  # micro counts trainable classes as well
    assert len(metrics.per_class()) == 4


def test_hierarchical_scores_by_hand(zoo):
    metrics = MultiLabelMetrics(zoo, ks=(1,))
    scores, targets = np.zeros((2, 10)), np.zeros((2, 10))
    scores[0, zoo.index("cat")] = scores[1, zoo.index("water")] = 0.9
    targets[0, zoo.index("dog")] = targets[1, zoo.index("rose")] = 1
    metrics.update(scores, targets)
    found = metrics.compute()
    # predicted cat, pet, animal, thing and water, stuff; true dog, animal, pet, thing and rose, plant, thing
    assert found["hierarchical_precision@1"] == 3 / 6
    assert found["hierarchical_recall@1"] == 3 / 7
    assert found["hierarchical_f1@1"] == pytest.approx(6 / 13)
    assert found["lca_depth"] == (3 + 0) / 2  # pet is the third category on its path; nothing in common


def test_unknown_ancestors_of_a_prediction_are_left_out(zoo):
    metrics = MultiLabelMetrics(zoo, ks=(1,))
    targets = np.zeros((1, 10))
    scores = np.zeros((1, 10))
    scores[0, zoo.index("cat")] = 0.9
    targets[0, zoo.index("rose")], targets[0, zoo.index("pet")], targets[0, zoo.index("thing")] = 1, -1, -1
    metrics.update(scores, targets)
    # predicted cat, animal, thing; pet is unknown, thing is implied by rose
    assert metrics.compute()["hierarchical_precision@1"] == pytest.approx(1 / 3)


def slow_hierarchical(hierarchy, scores, targets, k):
    common = predicted = actual = depth = images = 0
    for s, t in zip(scores, targets, strict=True):
        known = [c for c in range(len(hierarchy)) if t[c] >= 0]
        best = sorted(known, key=lambda c: (-s[c], c))[:k]
        up = lambda labels: {a for c in labels for a in (c, *hierarchy.ancestors(int(c)).tolist())}
        true = up(c for c in known if t[c] > 0)
        guess = {c for c in up(best) if t[c] >= 0 or c in true}
        common, predicted, actual = common + len(guess & true), predicted + len(guess), actual + len(true)
        if true:
            images += 1
            depth += max((hierarchy.depth(c, longest=True) + 1 for c in up(best[:1]) & true), default=0)
    return common, predicted, actual, depth / images if images else float("nan")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 12))
def test_hierarchical_scores_equal_a_slow_reference(zoo, seed, k):
    scores, targets = random_batch(seed, images=6)
    metrics = MultiLabelMetrics(zoo, ks=(k,))
    metrics.update(scores[:2], targets[:2])
    metrics.update(scores[2:], targets[2:])
    *counts, depth = slow_hierarchical(zoo, scores, targets, k)
    assert metrics.overlap[0].tolist() == counts
    assert metrics.compute()["lca_depth"] == pytest.approx(depth, nan_ok=True)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"shape \[2, 3\] and targets of \[2, 4\]: expected both \[B, 3\]"),
        (np.full((1, 3), 1.5), np.zeros((1, 3)), "not between 0 and 1: give them after the sigmoid"),
        (np.full((1, 3), np.nan), np.zeros((1, 3)), "not between 0 and 1"),
    ],
)
def test_batches_that_make_no_sense_are_refused(scores, targets, message):
    with pytest.raises(ModelError, match=message):
        MultiLabelMetrics(3).update(scores, targets)


@pytest.mark.parametrize("options", [{"ks": ()}, {"ks": (0,)}, {"trainable": [True]}, {"bins": 1}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ModelError, match="expected"):
        MultiLabelMetrics(3, **options)


# consistency ----------------------------------------------------------------------------------------------------------


def test_ancestors_rise_to_their_descendants(zoo):
    scores = np.zeros(10)
    scores[[zoo.index("puppy"), zoo.index("plant"), zoo.index("rose")]] = 0.5, 0.7, 0.2
    found = {key: value for key, value in zip(zoo.keys, consistent(scores, zoo).tolist(), strict=True) if value}
    assert found == {"puppy": 0.5, "dog": 0.5, "pet": 0.5, "animal": 0.5, "plant": 0.7, "rose": 0.2, "thing": 0.7}


@st.composite
def hierarchies(draw):
    n = draw(st.integers(1, 12))
    parents = [sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(n)]
    order = draw(st.permutations(range(n)))  # indices need not be in a topological order
    rows = [[]] * n
    for i, row in enumerate(parents):
        rows[order[i]] = [order[p] for p in row]
    return Hierarchy([f"c{i}" for i in range(n)], rows)


@settings(max_examples=100, deadline=None)
@given(hierarchy=hierarchies(), seed=st.integers(0, 2**32 - 1))
def test_consistent_equals_the_greatest_descendant_in_any_dag(hierarchy, seed):
    scores = np.random.default_rng(seed).random((2, 3, len(hierarchy))).astype(np.float32)
    kept = scores.copy()
    found = consistent(scores, hierarchy)
    for category in range(len(hierarchy)):
        below = [category, *hierarchy.descendants(category).tolist()]
        assert np.array_equal(found[..., category], scores[..., below].max(axis=-1))
    assert np.array_equal(scores, kept)
    assert found.dtype == np.float32


def test_consistent_refuses_scores_of_another_hierarchy(zoo):
    with pytest.raises(ModelError, match=r"scores of shape \[2, 3\] for a hierarchy of 10 categories"):
        consistent(np.zeros((2, 3)), zoo)


def test_consistent_predictions_of_the_published_hierarchy(ml_images):
    scores = np.random.default_rng(0).random((4, len(ml_images)))
    found = consistent(scores, ml_images)
    parents = ml_images.parents()
    assert (found[:, parents.indices] >= found[:, parents.row_numbers]).all()
