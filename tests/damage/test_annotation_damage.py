"""A damaged table gives the right result where the damage is not read, else one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.damage.damages import DAMAGES, Damage
from tests.damage.matrix import Matrix, fault, tell
from tests.damage.rewrites import REWRITES
from tests.damage.specimen import IMAGE, PART

#: Those of the damaged part.
IMAGES = [f"{row:02d}.png" for row in range(9, 17)]
#: What reads one column of lists.
ALONE = {"batches of labels", "batches of confidences", "batches of origins", "to_table labels"}


@pytest.fixture
def annotations(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("annotations")


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_told_or_not_read(annotations: Matrix, case: str) -> None:
    damage, baseline = DAMAGES[case], annotations.baseline
    outcomes = annotations.outcomes(case)
    faults = {}
    for name, outcome in outcomes.items():
        what = _fault(name, outcome, baseline[name], damage)
        if what is not None:
            faults[name] = what
    tell(faults)
    if not damage.harmless:
        assert any(each["kind"] in ("error", "status") for each in outcomes.values()), "nobody noticed"
    if damage.row:
        _check_one_bad_value(outcomes)
        if case.startswith(("label", "conf")) and "null" not in case:
            _check_audit(outcomes["audit labels"], "unknown category" if case.startswith("label") else "bad confidence")


def _check_one_bad_value(outcomes: dict[str, dict[str, Any]]) -> None:
    """It is told with its image, and what to do."""
    for name in ("to_table", "batches", "take", "mlimages export csv", "mlimages split", "mlimages merge"):
        message = outcomes[name].get("err", "no error")
        assert PART in message, name
        assert IMAGE in message, name
        assert "mlimages verify" in message, name


def _check_audit(outcome: dict[str, Any], problem: str) -> None:
    """An audit lists the bad value."""
    assert outcome["kind"] == "result", outcome
    found = json.loads(outcome["value"])
    assert found["summary"][problem] == {"rows": 1, "labels": 1}
    assert [each["image"] for each in found["examples"] if each["problem"] == problem] == [IMAGE]


def _fault(name: str, outcome: dict[str, Any], baseline: dict[str, Any], damage: Damage) -> str | None:
    if damage.between and name in ALONE and outcome["kind"] == "result":
        return None  # what is read is checked, and a column alone is good
    told = fault(outcome, baseline, damage.named)
    if "verify" in name and outcome["kind"] == "result":
        return _verify_fault(name, outcome, baseline, damage)
    if "audit" in name and outcome["kind"] == "result" and outcome != baseline:
        return _audit_fault(outcome, baseline, damage)
    return told


def _verify_fault(name: str, outcome: dict[str, Any], baseline: dict[str, Any], damage: Damage) -> str | None:
    """Its problems are no error but what it prints; all of the content, and whatever is wrong with the parts."""
    problems = json.loads(outcome["value"])[0]["problems"]
    if any(file in problem for problem in problems for file in damage.named):
        return None
    must_tell = PART in damage.named or (name.endswith("--content") and not damage.harmless)
    return f"problems found: {problems}" if problems or must_tell else None


def _audit_fault(outcome: dict[str, Any], baseline: dict[str, Any], damage: Damage) -> str | None:
    """An audit lists bad rows by their images, and what has no rows that can be read by its file."""
    found, clean = json.loads(outcome["value"]), json.loads(baseline["value"])
    more = sum(each["rows"] for each in found["summary"].values()) - sum(
        each["rows"] for each in clean["summary"].values()
    )
    if more <= 0:
        return "another result, and no problem more"
    told = [f"{each['image']} {each['detail']}" for each in found["examples"]]
    return None if any(name in each for each in told for name in (*IMAGES, *damage.named)) else f"examples: {told}"


@pytest.mark.parametrize("case", REWRITES)
def test_table_written_otherwise_is_the_same(annotations: Matrix, case: str) -> None:
    baseline, outcomes = annotations.baseline, annotations.outcomes(case)
    faults = {
        name: fault(outcome, baseline[name], ()) or "an error"
        for name, outcome in outcomes.items()
        if outcome != baseline[name] and "verify" not in name  # which has other hashes to tell of
    }
    tell(faults)
