"""Tasks done on this machine, in threads or processes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlimages.annotate.parts import PartMaker

from mlimages.job.job import Made, Stopped, Task


def run_in_threads(maker: PartMaker, tasks: Iterable[Task], workers: int) -> Iterator[Made]:
    """The local engine: the kernels, the compression and the hashing all run without the interpreter lock."""
    stop = threading.Event()
    maker = replace(maker, stop=stop)
    augmenter = maker.augmenter()
    running: dict[Future[Made], int] = {}
    failed: list[tuple[int, BaseException]] = []
    pool = ThreadPoolExecutor(workers)
    try:
        for task in tasks:
            running[pool.submit(maker.make, task, augmenter)] = task.index
            while len(running) >= 2 * workers and not failed:
                yield from _collect(running, failed)
            if failed:
                break
        while running:
            if failed:  # what is under way may hold an error of an earlier task: that one is reported
                for future in [each for each in running if each.cancel()]:
                    del running[future]
            yield from _collect(running, failed)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    if failed:
        raise min(failed, key=lambda each: each[0])[1]


def _collect(running: dict[Future[Made], int], failed: list[tuple[int, BaseException]]) -> Iterator[Made]:
    """Wait for at least one of `running`; yield what was made, note what failed."""
    if not running:
        return
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        index = running.pop(future)
        error = future.exception()
        if error is None:
            yield future.result()
        elif not isinstance(error, Stopped):
            failed.append((index, error))
