"""One event loop that downloads units of a list: what all engines of a download share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlimages.images.downloading.decoder import Decoder
from mlimages.images.downloading.fetch import Body, Fetcher
from mlimages.images.downloading.folder import DownloadFolder
from mlimages.images.downloading.log import Record, Tally, UnitLog, part_path, tally_of
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.reason import Failure
from mlimages.images.downloading.urls import Unit
from mlimages.images.downloading.verify import Verdict, stem_of

if TYPE_CHECKING:
    from mlimages.images.downloading.packing import Packing

_OPEN_UNITS = 4  # so that a slow URL holds up only its own unit
_LOOKUPS = 64  # concurrent DNS look-ups
_WINDOW = 8  # URLs started at once, as a multiple of `concurrency`: those for a slow host only wait


@dataclass(frozen=True, slots=True)
class UnitTask:
    """What is the same for all units.

    Parameters
    ----------
    folder : DownloadFolder
        Destination.
    options : DownloadOptions
        Options of the download.
    retry : {"none", "failed"}
        Whether failures of an earlier run are tried again.
    packing : Packing, optional
        Where images are packed; they stay files if None.
    """

    folder: DownloadFolder
    options: DownloadOptions
    retry: str
    packing: Packing | None = None

    def images(self, unit: int) -> Path:
        """Folder where the images of a unit are stored."""
        return self.folder.images if self.packing is None else self.packing.spool_of(unit)


async def download_units(units: Iterable[Unit], task: UnitTask, *, tally: Tally, fresh: Tally) -> None:
    """Download units until there are no more; a cancelled call can be resumed.

    Parameters
    ----------
    units : iterable of Unit
        Read lazily, at most a few ahead.
    task : UnitTask
        Applied to each.
    tally, fresh : Tally
        Updated as URLs are done: counts of all of them, and of those done by this call.
    """
    # DNS look-ups run there, each for seconds where a name server is slow; the default has few threads
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS, "resolve"))
    scratch = task.folder.scratch()
    places = asyncio.Semaphore(_OPEN_UNITS)
    with Decoder(task.options, partial=scratch) as decoder:
        async with Fetcher(task.options, folder=scratch) as fetcher, asyncio.TaskGroup() as group:
            run = _Run(task, fetcher, decoder, tally=tally, fresh=fresh)
            for unit in units:
                await places.acquire()
                group.create_task(run.unit(unit)).add_done_callback(lambda _: places.release())


class _Run:
    def __init__(self, task: UnitTask, fetcher: Fetcher, decoder: Decoder, *, tally: Tally, fresh: Tally) -> None:
        self._task = task
        self._fetcher = fetcher
        self._decoder = decoder
        self._tally = tally
        self._fresh = fresh
        self._window = asyncio.Semaphore(_WINDOW * task.options.concurrency)

    async def unit(self, unit: Unit) -> None:
        """Download the pending rows of one unit, and write its part."""
        folder, retry = self._task.folder.log, self._task.retry
        part = part_path(folder, unit.index)
        if retry == "none" and part.exists() and not part.with_suffix(".journal").exists():
            self._tally.update(tally_of(part))
            return
        log = await asyncio.to_thread(UnitLog, folder, unit, retry=retry)
        self._tally.update(log.known())
        try:
            async with asyncio.TaskGroup() as rows:
                for row in log.pending:
                    await self._window.acquire()
                    rows.create_task(self._row(log, row, unit))
            if log.pending or not log.finished:
                await asyncio.to_thread(self._finish, unit, log)
        finally:
            log.close()

    def _finish(self, unit: Unit, log: UnitLog) -> None:
        packing = self._task.packing
        if packing is None:
            log.finish()
            return
        log.finish(shard=packing.write(unit, log.records()))
        packing.clean(unit.index)

    async def _row(self, log: UnitLog, row: int, unit: Unit) -> None:
        try:
            record = await self._download(unit.urls[row], self._task.images(unit.index))
        finally:
            self._window.release()
        log.add(row, record)
        self._tally.add(record)
        self._fresh.add(record)

    async def _download(self, url: str, folder: Path) -> Record:
        stem = stem_of(url)

        async def keep(body: Body) -> Verdict:
            return await self._decoder.keep(body, stem, folder)

        http_code: int | None = 200
        try:
            verdict = await self._fetcher.fetch(url, keep)
        except Failure as failure:
            verdict, http_code = Verdict(failure.reason, None), failure.http_code
        return Record(
            status="success" if verdict.reason is None else "failed",
            reason=None if verdict.reason is None else str(verdict.reason),
            http_code=http_code,
            bytes=verdict.bytes,
            name=verdict.name,
            width=verdict.width,
            height=verdict.height,
            format=verdict.format,
            mode=verdict.mode,
            sha256=verdict.sha256,
            when=time.time_ns() // 1_000_000,
        )
