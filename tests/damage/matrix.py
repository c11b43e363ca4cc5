"""Every case against every operation, in processes of their own, and the verdict on what became of it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: What commands print besides an error: where kernels are not in the cache yet.
CHATTER = ("compiling kernels", "compiled the kernels")


class Worker:
    """A process of :mod:`tests.damage.worker`, started anew where one ends."""

    def __init__(self, suite: str, specimens: Path) -> None:
        self._suite, self._specimens = suite, specimens
        self._work = tempfile.TemporaryDirectory(prefix="mlimages-damage-")
        self._errors = Path(self._work.name) / "stderr"
        self._process: subprocess.Popen[str] | None = None

    def ask(self, case: str, operation: str) -> dict[str, Any]:
        """What becomes of an operation on a case."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([case, operation]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self.close()
        last = self._errors.read_text(errors="replace").strip().splitlines()[-12:]
        return {"kind": "signal" if status < 0 else "hang", "err": f"status {status}: {' | '.join(last)}"}

    def _start(self) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        with self._errors.open("w") as errors:
            return subprocess.Popen(
                [
                    *(sys.executable, "-X", "faulthandler", "-m", "tests.damage.worker"),
                    *(self._suite, str(self._specimens), str(Path(self._work.name) / "work")),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env=environment,
            )

    def end(self) -> None:
        """End the process for good."""
        self.close()
        self._work.cleanup()

    def close(self) -> int:
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


class Matrix:
    """The outcomes of a suite: a module with SUBJECT (what of the specimens is changed), CASES, OPERATIONS,
    and FEW where some cases are minor.

    Parameters
    ----------
    suite : str
        Its name in ``tests.damage``.
    specimens : pathlib.Path
        The undamaged files.
    expected : iterable of str
        The cases that will be asked for, which are begun at once.
    """

    def __init__(self, suite: str, specimens: Path, expected: Iterable[str] = ()) -> None:
        self.suite = import_module(f"tests.damage.{suite}")
        workers = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(4, len(os.sched_getaffinity(0)))
        self._workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all = [Worker(suite, specimens) for _ in range(workers)]
        for worker in self._all:
            self._workers.put(worker)
        self._pool = ThreadPoolExecutor(workers)
        self._outcomes: dict[str, Future[dict[str, dict[str, Any]]]] = {}
        for case in ["", *expected]:
            self._begin(case)

    def outcomes(self, case: str = "") -> dict[str, dict[str, Any]]:
        """What became of every operation; without a case, of the undamaged file."""
        return self._begin(case).result()

    def _begin(self, case: str) -> Future[dict[str, dict[str, Any]]]:
        if case not in self._outcomes:
            self._outcomes[case] = self._pool.submit(self._run, case)
        return self._outcomes[case]

    def _run(self, case: str) -> dict[str, dict[str, Any]]:
        worker = self._workers.get()
        try:
            minor = case and self.suite.CASES[case].minor and hasattr(self.suite, "FEW")
            return {name: worker.ask(case, name) for name in (self.suite.FEW if minor else self.suite.OPERATIONS)}
        finally:
            self._workers.put(worker)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.end()


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
