"""What the undamaged table gives, written down: what a rewritten one must give too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.damage.damages import DAMAGES
from tests.damage.matrix import ROOT, Matrix
from tests.damage.specimen import PART, Specimens, copy_of

LIST = """\
00.png	1:1	0:1	2:1	3:1	9:1
01.png	5:0.5	3:0.5	2:0.5	9:0.5	4:0
02.png	8:0.75	7:0.75	9:0.75
03.png	6:1	4:1	0:0.25	2:0.25	3:0.25	9:0.25
04.png	0:1	2:1	3:1	9:1	5:0
05.png	5:1	3:1	2:1	9:1	8:0.5	7:0.5
06.png	7:1	9:1
07.png	6:0.5	4:0.5
08.png	1:1	0:1	2:1	3:1	9:1
09.png	5:0.5	3:0.5	2:0.5	9:0.5	4:0
10.png	8:0.75	7:0.75	9:0.75
11.png	6:1	4:1	0:0.25	2:0.25	3:0.25	9:0.25
12.png	0:1	2:1	3:1	9:1	5:0
13.png	5:1	3:1	2:1	9:1	8:0.5	7:0.5
14.png	7:1	9:1
15.png	6:0.5	4:0.5
16.png	1:1	0:1	2:1	3:1	9:1
17.png	5:0.5	3:0.5	2:0.5	9:0.5	4:0
18.png	8:0.75	7:0.75	9:0.75
19.png	6:1	4:1	0:0.25	2:0.25	3:0.25	9:0.25
20.png	0:1	2:1	3:1	9:1	5:0
21.png	5:1	3:1	2:1	9:1	8:0.5	7:0.5
22.png	7:1	9:1
23.png	6:0.5	4:0.5
"""
ROW_13 = {
    "image": "13.png",
    "labels": [5, 3, 2, 9, 8, 7],
    "confidences": [1.0, 1.0, 1.0, 1.0, 0.5, 0.5],
    "origins": [0, 1, 1, 1, 0, 1],
}


@pytest.fixture(scope="module")
def values(matrix_of: Callable[[str], Matrix]) -> dict[str, Any]:
    """The results of the undamaged table, by operation."""
    return {name: each.get("value") for name, each in matrix_of("annotations").baseline.items()}


def test_every_operation_gives_a_result(matrix_of: Callable[[str], Matrix]) -> None:
    outcomes = matrix_of("annotations").baseline
    assert {name: each for name, each in outcomes.items() if each["kind"] != "result"} == {}


def test_lists_hold_what_is_written_down(values: dict[str, Any]) -> None:
    assert values["mlimages export list"] == LIST
    assert values["export"] == [24, LIST]
    assert values["mlimages export keys"].splitlines()[12] == "12.png\tdog:1\tanimal:1\tpet:1\tthing:1\tcat:0"
    assert values["mlimages export csv"].splitlines()[-1] == '"23.png","stuff","Stuff, a stuff",0.5,"ancestor"'


def test_rows_are_what_is_written_down(values: dict[str, Any]) -> None:
    assert values["to_table"][13] == ROW_13
    assert [each["image"] for each in values["to_table"]] == [f"{row:02d}.png" for row in range(24)]
    assert [each["image"] for each in values["take"]] == ["23.png", "13.png", "00.png", "13.png"]
    assert values["take"][1] == ROW_13
    assert values["multi_hot of one"] == [[0, 0, 1, 1, 0, 1, 0, 0.5, 0.5, 1]]
    assert values["multi_hot"][12] == [1, -1, 1, 1, -1, 0, -1, -1, -1, 1]
    assert values["find"] == [0, 13, 23]
    assert values["labels of"][2] == [["water", 0.5, "GIVEN"], ["stuff", 0.5, "ANCESTOR"]]


def test_figures_are_what_is_written_down(values: dict[str, Any]) -> None:
    stats = json.loads(values["mlimages stats"])
    assert (stats["images"], stats["labels"], stats["verified_absences"]) == (24, 96, 6)
    assert (stats["by_origin"]["given"], stats["by_origin"]["ancestor"]) == (36, 66)
    assert stats["labels_per_image"] == [0, 0, 6, 3, 6, 3, 6]
    assert values["category_counts"] == [9, 3, 15, 15, 6, 6, 6, 9, 6, 21]
    counts, images, total, unmatched = values["cooccurrence count"]
    assert counts[0] == [6, 0, 6, 0]
    assert (images, total, unmatched) == ([9, 3, 15, 15, 6, 6, 6, 9, 6, 21], 24, [0, 0])
    audit = json.loads(values["mlimages audit-labels"])
    assert (audit["rows"], audit["labels"], audit["examples"]) == (24, 102, [])


def test_tables_made_are_what_is_written_down(values: dict[str, Any]) -> None:
    subset = values["mlimages subset"]
    assert [row["image"] for part in subset["parts"] for row in part] == ["03.png", "13.png", "20.png"]
    assert subset["parts"][0][1] == ROW_13
    assert [each["rows"] for each in values["mlimages split"]] == [18, 6]
    merged = values["mlimages merge"]
    assert (merged["rows"], merged["counts"]) == (25, {"rows_joined": 1})
    assert values["merge duplicates"][:2] == [24, 22]
    assert values["mlimages pack"]["rows"] == 24
    assert values["mlimages tfrecord export"][13][2] == [0, 0, 1, 1, 0, 1, 0, 0.5, 0.5, 1]
    assert values["mlimages filter by category"]["counts"] == {"images_left_out": 15, "labels_left_out": 60}


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("label too large", ("merge", "TABLE", "SECOND", "--out", "OUT")),
        ("label negative", ("stats", "TABLE", "--no-pictures")),
        ("confidences shorter", ("stats", "TABLE", "--no-pictures")),
        ("part truncated", ("export", "TABLE", "--out", "OUT")),
        ("no column origins", ("split", "TABLE", "--out", "OUT")),
    ],
)
def test_command_in_a_process_of_its_own_ends_with_status_1_and_a_line(
    specimens: Specimens, tmp_path: Path, case: str, arguments: tuple[str, ...]
) -> None:
    table = copy_of(specimens.table, tmp_path / "table")
    DAMAGES[case].apply(specimens, table)
    given = {"TABLE": table, "OUT": tmp_path / "out", "SECOND": specimens.second}
    ended = subprocess.run(
        [sys.executable, "-m", "mlimages", *(str(given.get(each, each)) for each in arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("compil")]
    assert (ended.returncode, len(lines)) == (1, 1), ended.stderr
    assert lines[0].startswith("mlimages: error: ")
    assert PART in lines[0]
