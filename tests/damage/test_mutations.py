"""Random changes of files: a result or a typed error of one line, and never a signal or a hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damage.matrix import ROOT
from tests.damage.mutations import TARGETS
from tests.damage.specimen import Specimens

#: How many examples of each.
EXAMPLES = {"part": 1000, "manifest bytes": 400, "manifest values": 600}
FEWER = 100
assert sum(EXAMPLES.values()) == 2000


@pytest.mark.parametrize("target", TARGETS)
def test_changed_bytes_give_a_result_or_a_typed_error(target: str, specimens: Specimens, tmp_path: Path) -> None:
    count = EXAMPLES.get(target, FEWER)
    halves = [count // 2, count - count // 2] if count > FEWER else [count]
    running = []
    for seed, examples in enumerate(halves):  # two processes where there are many
        work = tmp_path / str(seed)
        work.mkdir()
        arguments = (target, str(examples), str(seed), str(specimens.folder), str(work))
        running.append(
            subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.damage.mutations", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )
        )
    ended = [each.communicate() for each in running]
    for each, (out, err), examples in zip(running, ended, halves, strict=True):
        assert each.returncode == 0, f"status {each.returncode}; the file is in {tmp_path}\n{err[-3000:]}"
        told = json.loads(out)
        assert told["tried"] >= examples * 0.9  # hypothesis leaves out what it tried already
        assert told["faults"] == {}, "\n".join(told["faults"])
