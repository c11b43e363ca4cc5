"""Parts made by Ray: the engine for a cluster, with the same parts as the local one.

The tasks are rows of a Ray dataset, and :meth:`~mlimages.annotate.part.PartMaker.make` runs within its
``map_batches``. Every node must see the input files and the folder of the table under the same paths, as on a shared
file system; only descriptions of tasks and of finished parts travel.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from mlimages.annotate.augment import Augmenter
from mlimages.annotate.part import Made, PartMaker, Task
from mlimages.errors import MlimagesError, import_extra


def run_on_ray(maker: PartMaker, tasks: Iterable[Task], workers: int) -> Iterator[Made]:
    """Make parts with Ray Data, `workers` at a time; the engine ``ray``.

    A running Ray is used; else one is begun here, with as many CPUs as `workers`, and ended with the job.

    Raises
    ------
    MissingExtraError
        Where Ray is not installed.
    MlimagesError
        That of the first task, by number, that failed.
    """
    ray = import_extra("ray", extra="ray")
    data = import_extra("ray.data", extra="ray")
    described = pa.table({"task": pa.array([pickle.dumps(task) for task in tasks], pa.binary())})
    if not described.num_rows:
        return
    begun_here = not ray.is_initialized()
    if begun_here:
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    context = data.DataContext.get_current()
    before = (context.enable_progress_bars, context.print_on_execution_start)
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logger.setLevel(logging.ERROR)
        yield from _run(data, replace(maker, stop=None), described, workers)
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before
        logger.setLevel(level)
        if begun_here:
            ray.shutdown()


def _run(data: Any, maker: PartMaker, described: pa.Table, workers: int) -> Iterator[Made]:
    """Made parts as they come; after an error the rest is awaited for errors of earlier tasks, and thrown away."""
    parts = data.from_arrow([described.slice(i, 1) for i in range(described.num_rows)]).map_batches(
        _Maker,
        fn_constructor_args=(maker,),
        batch_size=1,
        batch_format="pyarrow",
        concurrency=workers,
        num_cpus=1,
    )
    failed: list[tuple[int, BaseException]] = []
    for row in parts.iter_rows():
        index, result = pickle.loads(row["made"])
        if isinstance(result, Made):
            yield result
        else:
            failed.append((index, result))
    if failed:
        raise min(failed, key=lambda each: each[0])[1]


class _Maker:
    """What an actor of Ray does: a task in, the part made of it out, or the error, as a value.

    An error that is raised would end the other tasks, of which an earlier one may hold the error to report, and reach
    the caller wrapped.
    """

    def __init__(self, maker: PartMaker) -> None:
        self._maker = maker
        self._augmenter = Augmenter(maker.hierarchy, maker.propagation)

    def __call__(self, batch: pa.Table) -> pa.Table:
        made = [self._make(pickle.loads(task)) for task in batch.column("task").to_pylist()]
        return pa.table({"made": pa.array([pickle.dumps(each) for each in made], pa.binary())})

    def _make(self, task: Task) -> tuple[int, Made | BaseException]:
        try:
            return task.index, self._maker.make(task, self._augmenter)
        except (MlimagesError, OSError) as error:
            return task.index, error
