"""What the two trainings say about the labels, in words, whichever way it went."""

from __future__ import annotations

from math import sqrt

from mlimages.demo.results import Results
from mlimages.demo.training import summary

SINGLE, REGENERATED = "single labels", "regenerated labels"

_SHORT = {
    "map_objects": "mean average precision over objects",
    "map": "mean average precision over all categories",
    "hierarchical_f1": "hierarchical F1",
    "top1": "top-1 of the main object",
    "top1_any": "top-1 of any object",
}


def verdict(results: Results) -> list[str]:
    """Two or three sentences: what got better, what worse, what can not be told apart, and why.

    Two means are told apart where they differ by more than twice the standard error of their difference.
    """
    before, after = summary(results.runs, SINGLE), summary(results.runs, REGENERATED)
    seeds = len({run.seed for run in results.runs})
    groups: dict[str, list[str]] = {"better": [], "worse": [], "no different": []}
    for name, short in _SHORT.items():
        difference = after[name][0] - before[name][0]
        error = sqrt((before[name][1] ** 2 + after[name][1] ** 2) / seeds)
        outcome = "no different" if abs(difference) <= 2 * error else "better" if difference > 0 else "worse"
        groups[outcome].append(f"{short} ({difference:+.3f})")
    lines = [
        f"{what}: {', '.join(names)}."
        for what, names in (
            ("Regenerated labels made better", groups["better"]),
            ("They made worse", groups["worse"]),
            ("No difference beyond the spread", groups["no different"]),
        )
        if names
    ]
    return [*lines, _reason(results, helped=bool(groups["better"]))]


def _reason(results: Results, *, helped: bool) -> str:
    assert results.chosen is not None
    chosen = results.chosen
    left = (
        f"The rules added {chosen.added:,} labels, {chosen.precision:.0%} of them true, and brought "
        f"{chosen.recall:.0%} of the true labels that were still missing after the ancestors"
        if chosen.added
        else "No rule was found, so the ancestors are all that was added"
    )
    if helped:
        return (
            f"{left}. Ancestors tie rare objects to others of their kind; every object that no rule brings is still "
            "trained as absent, which complete labels, or leaving unknown labels out of the loss (unknown = -1), "
            "would mend."
        )
    return (
        f"{left}. All other objects of a scene are still trained as absent, and a short training has too few steps to "
        "profit from the ancestors. More scenes and epochs, a teacher whose labels are taken directly, or leaving "
        "unknown labels out of the loss (unknown = -1) would help."
    )
