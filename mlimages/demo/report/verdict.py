"""Sentences that state what the training runs show about the labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from mlimages.demo.learning.measures import ANCESTORS, COMPLETE, REGENERATED, SINGLE, Trained, count_seeds, summary
from mlimages.demo.report.results import Results

_SHORT = {
    "map_objects": "mean average precision over objects",
    "map": "mean average precision over all categories",
    "hierarchical_f1": "hierarchical F1",
    "top1": "top-1 of the main object",
    "top1_any": "top-1 of any object",
}


def network_verdict(results: Results) -> list[str]:
    """Sentences on the small network: metrics that are better, worse, or not distinguishable, and likely reasons."""
    if count_seeds(results.runs) < 2:
        return ["One seed has no spread: whether labels help can not be told.", _reason(results)]
    return [_compared(results.runs, SINGLE, REGENERATED), *_why_top1(results), _reason(results)]


def layer_verdict(results: Results) -> list[str]:
    """Sentences on the last layer: ancestors, rules and complete labels, each compared with the previous."""
    complete, after = summary(results.layers, COMPLETE), summary(results.layers, REGENERATED)
    gap = (
        f"What is still missing costs more than all that was added brings: mean average precision over objects "
        f"{after['map_objects'][0]:.3f} with regenerated labels, {complete['map_objects'][0]:.3f} with complete ones."
        if complete["map_objects"][0] > after["map_objects"][0]
        else "Complete labels do no better here: the scenes are too few to tell."
    )
    if count_seeds(results.layers) < 2:
        return [gap]
    pairs = ((SINGLE, ANCESTORS), (ANCESTORS, REGENERATED))
    return [*(_compared(results.layers, one, other) for one, other in pairs), gap]


def _compared(runs: Sequence[Trained], one: str, other: str) -> str:
    """Compare two kinds: means differ if by more than twice the standard error of their difference."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "no different beyond the spread": []}
    for name, short in _SHORT.items():
        difference, error = _difference(runs, one, other, name)
        outcome = "better" if difference > 2 * error else "worse" if difference < -2 * error else list(groups)[2]
        groups[outcome].append(f"{short} ({difference:+.3f})")
    found = "; ".join(f"{outcome}: {', '.join(names)}" for outcome, names in groups.items() if names)
    return f"{other.capitalize()} against {one}: {found}."


def _difference(runs: Sequence[Trained], one: str, other: str, name: str) -> tuple[float, float]:
    """The difference of two means, and its standard error."""
    before, after = summary(runs, one)[name], summary(runs, other)[name]
    return after[0] - before[0], sqrt((before[1] ** 2 + after[1] ** 2) / count_seeds(runs))


def _why_top1(results: Results) -> list[str]:
    difference, error = _difference(results.runs, SINGLE, REGENERATED, "top1")
    if difference >= -2 * error:
        return []
    counted = results.statistics["with ancestors and rules"].mean_labels_per_image
    epochs = max(at for run in results.runs for at, _ in run.curve)
    return [
        "Why top-1 falls was not tested, but this is likely: single labels name the main object and nothing else, "
        "which is just what top-1 asks for. Regenerated ones name "
        f"{counted:.1f} categories at once, most of them common to many objects, and rules put companions on a par "
        f"with the main object; {epochs:g} epochs may be few to learn all that. The last layer of the next step, which "
        "learns in a network that tells objects apart already, shows what the labels themselves are worth."
    ]


def _reason(results: Results) -> str:
    assert results.chosen is not None
    chosen = results.chosen
    added = (
        f"The rules added {chosen.added:,} labels, {chosen.precision:.0%} of them true: {chosen.recall:.0%} of the "
        "true labels that were still missing after the ancestors"
        if chosen.added
        else "No rule was found, so the ancestors are all that was added"
    )
    return (
        f"{added}. All other objects of a scene are still trained as absent. Most of them stand there by chance, which "
        "no rule can know; taking the teacher's labels directly, or leaving unknown labels out of the loss, is what "
        "would close the gap."
    )
