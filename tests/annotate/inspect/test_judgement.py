from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError
from mlimages.annotate.cooccurrence.counts import Cooccurrence
from mlimages.annotate.inspect.judgement import evaluate_rules
from mlimages.errors import TableError
from tests.annotate.propagation.test_rules import frame
from tests.annotate.strategies import hierarchies, rows_of, rules_of, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)


def counts(judged: pd.DataFrame) -> list[tuple[float, int, int, int]]:
    return [tuple(row) for row in judged[["threshold", "right", "wrong", "unknown"]].values.tolist()]


def test_precision_and_recall_of_what_is_added_by_threshold(zoo: Hierarchy, tmp_path: Path) -> None:
    truth = {"a": [(CAT, 1), (ROSE, 1)], "b": [(CAT, 1), (WATER, 0)], "c": [(CAT, 1), (WATER, 1)], "d": [(ROSE, 1)]}
    true = table_of(truth, zoo, tmp_path / "true")
    base = table_of({image: [row[0]] for image, row in truth.items()}, zoo, tmp_path / "base")
    rules = frame(zoo, [(CAT, WATER, 0.75), (CAT, ROSE, 0.5625)])  # water brings stuff, a rose a plant
    judged = evaluate_rules(rules, true, annotations=base)
    # a: water, stuff wrong; rose, plant right. b: all wrong. c: water, stuff right. d: nothing to add
    assert counts(judged.at([0.5, 0.5625, 0.75])) == [(0.5, 4, 8, 0), (0.5625, 2, 4, 0), (0.75, 0, 0, 0)]
    table = judged.at([0.5, 0.6])
    assert judged.could == 4  # a: rose, plant; c: water, stuff
    assert table["precision"].tolist() == [4 / 12, 2 / 6]
    assert table["recall"].tolist() == [1.0, 0.5]
    assert table["f1"].tolist() == [0.5, 0.4]
    assert judged.best() == 0.0
    # not listed is not known: only the verified absence of water is wrong, which the truth alone has
    judged = evaluate_rules(rules, true, annotations=base, unlisted="unknown")
    assert counts(judged.at([0.5])) == [(0.5, 4, 1, 7)]


def test_rules_are_judged_by_what_stands_beside_their_source(zoo: Hierarchy, tmp_path: Path) -> None:
    true = table_of({"a": [(CAT, 1), (ROSE, 1)], "b": [(CAT, 1)]}, zoo, tmp_path / "true")
    judged = evaluate_rules(frame(zoo, [(CAT, ROSE, 0.75)]), true)
    # thing is above cat too, and no success of the rule
    assert counts(judged.at([0.5])) == [(0.5, 2, 2, 0)]
    assert judged.could == 2
    assert "2 images, 2 labels that rules could add" in repr(judged)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_judging_agrees_with_adding_the_rules_above_each_threshold(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies(most=8))
    rows = data.draw(st.lists(st.tuples(rows_of(hierarchy), rows_of(hierarchy)), min_size=1, max_size=4))
    rules = data.draw(rules_of(hierarchy))
    with TemporaryDirectory() as folder:
        base = table_of({str(i): a for i, (a, _) in enumerate(rows)}, hierarchy, Path(folder) / "a")
        true = table_of({str(i): b for i, (_, b) in enumerate(rows)}, hierarchy, Path(folder) / "b")
        judged = evaluate_rules(frame(hierarchy, rules), true, annotations=base, unlisted="unknown").at([0.5, 0.7, 0.9])
        before, after = base.to_table().to_pylist(), true.to_table().to_pylist()
    for at, threshold in enumerate([0.5, 0.7, 0.9]):
        expected = [0, 0, 0]
        for had, has in zip(before, after, strict=True):
            truth = dict(zip(has["labels"], has["confidences"], strict=True))
            present = [label for label, c in zip(had["labels"], had["confidences"], strict=True) if c > 0]
            fired = [j for i, j, p in rules if p > threshold and i in present]
            added = {label for j in fired for label in (j, *hierarchy.ancestors(j).tolist())} - set(had["labels"])
            for label in added:
                expected[2 if label not in truth else 0 if truth[label] > 0 else 1] += 1
        assert judged.loc[at, ["right", "wrong", "unknown"]].tolist() == expected


def test_all_rules_of_counts_are_judged(zoo: Hierarchy, tmp_path: Path) -> None:
    true = table_of({"a": [(CAT, 1), (WATER, 1)], "b": [(CAT, 1)]}, zoo, tmp_path / "true")
    predicted = pa.table({"image": ["a", "b"], "labels": [[WATER], [ROSE]], "scores": [[1.0], [1.0]]})
    counted = Cooccurrence.count(tmp_path / "true", predicted, sources=[CAT])
    judged = evaluate_rules(counted, true)
    assert judged.p.tolist() == [0.5]
    assert counts(judged.at([0.4, 0.5])) == [(0.4, 2, 6, 0), (0.5, 0, 0, 0)]  # a: the rose, b: all of it
    assert np.isnan(judged.at([0.5])["precision"][0])
    assert len(evaluate_rules(counted, true, min_images=3).p) == 0


def test_the_figure_is_written_in_the_format_of_its_name(zoo: Hierarchy, tmp_path: Path) -> None:
    true = table_of({"a": [(CAT, 1), (ROSE, 1)], "b": [(CAT, 1)]}, zoo, tmp_path / "true")
    judged = evaluate_rules(frame(zoo, [(CAT, ROSE, 0.75)]), true)
    judged.save_figure(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    left, right = judged.figure().axes
    assert [line.get_label() for line in left.lines[:3]] == ["precision", "recall", "f1"]
    assert left.lines[0].get_ydata()[[0, 74]].tolist() == [0.5, 0.5]
    assert np.isnan(left.lines[0].get_ydata()[75])
    assert right.get_xlabel() == "recall"
    with pytest.raises(MlimagesError, match=r"curve.doc: expected a name that ends in one of"):
        judged.save_figure(tmp_path / "curve.doc")


def test_tables_that_do_not_fit_are_named(zoo: Hierarchy, tmp_path: Path) -> None:
    one = table_of({"a": [(CAT, 1)], "b": [(CAT, 1)]}, zoo, tmp_path / "one")
    other = table_of({"b": [(CAT, 1)], "a": [(CAT, 1)]}, zoo, tmp_path / "other")
    fewer = table_of({"a": [(CAT, 1)]}, zoo, tmp_path / "fewer")
    rules = frame(zoo, [(CAT, ROSE, 0.75)])
    with pytest.raises(TableError, match=r"row 0 is 'b', in .*one it is 'a': expected the same images in the same"):
        evaluate_rules(rules, one, annotations=other)
    with pytest.raises(TableError, match=r"holds 1 images and .*one 2, expected the same"):
        evaluate_rules(rules, one, annotations=fewer)
    with pytest.raises(MlimagesError, match="unlisted='absent': expected wrong or unknown"):
        evaluate_rules(rules, one, unlisted="absent")  # type: ignore[arg-type]
