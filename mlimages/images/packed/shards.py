"""Shards: which rows go into each, and the job that makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlimages.errors import MlimagesError
from mlimages.job.task import Made, StopSignal
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import Part, part_path


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Rows ``[start, stop)`` of the source, of which `rows` have an image; these have `size` bytes in all."""

    index: int
    start: int
    stop: int
    rows: int
    size: int


def parquet_name(index: int) -> str:
    """Name of a shard in Parquet."""
    return part_path(Path(), index).name


def parquet_rows(path: Path) -> int:
    """Rows of a shard in Parquet, from its footer."""
    return int(pq.read_metadata(path).num_rows)


def nothing_counted(_: int) -> dict[str, int]:
    """No counts."""
    return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardMaker:
    """Makes each shard with a function; a :class:`~mlimages.job.task.Maker`.

    Parameters
    ----------
    folder : pathlib.Path
        Where the shards are.
    make : callable
        Writes the shard of a task under a temporary name, then renames it; called with the task and the stop signal.
        Picklable, as the others.
    name : callable
        Name of the shard with an index.
    rows : callable
        How many rows a finished shard holds, read from itself.
    counts : callable
        What was counted of the shard with an index, where it is there already: rows that were left out.
    exact : bool
        Whether every row of a task is in its shard, or counted.
    """

    folder: Path
    make: Callable[[ShardTask, StopSignal], Made]
    name: Callable[[int], str] = parquet_name
    rows: Callable[[Path], int] = parquet_rows
    counts: Callable[[int], dict[str, int]] = nothing_counted
    exact: bool = True

    def worker(self, stop: StopSignal) -> Callable[[ShardTask], Made]:
        """What makes the shard of a task."""
        return partial(self._make, stop=stop)

    def _make(self, task: ShardTask, *, stop: StopSignal) -> Made:
        return self.make(task, stop)

    def finished(self, task: ShardTask) -> Made | None:
        """The shard of an earlier run, if it is there and whole."""
        path = self.folder / self.name(task.index)
        try:
            rows = self.rows(path)
        except (OSError, pa.ArrowInvalid, MlimagesError):
            return None
        counts = self.counts(task.index)
        if self.exact and rows + sum(counts.values()) != task.rows:
            return None
        return Made(Part(path.name, rows, path.stat().st_size, file_hash(path)), counts, task.size)


def plan(sizes: NDArray[np.int64], *, shard_mib: int) -> list[ShardTask]:
    """Cut rows into shards of equal bytes.

    Parameters
    ----------
    sizes : int64 array, shape (n,)
        Bytes of the image of every row; -1 where there is none.
    shard_mib : int
        The most that a shard shall hold, but for the one image that crosses the bound.

    Examples
    --------
    >>> [(task.start, task.stop) for task in plan(np.full(5, 1 << 20), shard_mib=2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    if shard_mib < 1:
        raise MlimagesError(f"shard_mib={shard_mib}: expected at least 1")
    end = np.cumsum(np.maximum(sizes, 0))
    total = int(end[-1]) if len(end) else 0
    count = max(1, -(-total // (shard_mib << 20)))
    targets = total * np.arange(1, count) // count
    inner = np.searchsorted(end, targets, side="left") + 1  # the image that crosses the bound is the shard's last
    bounds = np.unique([0, *np.minimum(inner, len(sizes)), len(sizes)]).tolist()
    bounds = bounds if len(bounds) > 1 else [0, 0]
    there = np.concatenate([[0], np.cumsum(sizes >= 0)])
    bytes_before = np.concatenate([[0], end])
    return [
        ShardTask(index, a, b, int(there[b] - there[a]), int(bytes_before[b] - bytes_before[a]))
        for index, (a, b) in enumerate(pairwise(bounds))
    ]
