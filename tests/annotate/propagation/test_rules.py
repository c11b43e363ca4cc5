from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlimages
from mlimages import Hierarchy, MlimagesError, Propagation, explain
from mlimages.annotate import AnnotationTable, Origin, subset
from mlimages.annotate.propagation.augment import Augmenter
from mlimages.annotate.propagation.rules import Rules, read_rules, write_rules
from mlimages.errors import FormatError, JobError
from mlimages.storage.verify import verify_parts
from tests.annotate.reference import apply_rules, propagate
from tests.annotate.strategies import PROPAGATIONS, batch_of, hierarchies, rows_in, rows_of, rules_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
G, A, C, D = Origin.GIVEN, Origin.ANCESTOR, Origin.COOCCURRENCE, Origin.DESCENDANT


def frame(hierarchy: Hierarchy, rules: list[tuple[int, int, float]]) -> pd.DataFrame:
    keys = hierarchy.keys
    columns = {"source": [keys[i] for i, _, _ in rules], "target": [keys[j] for _, j, _ in rules]}
    return pd.DataFrame({**columns, "p": [p for _, _, p in rules]})


def run(
    zoo: Hierarchy,
    row: list[tuple[int, float]],
    rules: list[tuple[int, int, float]],
    propagation: Propagation | None = None,
    confidence: str = "one",
) -> list[tuple[int, float, int]]:
    compiled = Rules.of(frame(zoo, rules), zoo, confidence=confidence)  # type: ignore[arg-type]
    return rows_in(Augmenter(zoo, propagation or Propagation(), compiled)(batch_of([row])))[0]


# Applying ----------------------------------------------------------------------------------------------------------


def test_a_rule_adds_its_target_and_the_ancestors_of_this_nearest_first(zoo: Hierarchy) -> None:
    assert run(zoo, [(ROSE, 0.5)], [(ROSE, WATER, 0.75)], Propagation.published()) == [
        (ROSE, 0.5, G),
        (PLANT, 0.5, A),
        (WATER, 1.0, C),
        (STUFF, 1.0, C),
    ]


def test_a_rule_of_an_ancestor_is_applied_and_rules_are_not_chained(zoo: Hierarchy) -> None:
    rules = [(PET, WATER, 0.75), (WATER, ROSE, 0.75), (STUFF, ROSE, 0.75)]
    assert run(zoo, [(CAT, 1.0)], rules)[4:] == [(WATER, 1.0, C), (STUFF, 1.0, C)]


def test_the_confidence_of_an_added_label_may_be_that_of_its_rule(zoo: Hierarchy) -> None:
    rules = [(ROSE, WATER, 0.5625), (PLANT, WATER, 0.75)]
    assert run(zoo, [(ROSE, 1.0)], rules, confidence="p")[3:] == [(WATER, 0.75, C), (STUFF, 0.75, C)]
    first = run(zoo, [(ROSE, 1.0)], rules, Propagation.published(), confidence="p")
    assert first[3:] == [(WATER, 0.5625, C), (STUFF, 0.5625, C)]


def test_labels_that_are_there_stay_as_they_are(zoo: Hierarchy) -> None:
    found = run(zoo, [(ROSE, 1.0), (WATER, 0.25)], [(ROSE, WATER, 0.75)])
    assert found == [(ROSE, 1, G), (PLANT, 1, A), (THING, 1, A), (WATER, 0.25, G), (STUFF, 0.25, A)]


def test_a_verified_absence_stops_the_whole_rule_and_is_counted(zoo: Hierarchy) -> None:
    compiled = Rules.of(frame(zoo, [(ROSE, DOG, 0.75), (ROSE, WATER, 0.75)]), zoo)
    found = Augmenter(zoo, Propagation(), compiled).apply(batch_of([[(ROSE, 1.0), (PET, 0.0)]]))
    assert rows_in(found.batch)[0][3:] == [(PET, 0, G), (WATER, 1, C), (STUFF, 1, C)]
    assert found.counts == {"absences_beaten": 0, "rule_labels": 2, "rules_stopped": 1}


def test_an_absence_that_flowed_down_stops_a_rule(zoo: Hierarchy) -> None:
    row = [(ROSE, 1.0), (PET, 0.0)]
    found = run(zoo, row, [(ROSE, CAT, 0.75)], Propagation(ancestors="none", absent="descendants"))
    assert found == [(ROSE, 1, G), (PET, 0, G), (DOG, 0, D), (PUPPY, 0, D), (CAT, 0, D)]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_kernel_agrees_with_the_plain_rules(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies())
    rows = data.draw(st.lists(rows_of(hierarchy), max_size=5))
    propagation, rules = data.draw(PROPAGATIONS), data.draw(rules_of(hierarchy))
    confidence = data.draw(st.sampled_from(["one", "p"]))
    compiled = Rules.of(frame(hierarchy, rules), hierarchy, confidence=confidence)  # type: ignore[arg-type]
    # the strongest rule of a source comes first, whatever confidence its labels get
    plain = [(i, j, p if confidence == "p" else 1.0) for i, j, p in sorted(rules, key=lambda rule: (-rule[2], rule[1]))]
    expected = []
    stopped = 0
    for row in rows:
        before, _ = propagate(row, hierarchy, propagation)
        after, count = apply_rules(before, hierarchy, propagation, plain)
        expected.append(after)
        stopped += count
    found = Augmenter(hierarchy, propagation, compiled).apply(batch_of(rows))
    assert rows_in(found.batch) == expected
    assert found.rules_stopped == stopped
    without = Augmenter(hierarchy, propagation).apply(batch_of(rows))
    assert found.conflicts == without.conflicts
    assert found.rule_labels == sum(map(len, expected)) - sum(map(len, rows_in(without.batch)))


# In tables ---------------------------------------------------------------------------------------------------------


def annotated(zoo: Hierarchy, out: Path, path: Path, **options: object) -> AnnotationTable:
    given = path.with_name("list.txt")
    given.write_text("a\trose:1\nb\tcat:0.5\nc\trose:1\twater:0\n")
    table = mlimages.annotate(given, zoo, out=out, rules=path, **options)
    assert isinstance(table, AnnotationTable)
    return table


@pytest.fixture
def rules_csv(zoo: Hierarchy, tmp_path: Path) -> Path:
    path = tmp_path / "edited.csv"
    path.write_text("source,target,p,note\nrose,water,0.9,vases\n\npet,plant,,\n")
    return path


def test_a_table_keeps_its_rules_and_says_so(zoo: Hierarchy, tmp_path: Path, rules_csv: Path) -> None:
    table = annotated(zoo, tmp_path / "t", rules_csv, workers=2)
    assert table.manifest.counts == {"rule_labels": 3, "rules_stopped": 1}
    assert table.manifest.metadata["rules"]["rules"] == 2
    assert table.manifest.metadata["rules"]["confidence"] == "one"
    assert table.rules is not None
    assert table.rules.to_frame()[["source", "target", "p"]].values.tolist() == [
        ["rose", "water", 0.9],
        ["pet", "plant", 1.0],
    ]
    assert verify_parts(tmp_path / "t") == []
    (tmp_path / "t" / "rules.csv").write_text("source,target\n")
    assert "rules.csv: the content was changed" in verify_parts(tmp_path / "t")[0]


def test_explain_names_the_rule(zoo: Hierarchy, tmp_path: Path, rules_csv: Path) -> None:
    table = annotated(zoo, tmp_path / "t", rules_csv)
    rows = {row.category.key: row for row in explain(table, "a").rows}
    assert rows["water"].because == "the rule Rose (rose) -> Water (water), p 0.90"
    assert [each.key for each in rows["water"].brought_by] == ["rose"]
    assert rows["stuff"].because == "above what the rule Rose (rose) -> Water (water), p 0.90 adds"
    rows = {row.category.key: row for row in explain(table, "b").rows}
    assert rows["plant"].because == "the rule Pet (pet) -> Plant (plant), p 1.00"
    smaller = subset(table, tmp_path / "s", images=["a"])
    assert smaller.rules is not None
    assert smaller.rules.text == table.rules.text


def test_a_job_is_not_gone_on_with_under_other_rules(zoo: Hierarchy, tmp_path: Path, rules_csv: Path) -> None:
    annotated(zoo, tmp_path / "t", rules_csv)
    rules_csv.write_text("source,target,p\nrose,water,0.8\n")
    with pytest.raises(JobError, match="begun with rules "):
        annotated(zoo, tmp_path / "t", rules_csv, resume=True)
    with pytest.raises(MlimagesError, match="rule_confidence='half': expected one or p"):
        annotated(zoo, tmp_path / "u", rules_csv, rule_confidence="half")


# The file ----------------------------------------------------------------------------------------------------------


def test_rules_come_back_as_they_were_written(zoo: Hierarchy, tmp_path: Path) -> None:
    write_rules(frame(zoo, [(ROSE, WATER, 0.75), (CAT, PLANT, 0.5625)]), tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "source,target,p\nrose,water,0.75\ncat,plant,0.5625\n"
    found = read_rules(tmp_path / "r.csv", zoo)
    assert found[["source", "target", "p", "source_index", "target_name"]].values.tolist() == [
        ["rose", "water", 0.75, ROSE, "Water"],
        ["cat", "plant", 0.5625, CAT, "Plant"],
    ]
    write_rules(found, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text().splitlines()[1] == "rose,water,0.75,,,,,Rose,Water"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target,p\nrose,1\n", r"r.csv:1: found the columns target, p, expected source and target"),
        ("", r"r.csv:1: found the columns \(none\)"),
        ("source,target\nrose,water\nrose,rain\n", r"r.csv:3: found the target 'rain', expected a key"),
        ("source,target\nrose,water\n\nrose,water\n", r"r.csv:4: found rose -> water again \(first in line 2\)"),
        ("source,target\nrose,rose\n", r"r.csv:2: found rose -> rose, expected two different categories"),
        ("source,target,p\nrose,water,1.5\n", r"r.csv:2: found p '1.5', expected a number above 0, up to 1"),
        ("source,target,p\nrose,water,much\n", r"r.csv:2: found p 'much', expected a number above 0"),
        ("source,target,p,lift\nrose,water,1,-2\n", r"r.csv:2: found lift '-2', expected a number of at least 0"),
        ("source,target,p\nrose,water\n", r"r.csv:2: found 2 cells, expected 3; a cell with a comma needs quotes"),
        ('source,target\n"rose,water\n', r"r.csv:2: not CSV"),
        ("source,target\nrose,w\xe4ter\n", r"r.csv:2: not UTF-8"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line(zoo: Hierarchy, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=message):
        read_rules(tmp_path / "r.csv", zoo)


def test_rules_that_are_none_are_named(zoo: Hierarchy) -> None:
    with pytest.raises(MlimagesError, match="rules: found a int, expected a path or a DataFrame"):
        Rules.of(3, zoo)
    with pytest.raises(MlimagesError, match=r"\(rules\):2: found the source 'x', expected a key"):
        Rules.of(pd.DataFrame({"source": ["x"], "target": ["rose"]}), zoo)
