"""How many of the labels that rules add are true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlimages import Hierarchy

if TYPE_CHECKING:
    import pandas as pd

#: What the published method takes, and what is tried beside it.
TEACHER_THRESHOLDS = (0.3, 0.5, 0.8, 0.95)
MIN_PROBABILITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The labels that the rules of two thresholds add, held against the truth.

    Parameters
    ----------
    teacher_threshold, min_probability : float
        The thresholds.
    rules : int
        How many rules there are.
    added : int
        Labels that are new, ancestors included.
    right : int
        Those of them that are true.
    missing : int
        True labels that were missing before.
    """

    teacher_threshold: float
    min_probability: float
    rules: int
    added: int
    right: int
    missing: int

    @property
    def precision(self) -> float:
        """True labels among the added; nan where none were."""
        return self.right / self.added if self.added else float("nan")

    @property
    def recall(self) -> float:
        """Added labels among the true ones that were missing."""
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
    """Count how many of the labels that rules add to images are true.

    Parameters
    ----------
    annotated, truth : bool array [m, n]
        Which image carries which category, and which is truly in it; both with all ancestors.
    rules : pandas.DataFrame
        What :meth:`mlimages.annotate.cooccurrence.counts.Cooccurrence.rules` gave.
    hierarchy : Hierarchy
        The n categories.
    teacher_threshold, min_probability : float
        What the rules were made with.
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
