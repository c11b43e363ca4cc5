"""Threads or processes that check and resize images; a crash of a process does not end the run."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType

from mlimages.errors import import_extra
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.reason import Reason
from mlimages.images.downloading.verify import Verdict, is_small, keep_image, pillow_settings
from mlimages.job.local import begin_process


class Decoder:
    """Runs :func:`mlimages.images.downloading.verify.keep_image` beside the event loop. A context manager.

    Images are written to the folder `partial` first; `options.processes` chooses threads or processes.
    """

    def __init__(self, options: DownloadOptions, *, partial: Path) -> None:
        import_extra("PIL", extra="images")
        cores = os.cpu_count() or 1
        processes = options.processes
        if processes is None:
            processes = cores if options.resize is not None else 0
        self._processes = processes
        self._keep = functools.partial(keep_image, partial=partial, options=options)
        self._pool: Executor = _processes(processes) if processes else ThreadPoolExecutor(cores, "decode")
        self._settings = pillow_settings()
        self._one_by_one = asyncio.Lock()

    def __enter__(self) -> Decoder:
        if not self._processes:
            self._settings.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        if not self._processes:
            self._settings.__exit__(kind, error, trace)

    async def keep(self, body: bytes | Path, stem: str, folder: Path) -> Verdict:
        """Check, resize and store one body as `stem` below `folder`."""
        keep = functools.partial(self._keep, body, stem, folder=folder)
        if not self._processes and isinstance(body, bytes) and is_small(body):
            return keep()  # faster here than in a thread, which would take the GIL from the event loop
        loop = asyncio.get_running_loop()
        pool = self._pool
        try:
            return await loop.run_in_executor(pool, keep)
        except BrokenProcessPool:
            size = len(body) if isinstance(body, bytes) else body.stat().st_size
            return await self._keep_alone(keep, size, pool)

    async def _keep_alone(self, keep: Callable[[], Verdict], size: int, broken: Executor) -> Verdict:
        """Try again in a process of its own: a broken pool does not tell which image broke it."""
        loop = asyncio.get_running_loop()
        async with self._one_by_one:
            if self._pool is broken:
                self._pool = _processes(self._processes)
            with _processes(1) as alone:
                try:
                    return await loop.run_in_executor(alone, keep)
                except BrokenProcessPool:
                    return Verdict(Reason.DECODER_CRASHED, size)


def _processes(count: int) -> ProcessPoolExecutor:
    # spawn, since forking a process that has threads may deadlock
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    begin_process()
    pillow_settings().__enter__()
