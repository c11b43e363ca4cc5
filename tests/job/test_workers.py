"""Tasks in processes and threads: order, errors, and a parent that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mlimages.errors import MlimagesError
from mlimages.job.local import in_order


@pytest.mark.parametrize(("workers", "threads"), [(1, False), (2, False), (3, True)])
def test_results_come_in_the_order_of_the_tasks(workers: int, threads: bool) -> None:
    tasks = ["__import__('time').sleep(0.2) or 0", *(f"{number} * {number}" for number in range(1, 13)), "1 / 0"]
    results = in_order(eval, tasks, workers=workers, threads=threads)
    assert [next(results) for _ in range(13)] == [number * number for number in range(13)]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_tasks_are_drawn_as_workers_get_free() -> None:
    drawn = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            drawn.append(number)
            yield number
            number += 1

    results = in_order(abs, endless(), workers=2, threads=True)
    assert [next(results) for _ in range(10)] == list(range(10))
    results.close()
    assert len(drawn) < 16


def test_worker_that_is_killed_ends_the_job() -> None:
    with pytest.raises(MlimagesError, match="a worker was killed, most likely for want of memory: use fewer workers"):
        list(in_order(signal.raise_signal, [signal.SIGCONT, signal.SIGKILL], workers=2))


def test_parent_that_is_killed_leaves_no_worker() -> None:
    script = (
        "import os, time\n"
        "from mlimages.job.local import in_order\n"
        "print(*in_order(os.getenv, ['HOME'], workers=2), flush=True)\n"  # the workers of a job that ended are gone
        "for pid in in_order(eval, ['__import__(\"os\").getpid()', '__import__(\"time\").sleep(60)'], workers=2):\n"
        "    print(pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        worker = int(process.stdout.readline())
        process.kill()
    until = time.monotonic() + 20
    while _is_alive(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_alive(worker)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
