"""Tasks done by Ray: the engine for a cluster, with the same results as those of one machine.

The tasks are rows of a Ray dataset, and the work is done by actors within its ``map_batches``. Every node must see the
files that tasks read and write under the same paths, as on a shared file system; only descriptions of tasks and of what
was made travel.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from mlimages.errors import MlimagesError, import_extra
from mlimages.job.task import Work, never

T = TypeVar("T")
R = TypeVar("R")


def run_on_ray(work: Work[T, R], tasks: Iterable[T], workers: int, /, *, in_order: bool = False) -> Generator[R]:
    """Do tasks with Ray Data, `workers` at a time. An :class:`~mlimages.job.task.Engine`.

    A running Ray is used; otherwise one is started here, with as many CPUs as `workers`, and stopped at the end. Work
    with an attribute `gpus` gets that number of GPUs per worker. The results are in the order of the tasks if
    `in_order`; those that come too early wait in Ray's object store, which spills to disk.

    Raises
    ------
    MissingExtraError
        Where Ray is not installed.
    """
    ray = import_extra("ray", extra="ray")
    data = import_extra("ray.data", extra="ray")
    pickled = [pickle.dumps(task) for task in tasks]
    if not pickled:
        return
    with started(workers), _settings(data, in_order=in_order):
        blocks = [pa.table({"number": [i], "task": pa.array([task], pa.binary())}) for i, task in enumerate(pickled)]
        done = data.from_arrow(blocks).map_batches(
            _Worker,
            fn_constructor_args=(ray.put(work), Path.cwd()),
            batch_size=1,
            batch_format="pyarrow",
            concurrency=min(workers, len(blocks)),
            num_cpus=1,
            num_gpus=getattr(work, "gpus", 0),
        )
        with closing(iter(done.iter_rows())) as rows:  # ends what still runs before Ray itself is ended
            yield from until_first_error((pickle.loads(row["result"]) for row in rows), range(len(blocks)))


@contextmanager
def started(cpus: int) -> Iterator[int]:
    """Start Ray with `cpus` CPUs and stop it at the end, unless it runs already; yield its number of CPUs."""
    ray = import_extra("ray", extra="ray")
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if started_here:
            ray.shutdown()


class _Worker:
    """An actor: takes tasks, and returns their results or errors as values.

    An error that is raised would end the other tasks, of which an earlier one may hold the error to report, and reach
    the caller wrapped.
    """

    def __init__(self, kept: Any, folder: Path) -> None:
        os.chdir(folder)  # every node sees the same files: relative paths too mean the same
        ray = import_extra("ray", extra="ray")
        work: Work[Any, Any] = ray.get(kept)
        self._do = work.worker(never())

    def __call__(self, batch: pa.Table) -> pa.Table:
        results: list[bytes] = []
        for number, task in zip(batch.column("number").to_pylist(), batch.column("task").to_pylist(), strict=True):
            try:
                result = self._do(pickle.loads(task))
            except (MlimagesError, OSError) as error:
                result = error
            results.append(pickle.dumps((number, result)))
        return pa.table({"result": pa.array(results, pa.binary())})


@contextmanager
def _settings(data: Any, *, in_order: bool) -> Iterator[None]:
    """Ray Data without its progress bars and announcements: the job reports its own progress."""
    context = data.DataContext.get_current()
    options = context.execution_options
    before = (context.enable_progress_bars, context.print_on_execution_start, options.preserve_order)
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        context.enable_progress_bars = context.print_on_execution_start = False
        options.preserve_order = in_order
        logger.setLevel(logging.ERROR)
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start, options.preserve_order = before
        logger.setLevel(level)


def until_first_error(results: Iterable[tuple[int, Any]], numbers: Iterable[int]) -> Iterator[Any]:
    """Results as they come, each after its number; after an error, those of lower numbers, then the error.

    So the error that is raised is that of the lowest number, however fast the others came.

    Examples
    --------
    >>> for each in until_first_error([(2, ValueError("of 2")), (0, "a"), (1, ValueError("of 1"))], range(4)):
    ...     print(each)
    Traceback (most recent call last):
    ...
    ValueError: of 1
    """
    failed: dict[int, BaseException] = {}
    waiting = set(numbers)
    for number, result in results:
        waiting.remove(number)
        if isinstance(result, BaseException):
            failed[number] = result
        else:
            yield result
        if failed and not any(each < min(failed) for each in waiting):
            raise failed[min(failed)]
