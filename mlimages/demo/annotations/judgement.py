"""Precision and recall of the labels that rules add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlimages import Hierarchy

if TYPE_CHECKING:
    import pandas as pd

#: The thresholds that are tried; the published method uses 0.95 and 0.5.
TEACHER_THRESHOLDS = (0.3, 0.5, 0.8, 0.95)
MIN_PROBABILITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The labels that rules of two thresholds add, ancestors included, compared with the truth.

    Counts: the `rules`; the labels `added`, and how many of these are true (`right`); the true labels that were
    `missing` before.
    """

    teacher_threshold: float
    min_probability: float
    rules: int
    added: int
    right: int
    missing: int

    @property
    def precision(self) -> float:
        """`right` / `added`; NaN if none were added."""
        return self.right / self.added if self.added else float("nan")

    @property
    def recall(self) -> float:
        """`right` / `missing`; NaN if none were missing."""
        return self.right / self.missing if self.missing else float("nan")


def judge(
    annotated: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    rules: pd.DataFrame,
    hierarchy: Hierarchy,
    *,
    teacher_threshold: float,
    min_probability: float,
) -> Judgement:
    """Apply rules to m images and count the added labels that are true.

    `annotated` and `truth`, bool [m, n] over the n categories of the hierarchy, are the labels before the rules and the
    true ones, both closed under ancestors; `rules` are as :meth:`Cooccurrence.rules
    <mlimages.annotate.cooccurrence.counts.Cooccurrence.rules>` returns them, made with the given thresholds.
    """
    added = np.zeros_like(annotated)
    for source, target in zip(rules["source_index"], rules["target_index"], strict=True):
        brought = np.append(hierarchy.ancestors(int(target)), target)
        added[np.ix_(annotated[:, source], brought)] = True
    added &= ~annotated
    return Judgement(
        teacher_threshold,
        min_probability,
        len(rules),
        int(added.sum()),
        int((added & truth).sum()),
        int((truth & ~annotated).sum()),
    )
