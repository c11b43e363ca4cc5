"""A job whose shards are made by workers: resumable, with the same bytes whatever their number."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import JobError, MlimagesError
from mlimages.job.folder import begin_job
from mlimages.job.job import Progress
from mlimages.job.workers import in_order
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import JOB, Input, Manifest, Part


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Rows ``[start, stop)`` of the source, of which `rows` have an image, of so many bytes in all."""

    index: int
    start: int
    stop: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A folder of shards to be made.

    Parameters
    ----------
    folder : pathlib.Path
        Where, new or empty.
    metadata, options : dict
        For the manifest; those of a resumed job must be the same.
    inputs : list of pathlib.Path
        The files that decide what the shards hold.
    """

    folder: Path
    metadata: dict[str, Any]
    options: dict[str, Any]
    inputs: list[Path]

    def run(
        self,
        make: Callable[[ShardTask], Part],
        tasks: Sequence[ShardTask],
        *,
        path_of: Callable[[int], str],
        rows_of: Callable[[Path], int],
        finish: Callable[[Manifest], Manifest],
        workers: int | None,
        resume: bool,
        progress: Callable[[Progress], None] | None,
        threads: bool = False,
    ) -> Manifest:
        """Make the shards that are not there yet, and the manifest.

        Parameters
        ----------
        make : callable
            Writes the shard of a task under a temporary name, then renames it. Picklable, as the next two.
        tasks : sequence of ShardTask
            What to make.
        path_of : callable
            Name of the shard with an index.
        rows_of : callable
            How many rows a finished shard holds, read from itself.
        finish : callable
            Writes what belongs beside the shards and the manifest, last.
        workers : int or None
            Processes, or threads where `threads` says so.
        resume : bool
            Go on where an interrupted job stopped.
        progress : callable or None
            Called after every shard.

        Raises
        ------
        JobError
            Where the folder is not empty, what is resumed was begun with something else, or the disk is full.
        """
        if not self.begin(resume=resume):
            return Manifest.read(self.folder)
        work = partial(_make_or_keep, make=make, folder=self.folder, path_of=path_of, rows_of=rows_of)
        parts: list[Part] = []
        total, read, rows = sum(task.bytes for task in tasks), 0, 0
        for task, part in zip(tasks, in_order(work, tasks, workers=workers, threads=threads), strict=True):
            parts.append(part)
            read, rows = read + task.bytes, rows + part.rows
            if progress is not None:
                progress(Progress(len(parts), len(tasks), read, total, rows))
        inputs = [Input.of(path, xxh3_128=file_hash(path)) for path in self.inputs]
        manifest = finish(replace(self._manifest(), inputs=inputs, parts=parts))
        (self.folder / JOB).unlink()
        return manifest

    def _manifest(self) -> Manifest:
        return Manifest(self.metadata, self.options, [Input.of(path) for path in self.inputs])

    def begin(self, *, resume: bool) -> bool:
        """Prepare the folder; return whether there is anything left to do.

        Raises
        ------
        JobError
            As :meth:`run`.
        """
        return begin_job(self.folder, self._manifest(), resume=resume)


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


def _make_or_keep(
    task: ShardTask,
    *,
    make: Callable[[ShardTask], Part],
    folder: Path,
    path_of: Callable[[int], str],
    rows_of: Callable[[Path], int],
) -> Part:
    """The part of a task: made, or kept from an earlier run, which renamed it only when it was whole."""
    path = folder / path_of(task.index)
    if path.is_file():
        return Part(path.name, rows_of(path), path.stat().st_size, file_hash(path))
    try:
        return make(task)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JobError(
                f"{path}: {os.strerror(error.errno).lower()}: free some, then run again with --resume; finished shards "
                "are kept"
            ) from error
        raise
