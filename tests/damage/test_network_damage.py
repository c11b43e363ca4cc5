"""What needs torch gives the right result of a damaged or rewritten table, or a typed error of one line."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from tests.damage import networks
from tests.damage.damages import Damage
from tests.damage.matrix import Matrix, fault, tell

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="needs timm")


@pytest.fixture
def suite(matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of("networks")


@pytest.mark.parametrize("case", networks.CASES)
def test_network_gets_the_right_labels_or_an_error(suite: Matrix, case: str) -> None:
    baseline, outcomes = suite.baseline, suite.outcomes(case)
    assert {name: each for name, each in baseline.items() if each["kind"] != "result"} == {}
    damage = networks.CASES[case]
    named = damage.named if isinstance(damage, Damage) else ()
    faults = {name: what for name, each in outcomes.items() if (what := fault(each, baseline[name], named))}
    tell(faults)
