from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy, MlimagesError, audit_labels
from mlimages.annotate.inspect.audit import PROBLEMS
from mlimages.errors import TableError
from tests.annotate.reference import reach
from tests.annotate.strategies import CONFIDENCES, batch_of, hierarchies, table_of

DOG, PUPPY, ANIMAL, PET, STUFF, CAT, WATER, PLANT, ROSE, THING = range(10)
CLEAN = dict.fromkeys(PROBLEMS, (0, 0))


def counts(source: object, hierarchy: object = None) -> dict[str, tuple[int, int]]:
    summary = audit_labels(source, hierarchy).summary
    return {problem: (count["rows"], count["labels"]) for problem, count in summary.items()}


def brute_force(rows: list[list[tuple[int, float]]], hierarchy: Hierarchy) -> dict[str, tuple[int, int]]:
    """The problems of labels, counted by the definitions."""
    found: dict[str, list[int]] = {problem: [] for problem in list(PROBLEMS)[:6]}
    for row in rows:
        known = [(label, confidence) for label, confidence in row if 0 <= label < len(hierarchy)]
        best: dict[int, float] = {}
        for label, confidence in known:
            best[label] = max(best.get(label, 0.0), confidence)
        above = {label: reach(hierarchy, label, "all") for label, confidence in best.items() if confidence > 0}
        found["unknown category"].append(len(row) - len(known))
        found["bad confidence"].append(sum(not 0 <= confidence <= 1 for _, confidence in row))
        found["duplicated label"].append(len(known) - len(best))
        found["not closed"].append(sum(any(a not in best for a in ancestors) for ancestors in above.values()))
        found["absent ancestor"].append(sum(any(best.get(a) == 0 for a in each) for each in above.values()))
        less = {a for label, each in above.items() for a in each if a in best and 0 < best[a] < best[label]}
        found["not monotone"].append(len(less))
    return {problem: (sum(n > 0 for n in each), sum(each)) for problem, each in found.items()}


def test_a_propagated_table_is_clean(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of({"a": [(PUPPY, 0.5), (CAT, 1.0)], "b": [(WATER, 0.0)]}, zoo, tmp_path / "table")
    found = audit_labels(table)
    assert found.clean
    assert (found.rows, found.labels, len(found.table)) == (2, 7, 0)
    assert counts(str(tmp_path / "table"), zoo) == CLEAN


def test_every_problem_is_named_with_image_and_category(zoo: Hierarchy) -> None:
    batch = batch_of(
        [
            [(PUPPY, 1.0), (DOG, 1.0), (PET, 1.0), (ANIMAL, 1.0)],
            [(ROSE, 1.0), (PLANT, 0.0), (THING, 1.0)],
            [(ROSE, 0.9), (PLANT, 0.5), (THING, 0.9)],
            [(WATER, 1.0), (STUFF, 1.0), (WATER, 0.5), (10, 1.0), (-1, 1.0)],
        ]
    )
    assert audit_labels(batch, zoo).table.values.tolist() == [
        ["3.jpg", "unknown category", "10", "label 10, expected 0 to 9"],
        ["3.jpg", "unknown category", "-1", "label -1, expected 0 to 9"],
        ["3.jpg", "duplicated label", "water", "again, with confidence 0.5"],
        ["0.jpg", "not closed", "puppy", "lacks thing"],
        ["0.jpg", "not closed", "dog", "lacks thing"],
        ["0.jpg", "not closed", "pet", "lacks thing"],
        ["0.jpg", "not closed", "animal", "lacks thing"],
        ["1.jpg", "absent ancestor", "rose", "plant is verified absent"],
        ["2.jpg", "not monotone", "plant", "0.5 is less than that of rose"],
    ]


def test_confidences_that_are_none_are_counted(zoo: Hierarchy) -> None:
    batch = batch_of([[(STUFF, 1.5), (THING, float("nan"))]])
    assert counts(batch, zoo) == CLEAN | {"bad confidence": (1, 2)}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_counts_agree_with_the_definitions(data: st.DataObject) -> None:
    hierarchy = data.draw(hierarchies())
    label = st.integers(-1, len(hierarchy))
    rows = data.draw(st.lists(st.lists(st.tuples(label, CONFIDENCES | st.just(1.5)), max_size=8), max_size=5))
    found = counts(batch_of(rows), hierarchy)
    assert found == CLEAN | brute_force(rows, hierarchy)


def test_the_published_list_breaks_closure_where_a_brute_force_finds_it(official: Path, ml_images: Hierarchy) -> None:
    path = official / "train_im_list_tiny.txt"
    rows = []
    for line in path.read_text().splitlines():
        pairs = [token.split(":") for token in line.split("\t")[1:]]
        rows.append([(int(label), float(np.float32(confidence))) for label, confidence in pairs])
    expected = brute_force(rows, ml_images)
    assert expected["not closed"][0] == 65  # of the 100 rows
    found = audit_labels(path, ml_images)
    assert {p: (c["rows"], c["labels"]) for p, c in found.summary.items()} == CLEAN | expected
    broken = [
        f"{i}.jpg"
        for i, row in enumerate(rows)
        if any(a not in dict(row) for label, _ in row for a in reach(ml_images, label, "all"))
    ]
    names = [line.partition("\t")[0] for line in path.read_text().splitlines()]
    shown = found.table[found.table["problem"] == "not closed"]["image"].unique().tolist()
    assert shown == [names[int(each.removesuffix(".jpg"))] for each in broken]


def test_repeated_images_are_found_across_parts_and_files(zoo: Hierarchy, tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("a\tstuff\nb\tstuff\na\tthing\n")
    (tmp_path / "2.txt").write_text("c\tstuff\nb\tthing\na\tthing\n")
    found = audit_labels(str(tmp_path / "*.txt"), zoo)
    assert found.summary["duplicated image"] == {"rows": 3, "labels": 0}
    assert found.table.values.tolist() == [
        ["a", "duplicated image", "", "row 2 repeats row 0, counted from 0"],
        ["b", "duplicated image", "", "row 4 repeats row 1, counted from 0"],
        ["a", "duplicated image", "", "row 5 repeats row 0, counted from 0"],
    ]


def test_bad_lines_are_counted_and_unknown_labels_told_apart(zoo: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\tstuff\nno tab\nb\t99:1\nc\tunicorn\nd\tstuff:7\n")
    found = audit_labels(path, zoo)
    assert found.rows == 5
    assert found.summary["unknown category"] == {"rows": 2, "labels": 2}
    assert found.summary["unreadable row"] == {"rows": 2, "labels": 0}
    assert found.table["image"].tolist() == ["b", "c", "no tab", "d"]
    assert found.table["detail"][0].endswith("list.txt:3: found the label '99:1', expected an index from 0 to 9")


def test_a_cut_archive_is_an_unreadable_row(zoo: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "list.txt.gz"
    path.write_bytes(gzip.compress(b"".join(b"img%d\tstuff\n" % i for i in range(5000)))[:-200])
    assert audit_labels(path, zoo).summary["unreadable row"]["rows"] == 1


def test_examples_are_capped_and_all_are_counted(zoo: Hierarchy) -> None:
    found = audit_labels(batch_of([[(DOG, 1.0)]] * 50), zoo, examples=7)
    assert found.summary["not closed"] == {"rows": 50, "labels": 50}
    assert len(found.table) == 7


def test_frames_and_arrow_tables_are_audited_alike(zoo: Hierarchy) -> None:
    frame = pd.DataFrame({"image": ["a", "b"], "labels": [[DOG], [THING]]})
    expected = CLEAN | {"not closed": (1, 1)}
    assert counts(frame, zoo) == expected
    assert counts(pa.Table.from_pandas(frame), zoo) == expected


def test_the_report_prints_and_serialises(zoo: Hierarchy) -> None:
    found = audit_labels(batch_of([[(DOG, 1.0)]]), zoo)
    assert repr(found).splitlines()[0] == "1 rows with 1 labels: problems found"
    assert "<pre>1 rows" in found._repr_html_()
    assert found.to_dict()["examples"] == [
        {"image": "0.jpg", "problem": "not closed", "category": "dog", "detail": "lacks animal"}
    ]


def test_what_cannot_be_audited_is_refused(zoo: Hierarchy, tmp_path: Path) -> None:
    table = table_of({"a": [(DOG, 1.0)]}, zoo, tmp_path / "table")
    with pytest.raises(MlimagesError, match="needs a hierarchy: name it"):
        audit_labels(batch_of([]))
    with pytest.raises(TableError, match="made with the hierarchy"):
        audit_labels(table, Hierarchy(["dog"], [[]]))
    with pytest.raises(TableError, match=r"found no manifest\.json, expected an annotation table"):
        audit_labels(tmp_path, zoo)
    with pytest.raises(MlimagesError, match="examples=-1"):
        audit_labels(table, examples=-1)
