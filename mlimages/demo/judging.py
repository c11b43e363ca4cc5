"""Rules out of what the teacher sees, and how many of the labels that they add are true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlimages import Hierarchy

#: What the published method takes, and what is tried beside it.
TEACHER_THRESHOLDS = (0.3, 0.5, 0.8, 0.95)
MIN_PROBABILITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True, slots=True)
class Rule:
    """A category brings another.

    Parameters
    ----------
    source, target : int
        Indices.
    p : float
        Share of the images of the source on which the teacher sees the target.
    support, images : int
        Images of both, images of the source.
    """

    source: int
    target: int
    p: float
    support: int
    images: int


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


def find_rules(
    annotated: NDArray[np.bool_],
    scores: NDArray[np.float32],
    targets: NDArray[np.int32],
    hierarchy: Hierarchy,
    *,
    teacher_threshold: float,
    min_probability: float,
    min_images: int,
) -> list[Rule]:
    """The pairs that strongly co-occur.

    Parameters
    ----------
    annotated : bool array [m, n]
        Which image carries which category.
    scores : float32 array [m, k]
        How sure the teacher is of each of its categories.
    targets : int32 array [k]
        Those categories.
    teacher_threshold, min_probability, min_images
        As in the published method: what counts as seen, the least share, the fewest images of a source.

    Returns
    -------
    list of Rule
        The strongest first; neither category of a rule is the other or above it.
    """
    seen = (scores > teacher_threshold).astype(np.int64)
    both = annotated.T.astype(np.int64) @ seen  # (n, k)
    images = annotated.sum(0)
    sources, columns = np.nonzero((both > min_probability * images[:, None]) & (images[:, None] >= min_images))
    found = targets[columns]
    related = (sources == found) | hierarchy.is_ancestor(sources, found) | hierarchy.is_ancestor(found, sources)
    rules = [
        Rule(int(i), int(targets[j]), float(both[i, j] / images[i]), int(both[i, j]), int(images[i]))
        for i, j in zip(sources[~related], columns[~related], strict=True)
    ]
    return sorted(rules, key=lambda rule: (-rule.p, -rule.support, rule.source, rule.target))


def judge(
    annotated: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    rules: list[Rule],
    hierarchy: Hierarchy,
    *,
    teacher_threshold: float,
    min_probability: float,
) -> Judgement:
    """Apply rules to the annotated images [m, n] and count how many of the labels they add are true [m, n]."""
    added = np.zeros_like(annotated)
    for rule in rules:
        brought = np.append(hierarchy.ancestors(rule.target), rule.target)
        added[np.ix_(annotated[:, rule.source], brought)] = True
    added &= ~annotated
    return Judgement(
        teacher_threshold,
        min_probability,
        len(rules),
        int(added.sum()),
        int((added & truth).sum()),
        int((truth & ~annotated).sum()),
    )
