"""Tasks in worker processes or threads, their results in the order of the tasks."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mlimages.errors import MlimagesError

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # tasks handed out for each worker, so that none waits for us


def in_order(
    function: Callable[[T], R], tasks: Iterable[T], *, workers: int | None = None, threads: bool = False
) -> Iterator[R]:
    """Apply a function to tasks and yield the results in the order of the tasks.

    Parameters
    ----------
    function : callable
        Picklable where there are workers: a function of a module, a ``functools.partial`` or a method of one.
    tasks : iterable
        Drawn as workers get free, so they may be endless.
    workers : int, optional
        How many processes; with 1 the work is done here. As many as the machine has cores by default.
    threads : bool
        Threads instead of processes, for work that leaves the interpreter lock alone: they start at once.

    Raises
    ------
    MlimagesError
        Where `workers` is less than 1, or a worker was killed; and what the function raises, at its task.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise MlimagesError(f"found {workers} workers, expected 1 or more")
    if workers == 1:
        yield from map(function, tasks)
        return
    pool = ThreadPoolExecutor(workers) if threads else _processes(workers)
    waiting: deque[Future[R]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise MlimagesError(
            "a worker was killed, most likely for want of memory: use fewer workers; what is finished is kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _processes(workers: int) -> ProcessPoolExecutor:
    # spawn, since the libraries that are loaded here have threads, which do not survive a fork
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    """Set up a worker: Ctrl-C is the parent's to handle, and a parent that was killed leaves no worker behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
