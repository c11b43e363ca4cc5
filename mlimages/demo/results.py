"""What the demo found out: all that its report shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlimages import AnnotationTable
from mlimages.annotate.inspect.explanation import Explanation
from mlimages.annotate.inspect.statistics import TableStatistics
from mlimages.demo.judging import Judgement
from mlimages.demo.placement import Placement
from mlimages.demo.training import Trained
from mlimages.demo.world import World

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True, kw_only=True)
class Results:
    """Filled step by step.

    Attributes
    ----------
    world : World
        The scenes.
    single, regenerated : AnnotationTable
        The training scenes with their published labels alone, and with all that is brought.
    statistics : dict of str to TableStatistics
        Of tables, by what they hold.
    teacher : str
        What the teacher is, in a few words.
    teacher_scores : list of dict
        Precision and recall of the teacher's objects, a row a kind of teacher and threshold.
    judgements : list of Judgement
        Of rules, by threshold.
    chosen : Judgement
        Of the rules that were taken.
    rules : pandas.DataFrame
        Those.
    explanations : list of (str, str, Explanation)
        Of some images: which kind of image it is, its name.
    network : str
        What the small network is, in a few words.
    runs, layers : list of Trained
        All trainings of the small network, and of the last layer over the teacher's.
    placement : Placement or None
        Where the categories lie in the published hierarchy, where that is at hand.
    steps : list of (str, float)
        Title and seconds of each step.
    """

    world: World
    single: AnnotationTable
    regenerated: AnnotationTable
    statistics: dict[str, TableStatistics] = field(default_factory=dict)
    teacher: str = ""
    teacher_scores: list[dict[str, Any]] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    chosen: Judgement | None = None
    rules: pd.DataFrame | None = None
    explanations: list[tuple[str, str, Explanation]] = field(default_factory=list)
    network: str = ""
    runs: list[Trained] = field(default_factory=list)
    layers: list[Trained] = field(default_factory=list)
    placement: Placement | None = None
    steps: list[tuple[str, float]] = field(default_factory=list)
