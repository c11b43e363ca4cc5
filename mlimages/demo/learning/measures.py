"""Evaluation of training runs on held-out scenes with true labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from mlimages import AnnotationTable
from mlimages.models import MultiLabelMetrics, consistent

#: The kinds of labels that are compared.
SINGLE, ANCESTORS, REGENERATED, COMPLETE = "single labels", "with ancestors", "regenerated labels", "complete labels"

#: The metrics: name, and description in the report.
MEASURES = {
    "map_objects": "mean average precision over the objects: of each object, how well scores rank the scenes with it",
    "map": "the same over all categories; a category scores at least what its descendants do",
    "hierarchical_f1": "hierarchical F1 of the two best objects of a scene, both sides completed with their ancestors",
    "top1": "how often the best object is the main one, whose label is published",
    "top1_any": "how often the best object is any of those in the scene",
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training run on one kind of labels: its `MEASURES`, in [0, 1], and its loss curve.

    Points of the curve: epochs so far, mean loss since the previous point.
    """

    labels: str
    seed: int
    scores: dict[str, float]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The evaluation data: a table of the true labels of the m held-out scenes.

    `objects` are the category indices of the objects, int32 [k]; `main` is the main object of each scene, as position
    in `objects`, int64 [m].
    """

    table: AnnotationTable
    objects: NDArray[np.int32]
    main: NDArray[np.int64]


def judge_scores(probabilities: NDArray[np.float32], held_out: HeldOut) -> dict[str, float]:
    """Compute the `MEASURES` from probabilities, float32 [m, n], of all categories in the held-out scenes."""
    truth = held_out.table.multi_hot(np.arange(len(held_out.table)))
    hierarchy, objects = held_out.table.hierarchy, held_out.objects
    everything = MultiLabelMetrics(hierarchy, ks=(1,))
    everything.update(consistent(probabilities, hierarchy), truth)
    objects_only = np.zeros_like(probabilities)
    objects_only[:, objects] = probabilities[:, objects]
    is_object = np.zeros(len(hierarchy), bool)
    is_object[objects] = True
    of_objects = MultiLabelMetrics(hierarchy, ks=(1, 2), trainable=is_object)
    of_objects.update(objects_only, truth)
    counted = of_objects.compute()
    best = probabilities[:, objects].argmax(axis=1)
    return {
        "map_objects": counted["map"],
        "map": everything.compute()["map"],
        "hierarchical_f1": counted["hierarchical_f1@2"],
        "top1": float((best == held_out.main).mean()),
        "top1_any": float((truth[np.arange(len(truth)), objects[best]] > 0).mean()),
    }


def summary(runs: Sequence[Trained], labels: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (0 for a single run) over seeds, of each of the `MEASURES`."""
    scores = [run.scores for run in runs if run.labels == labels]
    return {
        name: (mean(each[name] for each in scores), stdev([each[name] for each in scores]) if len(scores) > 1 else 0.0)
        for name in MEASURES
    }


def shown(found: tuple[float, float], *, seeds: int) -> str:
    """Format mean and standard deviation; the mean alone for a single seed."""
    return f"{found[0]:.3f}" + (f" ± {found[1]:.3f}" if seeds > 1 else "")


def count_seeds(runs: Sequence[Trained]) -> int:
    """Number of distinct seeds."""
    return len({run.seed for run in runs})
