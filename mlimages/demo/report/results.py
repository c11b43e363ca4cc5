"""The results of the demo, as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlimages import AnnotationTable
from mlimages.annotate.inspect.explanation import Explanation
from mlimages.annotate.inspect.statistics import TableStatistics
from mlimages.demo.annotations.judgement import Judgement
from mlimages.demo.annotations.placement import Placement
from mlimages.demo.learning.measures import Trained
from mlimages.demo.scenes.world import World

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True, kw_only=True)
class Results:
    """Results; each step of the demo fills its fields.

    Attributes
    ----------
    world : World
        The scenes.
    single, regenerated : AnnotationTable
        Tables of the training scenes: published labels alone, and with ancestors and rules.
    statistics : dict of str to TableStatistics
        Statistics by kind of labels.
    teacher : str
        Description of the teacher.
    teacher_scores : list of dict
        Precision and recall of the teacher, one row per kind of teacher and threshold.
    judgements : list of Judgement
        Rules by threshold, compared with the truth.
    chosen : Judgement
        The judgement of the rules in use.
    rules : pandas.DataFrame
        The rules in use.
    explanations : list of (str, str, Explanation)
        Explained images: kind, name and explanation.
    network : str
        Description of the small network.
    runs, layers : list of Trained
        Training runs of the small network, and of the last layer on the teacher's features.
    placement : Placement or None
        The categories compared with the published hierarchy, if that is available.
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
