"""Every case against every operation, in a process of its own, and the verdict on what became of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: What commands print besides an error: where kernels are not in the cache yet.
CHATTER = ("compiling kernels", "compiled the kernels")


class Worker:
    """A process of :mod:`tests.damage.worker`, started anew where one ends.

    Parameters
    ----------
    specimens : pathlib.Path
        The undamaged files.
    """

    def __init__(self, specimens: Path) -> None:
        self._specimens = specimens
        self._work = tempfile.TemporaryDirectory(prefix="mlimages-damage-")
        self._errors = Path(self._work.name) / "stderr"
        self._process: subprocess.Popen[str] | None = None

    def ask(self, suite: str, case: str, operation: str | tuple[int, int]) -> dict[str, Any]:
        """What becomes of an operation on a case of a suite."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([suite, case, operation]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self._stop()
        last = self._errors.read_text(errors="replace").strip().splitlines()[-12:]
        return {"kind": "signal" if status < 0 else "hang", "err": f"status {status}: {' | '.join(last)}"}

    def _start(self) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        with self._errors.open("w") as errors:
            return subprocess.Popen(
                [
                    *(sys.executable, "-X", "faulthandler", "-m", "tests.damage.worker"),
                    *(str(self._specimens), str(Path(self._work.name) / "work")),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env=environment,
            )

    def _stop(self) -> int:
        """End the process; return its status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        status = process.wait()
        process.stdout.close()
        return status

    def close(self) -> None:
        """End the process for good."""
        self._stop()
        self._work.cleanup()


class Matrix:
    """The outcomes of a suite: a module with SUBJECT (what of the specimens is changed), CASES, OPERATIONS,
    and FEW where some cases are minor.

    Parameters
    ----------
    suite : str
        Its name in ``tests.damage``.
    worker : Worker
        Does the operations.
    """

    def __init__(self, suite: str, worker: Worker) -> None:
        self.suite = import_module(f"tests.damage.{suite}")
        self._name, self._worker = suite, worker
        self._baseline: dict[str, dict[str, Any]] = {}

    @property
    def baseline(self) -> dict[str, dict[str, Any]]:
        """What became of every operation on the undamaged file."""
        if not self._baseline:
            self._baseline = {name: self._worker.ask(self._name, "", name) for name in self.suite.OPERATIONS}
        return self._baseline

    def outcomes(self, case: str) -> dict[str, dict[str, Any]]:
        """What became of every operation on a case."""
        few = self.suite.CASES[case].minor and hasattr(self.suite, "FEW")
        names = self.suite.FEW if few else self.suite.OPERATIONS
        return {name: self._worker.ask(self._name, case, name) for name in names}


def fault(outcome: dict[str, Any], baseline: dict[str, Any], named: Iterable[str]) -> str | None:
    """What is wrong with an outcome that should be that of the undamaged file, or a typed error; None if nothing."""
    kind = outcome["kind"]
    if kind == "result":
        if outcome == baseline:
            return None
        return f"another result: {_difference(outcome['value'], baseline.get('value'))}"
    if kind in ("traceback", "signal", "hang"):
        return f"{kind}: {outcome['err']}"
    message = outcome["err"]
    if kind == "status":
        lines = [line for line in message.splitlines() if not line.startswith(CHATTER)]
        if outcome["status"] != 1 or len(lines) != 1 or not lines[0].startswith("mlimages: error: "):
            return f"status {outcome['status']}, and on standard error: {message[:300]!r}"
        message = lines[0]
    elif not message.strip():
        return f"a {outcome['type']} that says nothing"
    elif "\n" in message:
        return f"a {outcome['type']} of several lines: {message!r}"
    if not any(name in message for name in named):
        return f"an error that names none of {', '.join(named)}: {message}"
    return None


def _difference(found: Any, expected: Any) -> str:
    a, b = json.dumps(found), json.dumps(expected)
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"...{a[max(0, at - 40) : at + 60]}... instead of ...{b[max(0, at - 40) : at + 60]}..."


def tell(faults: dict[str, str]) -> None:
    """Fail a test by the faults of its case, a line each."""
    if faults:
        pytest.fail("\n".join(f"{name}: {' '.join(what.split())}" for name, what in faults.items()), pytrace=False)
