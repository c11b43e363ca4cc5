"""Damaged tables of predictions, packed images, rules and counts give the right result or a typed error of one line."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest

from tests.damage.matrix import Matrix, fault, tell


def _check(suite: Matrix, case: str) -> None:
    baseline, outcomes = suite.baseline, suite.outcomes(case)
    assert {name: each for name, each in baseline.items() if each["kind"] != "result"} == {}
    damage = suite.suite.CASES[case]
    faults = {name: what for name, each in outcomes.items() if (what := fault(each, baseline[name], damage.named))}
    tell(faults)
    if not damage.harmless:
        assert any(each["kind"] in ("error", "status") for each in outcomes.values()), "nobody noticed"


def _cases(suite: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", import_module(f"tests.damage.{suite}").CASES)


@pytest.fixture
def predictions(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("predictions")


@pytest.fixture
def packed(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("packed")


@pytest.fixture
def rulesfiles(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("rulesfiles")


@pytest.fixture
def countsfiles(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("countsfiles")


@pytest.fixture
def npzfiles(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("npzfiles")


@_cases("predictions")
def test_damaged_predictions_are_told_or_not_read(predictions: Matrix, case: str) -> None:
    _check(predictions, case)


@_cases("packed")
def test_damaged_packed_images_are_told_or_not_read(packed: Matrix, case: str) -> None:
    _check(packed, case)


@_cases("rulesfiles")
def test_damaged_rules_are_told(rulesfiles: Matrix, case: str) -> None:
    _check(rulesfiles, case)


@_cases("countsfiles")
def test_damaged_counts_are_told(countsfiles: Matrix, case: str) -> None:
    _check(countsfiles, case)


@_cases("npzfiles")
def test_damaged_counts_of_scipy_are_told(npzfiles: Matrix, case: str) -> None:
    _check(npzfiles, case)
