"""The Ray engine of a download: each worker runs the loop of the local engine over one unit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from mlimages.errors import import_extra
from mlimages.images.downloading.engine import UnitTask, download_units
from mlimages.images.downloading.log import Tally
from mlimages.images.downloading.urls import Unit

_POLL = 1.0  # seconds


def run_ray(
    units: Iterator[Unit], task: UnitTask, *, workers: int | None, tally: Tally, fresh: Tally
) -> Generator[None]:
    """Download units on Ray, as many at once as there are workers.

    The limits on requests are divided among the workers, so that they hold for all together. Closing the iterator
    stops the workers; finished rows are in their journals.

    Parameters
    ----------
    units : iterator of Unit
        Submitted in order.
    task : UnitTask
        Applied to each; its folder is on a file system that all workers share.
    workers : int, optional
        Units at once; all the cluster's processors if None.
    tally, fresh : Tally
        Updated as units finish.

    Yields
    ------
    None
        When Ray has started, then after each unit, and once a second.
    """
    ray = import_extra("ray", extra="ray")
    ours = not ray.is_initialized()
    if ours:
        ray.init(num_cpus=workers or os.cpu_count(), include_dashboard=False, log_to_driver=False)
    workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    shared = replace(task, options=task.options.shared_by(workers))
    work = ray.remote(num_cpus=1, max_retries=2)(_download_unit)
    running: list[Any] = []
    try:
        yield
        while True:
            while len(running) < workers and (unit := next(units, None)) is not None:
                running.append(work.remote(unit, shared))
            if not running:
                return
            done, running = ray.wait(running, timeout=_POLL)
            for all_of_it, new in ray.get(done):
                tally.update(all_of_it)
                fresh.update(new)
            yield
    finally:
        for one in running:
            ray.cancel(one, force=True)
        if ours:
            ray.shutdown()


def _download_unit(unit: Unit, task: UnitTask) -> tuple[Tally, Tally]:
    tally, fresh = Tally(), Tally()
    asyncio.run(download_units([unit], task, tally=tally, fresh=fresh))
    return tally, fresh
