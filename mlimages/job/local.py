"""Tasks done on this machine, in threads or in processes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from mlimages.errors import MlimagesError
from mlimages.job.task import Stopped, StopSignal, Work

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # tasks handed out for each worker, so that none waits for us


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def checked_workers(workers: int | None) -> int:
    """Number of workers: as many as cores if `workers` is None; a MlimagesError for less than 1."""
    if workers is not None and workers < 1:
        raise MlimagesError(f"workers={workers}: expected at least 1")
    return cores() if workers is None else workers


def run_in_threads(work: Work[T, R], tasks: Iterable[T], workers: int, /) -> Generator[R]:
    """Do tasks in threads: for work that runs mostly without the interpreter lock.

    An :class:`~mlimages.job.task.Engine`.
    """
    stop = threading.Event()
    yield from _run(ThreadPoolExecutor(workers), work.worker(stop), tasks, workers, stop)


def run_in_processes(work: Work[T, R], tasks: Iterable[T], workers: int, /) -> Generator[R]:
    """Do tasks in processes: for work that holds the interpreter lock. An :class:`~mlimages.job.task.Engine`.

    Raises
    ------
    MlimagesError
        Also where a worker was killed.
    """
    if workers == 1:
        yield from run_in_threads(work, tasks, 1)
        return
    context = multiprocessing.get_context("spawn")  # the libraries that are loaded have threads, which no fork survives
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (pickle.dumps(work), stop))
    with _killed_workers_told():
        yield from _run(pool, _do, tasks, workers, stop)


def in_order(
    function: Callable[[T], R], tasks: Iterable[T], *, workers: int | None = None, threads: bool = False
) -> Iterator[R]:
    """Apply a function to tasks and yield the results in the order of the tasks.

    Parameters
    ----------
    function : callable
        Picklable where there are workers: a function of a module, a ``functools.partial`` or a method of one.
    tasks : iterable
        Drawn as workers become free, so they may be endless.
    workers : int, optional
        Number of processes; with 1 the work is done in this one. As many as the machine has cores by default.
    threads : bool
        Threads instead of processes, for work that mostly releases the interpreter lock; they start faster.

    Raises
    ------
    MlimagesError
        If `workers` is less than 1, or a worker was killed. Exceptions of the function are raised at its task.
    """
    workers = checked_workers(workers)
    if workers == 1:
        yield from map(function, tasks)
        return
    pool: Executor = (
        ThreadPoolExecutor(workers)
        if threads
        else ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin_process)
    )
    waiting: deque[Future[R]] = deque()
    try:
        with _killed_workers_told():
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _run(pool: Executor, function: Callable[[T], R], tasks: Iterable[T], workers: int, stop: Any) -> Iterator[R]:
    """Results as they come; after an error, what is under way is awaited, as an earlier task may fail too."""
    running: dict[Future[R], int] = {}
    failed: list[tuple[int, BaseException]] = []
    try:
        for number, task in enumerate(tasks):
            running[pool.submit(function, task)] = number
            while len(running) >= _AHEAD * workers and not failed:
                yield from _collect(running, failed)
            if failed:
                break
        while running:
            if failed:
                for future in [each for each in running if each.cancel()]:
                    del running[future]
            yield from _collect(running, failed)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    if failed:
        raise min(failed, key=lambda each: each[0])[1]


def _collect(running: dict[Future[R], int], failed: list[tuple[int, BaseException]]) -> Iterator[R]:
    """Wait for at least one of `running`; yield the results and record failures."""
    if not running:
        return
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        number = running.pop(future)
        error = future.exception()
        if error is None:
            yield future.result()
        elif not isinstance(error, Stopped):
            failed.append((number, error))


@contextmanager
def _killed_workers_told() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise MlimagesError(
            "a worker was killed, most likely for want of memory: use fewer workers; what is finished is kept"
        ) from None


# In the processes -----------------------------------------------------------------------------------------------------

_worker: Callable[[Any], Any] | None = None


def _begin_worker(pickled: bytes, stop: StopSignal) -> None:
    global _worker
    begin_process()
    work: Work[Any, Any] = pickle.loads(pickled)
    _worker = work.worker(stop)


def _do(task: Any) -> Any:
    assert _worker is not None
    return _worker(task)


def begin_process() -> None:
    """Set up a process: Ctrl-C is the parent's to handle, and workers exit when the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """Exit at once when the parent process has died."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
