"""Parts made by Ray: the engine for a cluster, with the same parts as the local one.

The tasks are rows of a Ray dataset, and :meth:`~mlimages.annotate.parts.PartMaker.make` runs within its
``map_batches``. Every node must see the input files and the folder of the table under the same paths, as on a shared
file system; only descriptions of tasks and of finished parts travel.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash

if TYPE_CHECKING:
    from mlimages.annotate.parts import PartMaker
    from mlimages.annotate.propagation.augment import Augmenter

from mlimages.errors import MlimagesError, import_extra
from mlimages.job.job import Made, Task

#: What every worker reads once, beside the parts; it goes with the job.
_MAKER = "maker.pickle.tmp"


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
    waiting = list(tasks)
    if not waiting:
        return
    described = pa.table({"task": pa.array([pickle.dumps(task) for task in waiting], pa.binary())})
    begun_here = not ray.is_initialized()
    if begun_here:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    kept = maker.folder / _MAKER
    try:
        with quiet(data):
            pickled = pickle.dumps(replace(maker, stop=None))
            kept.write_bytes(pickled)
            options = {"path": os.fspath(kept), "digest": xxhash.xxh3_128_hexdigest(pickled)}
            yield from _run(data, options, described, [task.index for task in waiting], workers)
    finally:
        kept.unlink(missing_ok=True)
        if begun_here:
            ray.shutdown()


@contextmanager
def quiet(data: Any) -> Iterator[None]:
    """Without the progress bars and announcements of Ray Data; the job tells of its progress itself."""
    context = data.DataContext.get_current()
    before = (context.enable_progress_bars, context.print_on_execution_start)
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        context.enable_progress_bars = context.print_on_execution_start = False
        logger.setLevel(logging.ERROR)
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before
        logger.setLevel(level)


def _run(data: Any, options: dict[str, str], described: pa.Table, indices: list[int], workers: int) -> Iterator[Made]:
    """Made parts as they come; after an error, only earlier tasks are awaited, which may hold the error to raise."""
    parts = data.from_arrow([described.slice(i, 1) for i in range(described.num_rows)]).map_batches(
        _make_parts,
        fn_kwargs=options,
        batch_size=1,
        batch_format="pyarrow",
        concurrency=min(workers, described.num_rows),
        num_cpus=1,
    )
    with closing(iter(parts.iter_rows())) as rows:  # ends what still runs before Ray itself is ended
        yield from until_first_error((pickle.loads(row["made"]) for row in rows), indices)


def until_first_error(results: Iterable[tuple[int, Any]], indices: Iterable[int]) -> Iterator[Any]:
    """Results as they come, each after its number; after an error only those of lower numbers, and then it is raised.

    So the error that is told is that of the lowest number, however fast the others came.

    Examples
    --------
    >>> for each in until_first_error([(2, ValueError("of 2")), (0, "a"), (1, ValueError("of 1"))], range(4)):
    ...     print(each)
    Traceback (most recent call last):
    ...
    ValueError: of 1
    """
    failed: dict[int, BaseException] = {}
    waiting = set(indices)
    for index, result in results:
        waiting.remove(index)
        if isinstance(result, BaseException):
            failed[index] = result
        else:
            yield result
        if failed and not any(each < min(failed) for each in waiting):
            raise failed[min(failed)]


def _make_parts(batch: pa.Table, *, path: str, digest: str) -> pa.Table:
    """What a task of Ray does: tasks in, the parts made of them out, or errors, as values.

    An error that is raised would end the other tasks, of which an earlier one may hold the error to report, and reach
    the caller wrapped.
    """
    maker, augmenter = _load(path, digest)
    made: list[bytes] = []
    for pickled in batch.column("task").to_pylist():
        task: Task = pickle.loads(pickled)
        try:
            result: Made | BaseException = maker.make(task, augmenter)
        except (MlimagesError, OSError) as error:
            result = error
        made.append(pickle.dumps((task.index, result)))
    return pa.table({"made": pa.array(made, pa.binary())})


@lru_cache(maxsize=1)
def _load(path: str, digest: str) -> tuple[PartMaker, Augmenter]:  # noqa: ARG001  (tells a job from the next)
    """What a process of Ray needs for all parts of a job; the same processes may do many."""
    maker: PartMaker = pickle.loads(Path(path).read_bytes())
    return maker, maker.augmenter()
