"""What the two trainings say about the labels, in words, whichever way it went."""

from __future__ import annotations

from math import sqrt

from mlimages.demo.results import Results
from mlimages.demo.training import summary

SINGLE, ANCESTORS, REGENERATED, COMPLETE = "single labels", "with ancestors", "regenerated labels", "complete labels"

_SHORT = {
    "map_objects": "mean average precision over objects",
    "map": "mean average precision over all categories",
    "hierarchical_f1": "hierarchical F1",
    "top1": "top-1 of the main object",
    "top1_any": "top-1 of any object",
}


def verdict(results: Results) -> list[str]:
    """A few sentences: what got better, what worse, what can not be told apart, and why.

    Two means are told apart where they differ by more than twice the standard error of their difference, for which
    several seeds are needed.
    """
    seeds = len({run.seed for run in results.runs})
    if seeds < 2:
        return ["One seed has no spread: whether labels help can not be told.", _reason(results)]
    return [
        _compared(results, SINGLE, REGENERATED, seeds),
        _compared(results, ANCESTORS, REGENERATED, seeds),
        _reason(results),
    ]


def _compared(results: Results, one: str, other: str, seeds: int) -> str:
    before, after = summary(results.runs, one), summary(results.runs, other)
    groups: dict[str, list[str]] = {"better": [], "worse": [], "no different beyond the spread": []}
    for name, short in _SHORT.items():
        difference = after[name][0] - before[name][0]
        error = sqrt((before[name][1] ** 2 + after[name][1] ** 2) / seeds)
        outcome = "better" if difference > 2 * error else "worse" if difference < -2 * error else list(groups)[2]
        groups[outcome].append(f"{short} ({difference:+.3f})")
    found = "; ".join(f"{outcome}: {', '.join(names)}" for outcome, names in groups.items() if names)
    return f"{other.capitalize()} against {one}: {found}."


def _reason(results: Results) -> str:
    assert results.chosen is not None
    chosen = results.chosen
    added = (
        f"The rules added {chosen.added:,} labels, {chosen.precision:.0%} of them true: {chosen.recall:.0%} of the "
        "true labels that were still missing after the ancestors"
        if chosen.added
        else "No rule was found, so the ancestors are all that was added"
    )
    complete, after = summary(results.runs, COMPLETE), summary(results.runs, REGENERATED)
    return (
        f"{added}. All other objects of a scene are still trained as absent. What that costs shows beside complete "
        f"labels: mean average precision over objects {after['map_objects'][0]:.3f} against "
        f"{complete['map_objects'][0]:.3f}. Most objects stand in a scene by chance, which no rule can know; taking "
        "the teacher's labels directly, or leaving unknown labels out of the loss, is what would close the gap."
    )
