"""Tasks in processes and threads: order, errors, and a parent that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event

import pytest

from mlimages.errors import MlimagesError
from mlimages.job.local import checked_workers, in_order, run_in_processes, run_in_threads
from mlimages.job.task import Calls, Engine, Stopped, StopSignal, until_stopped


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


class _Numbers:
    """Work that squares numbers; fails for negative ones, is killed at 9, and waits at 0 until it is told to stop."""

    def worker(self, stop: StopSignal) -> Callable[[int], int]:
        return partial(self._do, stop)

    def _do(self, stop: StopSignal, number: int) -> int:
        if number == 0:
            while not stop.is_set():
                time.sleep(0.005)
            raise Stopped
        if number == -1:
            time.sleep(0.2)  # the later one fails first
        if number < 0:
            raise ValueError(f"found {number}")
        if number == 9:
            signal.raise_signal(signal.SIGKILL)
        return number * number


ENGINES = pytest.mark.parametrize("engine", [run_in_threads, run_in_processes])


@ENGINES
@pytest.mark.parametrize("workers", [1, 2])
def test_all_tasks_are_done_in_whatever_order(engine: Engine, workers: int) -> None:
    assert sorted(engine(_Numbers(), [3, 1, 2], workers)) == [1, 4, 9]
    assert list(engine(_Numbers(), [], workers)) == []


@ENGINES
def test_the_error_of_the_first_task_is_raised_though_a_later_one_fails_before(engine: Engine) -> None:
    with pytest.raises(ValueError, match="found -1"):
        list(engine(_Numbers(), [1, -1, -2, 3], 2))


def test_after_an_error_no_task_is_begun() -> None:
    begun = []

    def note(number: int) -> int:
        begun.append(number)
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        list(run_in_threads(Calls(note), iter([0, *range(1, 1000)]), 1))
    assert len(begun) < 5


@ENGINES
def test_what_is_under_way_is_told_to_stop_when_nobody_wants_the_results(engine: Engine) -> None:
    results = engine(_Numbers(), [1, 0], 2)
    assert next(results) == 1
    results.close()  # or the second task waits for ever


def test_items_come_until_told_to_stop() -> None:
    stop = Event()
    items = until_stopped([1, 2], stop)
    assert next(items) == 1
    stop.set()
    with pytest.raises(Stopped):
        next(items)


def test_a_killed_worker_of_a_job_is_told() -> None:
    with pytest.raises(MlimagesError, match="a worker was killed, most likely for want of memory: use fewer workers"):
        list(run_in_processes(_Numbers(), [1, 9, 2], 2))


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused(workers: int) -> None:
    with pytest.raises(MlimagesError, match=f"workers={workers}: expected at least 1"):
        checked_workers(workers)
    assert checked_workers(3) == 3
    assert checked_workers(None) >= 1
