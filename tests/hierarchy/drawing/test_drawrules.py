from __future__ import annotations

import pytest

from mlimages import Hierarchy, MlimagesError
from mlimages.errors import UnknownCategoryError

RULES = {
    "source": ["rose", "cat", "dog", "rose"],
    "target": ["water", "water", "plant", "cat"],
    "p": [0.6, 0.9, 0.7, 0.8],
}


def test_heat_map_has_a_cell_a_rule_the_strongest_first(zoo: Hierarchy) -> None:
    figure = zoo.draw_rules(RULES, top=3, title="a < b")
    (trace,) = figure.data
    assert figure.layout.yaxis.ticktext == ("Cat", "Rose", "Dog")
    assert figure.layout.xaxis.ticktext == ("Water", "Cat", "Plant")
    assert [list(row) for row in trace.z] == [[0.9, None, None], [None, 0.8, None], [None, None, 0.7]]
    assert trace.text[1][1] == "Rose → Cat<br>p 0.80"
    assert figure.layout.title.text == "a &lt; b"


def test_network_has_an_arrow_a_rule_of_the_subtree(zoo: Hierarchy) -> None:
    figure = zoo.draw_rules(RULES, "animal", kind="network")
    middles, sources, targets = figure.data
    assert sorted(middles.hovertext) == ["Cat → Water<br>p 0.90", "Dog → Plant<br>p 0.70"]
    assert sorted(sources.text) == ["Cat", "Dog"]
    assert sorted(targets.text) == ["Plant", "Water"]
    assert sorted(round(each.arrowwidth, 2) for each in figure.layout.annotations) == [2.25, 2.75]
    assert zoo.draw_rules(RULES, "animal", kind="network") == figure


def test_rules_that_cannot_be_drawn_are_named(zoo: Hierarchy) -> None:
    with pytest.raises(MlimagesError, match="found no rules whose source is stuff or below it"):
        zoo.draw_rules(RULES, "stuff")
    with pytest.raises(MlimagesError, match="found no rules, expected at least one"):
        zoo.draw_rules({"source": [], "target": [], "p": []})
    with pytest.raises(MlimagesError, match="kind='pie': expected heatmap or network"):
        zoo.draw_rules(RULES, kind="pie")
    with pytest.raises(MlimagesError, match="top=0: expected at least 1"):
        zoo.draw_rules(RULES, top=0)
    with pytest.raises(MlimagesError, match="rules: found source, p, expected the columns source, target and p"):
        zoo.draw_rules({"source": ["rose"], "p": [1]})
    with pytest.raises(MlimagesError, match="found 1 sources, 2 targets and 1 p"):
        zoo.draw_rules({"source": ["rose"], "target": ["cat", "dog"], "p": [1]})
    with pytest.raises(MlimagesError, match=r"found p 1.5, expected above 0 to 1"):
        zoo.draw_rules({"source": ["rose"], "target": ["cat"], "p": [1.5]})
    with pytest.raises(UnknownCategoryError, match="unknown category 'rain'"):
        zoo.draw_rules({"source": ["rose"], "target": ["rain"], "p": [1]})
