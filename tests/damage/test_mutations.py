"""Random changes of files: a result or a typed error of one line, and never a signal or a hang."""

from __future__ import annotations

import pytest

from tests.damage.matrix import Worker
from tests.damage.mutations import TARGETS

#: How many examples of each.
EXAMPLES = {"part": 1000, "manifest bytes": 400, "manifest values": 600}
FEWER = 500
BATCH = 250
assert sum(EXAMPLES.values()) == 2000


@pytest.mark.parametrize(
    ("target", "seed", "examples"),
    [
        (target, seed, min(BATCH, EXAMPLES.get(target, FEWER) - seed * BATCH))
        for target in TARGETS
        for seed in range(-(-EXAMPLES.get(target, FEWER) // BATCH))
    ],
)
def test_changed_bytes_give_a_result_or_a_typed_error(target: str, seed: int, examples: int, worker: Worker) -> None:
    told = worker.ask("mutations", target, (examples, seed))
    assert told["kind"] == "result", told["err"]
    assert told["tried"] >= examples * 0.9  # hypothesis leaves out what it tried already
    assert told["faults"] == {}, "\n".join(told["faults"])
