"""The published loss against hand-computed steps and a slow reference; the other losses; all leave unknowns out."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mlimages.errors import ModelError
from mlimages.models import AsymmetricLoss, BinaryCrossEntropy, MaxConstraintLoss, MLImagesLoss, build_model, l2_penalty
from mlimages.models.losses.loss import decayed_parameters
from tests.models.loss_rank import two_batches

LN2 = math.log(2)
ALL = torch.tensor([True, True])


def test_first_steps_by_hand():
    loss = MLImagesLoss(2)
    logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    # class 0 present, t+ = 1: -log10(1.01 / 10); class 1 absent and drawn, t- = 1: -log10(9 / 10)
    assert loss(logits, targets, ALL).item() == pytest.approx(0.995679 * 12 * LN2 + 0.04575749 * LN2, rel=1e-5)
    assert loss.positive_steps.tolist() == [1, 0]
    assert loss.negative_steps.tolist() == [0, 1]
    # t+ = 2: -log10(2.01 / 10); t- = 2: -log10(10 / 10) = 0, at most 0.01, so 0.001
    assert loss(logits, targets, ALL).item() == pytest.approx(0.696804 * 12 * LN2 + 0.001 * LN2, rel=1e-5)
    # now the other way round: both counters of either class start over
    assert loss(logits, targets.flip(1), ALL).item() == pytest.approx(0.04575749 * LN2 + 0.995679 * 12 * LN2, rel=1e-5)
    assert loss.positive_steps.tolist() == [0, 1]
    assert loss.negative_steps.tolist() == [1, 0]


def test_absent_class_that_is_not_drawn_costs_nothing_and_keeps_its_counter():
    loss = MLImagesLoss(2)
    loss.negative_steps.fill_(3)
    assert loss(torch.zeros(1, 2), torch.zeros(1, 2), ~ALL).item() == 0
    assert loss.negative_steps.tolist() == [3, 3]


def test_class_present_for_long_keeps_the_least_coefficient():
    loss = MLImagesLoss(1)
    loss.positive_steps.fill_(9)  # t+ = 10 gives -log10(10.01 / 10) < 0
    assert loss(torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(0.01 * 12 * LN2, rel=1e-5)


@pytest.mark.parametrize(("floor", "coefficient"), [("published", 0.001), ("paper", 0.01)])
def test_floor_of_absent_classes(floor, coefficient):
    loss = MLImagesLoss(1, floor=floor)
    loss.negative_steps.fill_(5)
    assert loss(torch.zeros(1, 1), torch.zeros(1, 1), ALL[:1]).item() == pytest.approx(coefficient * LN2, rel=1e-5)


def test_positive_below_the_threshold_leaves_its_class_absent_but_keeps_its_target():
    loss = MLImagesLoss(1)
    value = loss(torch.zeros(1, 1), torch.tensor([[0.6]]), ALL[:1]).item()
    assert loss.positive_steps.tolist() == [0]
    assert value == pytest.approx(0.04575749 * (0.6 * 12 + 0.4) * LN2, rel=1e-5)


def test_unknown_elements_count_as_zero_in_the_mean():
    loss = MLImagesLoss(1)
    targets = torch.tensor([[1.0], [-1.0], [-1.0], [0.0]])
    logits = torch.tensor([[0.0], [50.0], [-50.0], [0.0]], requires_grad=True)
    value = loss(logits, targets)
    assert value.item() == pytest.approx(0.995679 * (12 * LN2 + LN2) / 4, rel=1e-5)
    value.backward()
    assert logits.grad[1:3].tolist() == [[0], [0]]


def slow_step(logits, targets, drawn, plus, minus, floor):
    """The loss of one step class by class, as the issue words it; changes the counters."""
    total = 0.0
    for c in range(logits.shape[1]):
        present = any(t >= 0.7 for t in targets[:, c])
        plus[c], minus[c] = (plus[c] + 1, 0) if present else (0, minus[c] + bool(drawn[c]))
        if present:
            coefficient = max(0.01, -math.log10((0.01 + plus[c]) / 10))
        elif drawn[c]:
            r = -math.log10((8 + minus[c]) / 10)
            coefficient = r if r > 0.01 else floor
        else:
            continue
        mean = 0.0
        for x, t in zip(logits[:, c], targets[:, c], strict=True):
            if t >= 0:
                p = 1 / (1 + math.exp(-x))
                mean += (-12 * t * math.log(p) - (1 - t) * math.log(1 - p)) / len(logits)
        total += coefficient * mean
    return total


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 4), classes=st.integers(1, 6), paper=st.booleans())
def test_steps_equal_a_slow_reference(seed, batch, classes, paper):
    random = np.random.default_rng(seed)
    loss = MLImagesLoss(classes, floor="paper" if paper else "published")
    plus, minus = [0] * classes, [0] * classes
    for _ in range(6):
        logits = random.normal(0, 3, (batch, classes))
        targets = random.choice([-1, 0, 0, 0, 0.3, 0.69, 0.7, 1], (batch, classes))
        drawn = random.random(classes) < 0.7
        found = loss(torch.tensor(logits), torch.tensor(targets), torch.tensor(drawn))
        expected = slow_step(logits, targets, drawn, plus, minus, 0.01 if paper else 0.001)
        assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert loss.positive_steps.tolist() == plus
        assert loss.negative_steps.tolist() == minus


def test_draws_follow_neg_select_seed_and_step():
    def draws(loss, steps):
        return torch.stack([loss.coefficients(torch.zeros(20_000, dtype=torch.bool)) > 0 for _ in range(steps)])

    first, again, other = draws(MLImagesLoss(20_000), 3), draws(MLImagesLoss(20_000), 3), MLImagesLoss(20_000, seed=1)
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], draws(other, 1)[0])
    assert first.float().mean().item() == pytest.approx(0.1, abs=0.005)


def test_counters_and_draws_go_on_after_a_reload():
    loss, reloaded = MLImagesLoss(50), MLImagesLoss(50)
    random = torch.Generator().manual_seed(0)
    batches = [((torch.rand(4, 50, generator=random) > 0.9).float(), torch.zeros(4, 50)) for _ in range(6)]
    for targets, logits in batches[:3]:
        loss(logits, targets)
    reloaded.load_state_dict(loss.state_dict())
    assert [reloaded(x, t).item() for t, x in batches[3:]] == [loss(x, t).item() for t, x in batches[3:]]


def test_evaluation_leaves_the_counters():
    loss = MLImagesLoss(2).eval()
    first = loss(torch.zeros(1, 2), torch.eye(2)[:1], ALL).item()
    assert first == loss(torch.zeros(1, 2), torch.eye(2)[:1], ALL).item()
    assert loss.positive_steps.tolist() == [0, 0]
    assert loss.step == 0


def test_two_processes_count_and_cost_as_one_with_twice_the_batch(tmp_path):
    script = Path(__file__).parents[1] / "loss_rank.py"
    ranks = [subprocess.Popen([sys.executable, script, str(rank), tmp_path]) for rank in (0, 1)]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    states, values = zip(*(torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)), strict=True)
    logits, targets = two_batches()
    loss = MLImagesLoss(4)
    whole = sum(loss(logits[step].flatten(0, 1), targets[step].flatten(0, 1)) for step in range(3))
    for state in states:
        assert torch.equal(state["positive_steps"], loss.positive_steps)
        assert torch.equal(state["negative_steps"], loss.negative_steps)
    assert loss.positive_steps.max() > 0
    assert sum(values).item() / 2 == pytest.approx(whole.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": "deep"}, "floor is 'deep': expected one of published, paper"),
        ({"neg_select": 1.5}, "expected a prob"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        MLImagesLoss(2, **options)


@pytest.mark.parametrize(
    "loss", [MLImagesLoss(3), BinaryCrossEntropy(), AsymmetricLoss()], ids=lambda x: type(x).__name__
)
def test_shapes_that_differ_are_refused(loss):
    with pytest.raises(ModelError, match=r"logits of shape \[2, 3\] and targets of \[2, 4\]: expected both"):
        loss(torch.zeros(2, 3), torch.zeros(2, 4))


# the others -----------------------------------------------------------------------------------------------------------


def test_binary_cross_entropy_by_hand():
    logits, targets = torch.tensor([[0.0, 2.0], [0.0, 7.0]]), torch.tensor([[1.0, 0.0], [0.5, -1.0]])
    expected = (LN2 + math.log(1 + math.exp(2)) + LN2) / 2
    assert BinaryCrossEntropy()(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_asymmetric_loss_by_hand():
    logits, targets = torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, -1.0]])
    # Ridnik et al. 2021, equation 7: a positive pays (1 - p) x -log p, a negative q^4 x -log(1 - q), q = p - 0.05
    expected = (0.5 * LN2 - 0.45**4 * math.log(0.55)) / 2
    assert AsymmetricLoss()(logits, targets).item() == pytest.approx(expected, rel=1e-5)


def test_l2_leaves_batch_norm_and_frozen_weights_out():
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1), nn.Linear(1, 1, bias=False))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 2.0)
    assert l2_penalty(model).item() == 4 * (2 + 1 + 1) / 2  # weight, bias, weight; not gamma and beta
    model[2].requires_grad_(False)
    assert l2_penalty(model).item() == 4 * 3 / 2


def test_l2_of_the_published_network_counts_convolutions_and_dense_layer():
    with torch.device("meta"):
        model = build_model("resnet50-mlimages", num_classes=2)
    assert sum(each.numel() for each in decayed_parameters(model)) == 23_454_912 + 2 * 2048 + 2


# the hierarchy --------------------------------------------------------------------------------------------------------


def slow_max_constraint(logits, targets, hierarchy):
    total = 0.0
    for x, t in zip(logits, targets, strict=True):
        for a in range(len(hierarchy)):
            if t[a] < 0:
                continue
            below = [a, *hierarchy.descendants(a).tolist()]
            p = [1 / (1 + math.exp(-x[b])) for b in below]
            if t[a] > 0:
                total -= t[a] * math.log(max(p * (t[b] > 0) for p, b in zip(p, below, strict=True)))
            total -= (1 - t[a]) * math.log(1 - max(p))
    return total / len(logits)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_max_constraint_loss_equals_a_slow_reference(zoo, seed):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (3, 10))
    targets = random.choice([-1, 0, 0, 0.4, 1], (3, 10))
    found = MaxConstraintLoss(zoo)(torch.tensor(logits), torch.tensor(targets))
    assert found.item() == pytest.approx(slow_max_constraint(logits, targets, zoo), rel=1e-4)


def test_max_constraint_loss_teaches_the_descendant_that_betrays_its_ancestor(zoo):
    logits = torch.zeros(1, 10)
    logits[0, zoo.index("puppy")] = 3.0
    logits.requires_grad_()
    targets = torch.full((1, 10), -1.0)
    targets[0, zoo.index("animal")] = 0.0
    MaxConstraintLoss(zoo)(logits, targets).backward()
    assert logits.grad.nonzero().tolist() == [[0, zoo.index("puppy")]]
    assert logits.grad[0, zoo.index("puppy")].item() > 0


def test_max_constraint_loss_gives_no_credit_for_an_absent_descendant(zoo):
    logits = torch.zeros(1, 10)
    logits[0, zoo.index("cat")] = 3.0
    logits.requires_grad_()
    targets = torch.full((1, 10), -1.0)
    targets[0, zoo.index("pet")], targets[0, zoo.index("cat")] = 1.0, 0.0
    MaxConstraintLoss(zoo)(logits, targets).backward()
    assert logits.grad[0, zoo.index("pet")].item() == pytest.approx(-0.5)
    assert logits.grad[0, zoo.index("cat")].item() > 0
