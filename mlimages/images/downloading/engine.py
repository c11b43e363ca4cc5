"""How units are downloaded: several through one event loop here, or one after another by each worker of a cluster."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlimages.images.downloading.decoder import Decoder
from mlimages.images.downloading.fetch import Body, Fetcher
from mlimages.images.downloading.folder import DownloadFolder
from mlimages.images.downloading.log import Record, UnitLog, count, counts_of
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.reason import Failure
from mlimages.images.downloading.urls import Unit
from mlimages.images.downloading.verify import Verdict, stem_of
from mlimages.job.task import Made, Stopped, StopSignal
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import Part, part_path

if TYPE_CHECKING:
    from mlimages.images.downloading.packing import Packing

_TICK = 0.5  # seconds between reports, and between looks at the stop signal
_OPEN_UNITS = 4  # a slow URL keeps its own unit open, and the next ones go on
_LOOKUPS = 64  # of names at once
_WINDOW = 8  # URLs taken up at once, as a multiple of the requests under way: those for a slow host just wait


@dataclass(slots=True)
class Live:
    """What has been done: `counts` over the URLs of the units that are not made yet, see
    :func:`mlimages.images.downloading.log.count`, and the `urls` that this run finished.
    """

    counts: Counter[str] = field(default_factory=Counter)
    urls: int = 0


@dataclass(frozen=True, slots=True)
class DownloadMaker:
    """Downloads the images of units and makes the log's parts; a :class:`~mlimages.job.task.Maker`.

    `retry` says whether failures of an earlier run are tried again ("failed") or not ("none"). Images stay files where
    there is no `packing`.
    """

    place: DownloadFolder
    options: DownloadOptions
    retry: str
    packing: Packing | None = None

    @property
    def folder(self) -> Path:
        """The folder of the download."""
        return self.place.root

    def images(self, unit: int) -> Path:
        """Where the images of a unit are stored."""
        return self.place.images if self.packing is None else self.packing.spool_of(unit)

    def worker(self, stop: StopSignal) -> Callable[[Unit], Made]:
        """What downloads one unit, in an event loop of its own."""
        return partial(self._make, stop=stop)

    def _make(self, unit: Unit, *, stop: StopSignal) -> Made:
        (made,) = download_units([unit], self, stop=stop, live=Live())
        return made

    def finished(self, unit: Unit) -> Made | None:
        """The part that an earlier run made of a unit, if it is whole and nothing of it is to be tried again."""
        counts = counts_of(part_path(self.place.log, unit.index), unit)
        if counts is None or (self.retry == "failed" and counts["failed"]):
            return None
        return self.made(unit, counts)

    def made(self, unit: Unit, counts: Counter[str]) -> Made:
        """Describe the part of a unit."""
        path = part_path(self.place.log, unit.index)
        file = path.relative_to(self.folder).as_posix()
        return Made(Part(file, len(unit.urls), path.stat().st_size, file_hash(path)), dict(counts))


def download_units(
    units: Iterable[Unit],
    maker: DownloadMaker,
    *,
    stop: StopSignal,
    live: Live,
    report: Callable[[], None] = lambda: None,
) -> Generator[Made]:
    """Download units in one event loop, several at once within bounds that they share, and yield their parts.

    Parameters
    ----------
    units : iterable of Unit
        Drawn as places become free.
    maker : DownloadMaker
        What to do with each.
    stop : StopSignal
        Looked at about twice a second; what was done until then is in the journals.
    live : Live
        Counted up as URLs are done.
    report : callable
        Called about twice a second.

    Raises
    ------
    Stopped
        Once `stop` is set.
    """
    made: deque[Made] = deque()
    stopping = False
    with asyncio.Runner() as runner:
        running = runner.get_loop().create_task(_download(units, maker, live, made))
        while not running.done():
            runner.run(asyncio.wait([running], timeout=_TICK))
            while made:
                one = made.popleft()
                live.counts.subtract(one.counts)
                yield one
            report()
            if stop.is_set() and not stopping:
                stopping = running.cancel()
        if running.cancelled():
            raise Stopped
        try:
            running.result()
        except BaseExceptionGroup as group:
            raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group: a full disk fails many URLs at once, and is one error."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _download(units: Iterable[Unit], maker: DownloadMaker, live: Live, made: deque[Made]) -> None:
    # look-ups of names run there, each for seconds where a name server is slow: the default is a handful of threads
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS, "resolve"))
    folder = maker.place.partial()
    places = asyncio.Semaphore(_OPEN_UNITS)
    with Decoder(maker.options, partial=folder) as decoder:
        async with Fetcher(maker.options, folder=folder) as fetcher, asyncio.TaskGroup() as group:
            run = _Run(maker, fetcher, decoder, live=live, made=made)
            await places.acquire()
            for unit in units:
                group.create_task(run.unit(unit)).add_done_callback(lambda _: places.release())
                await places.acquire()


class _Run:
    def __init__(
        self, maker: DownloadMaker, fetcher: Fetcher, decoder: Decoder, *, live: Live, made: deque[Made]
    ) -> None:
        self._maker = maker
        self._fetcher = fetcher
        self._decoder = decoder
        self._live = live
        self._made = made
        self._window = asyncio.Semaphore(_WINDOW * maker.options.concurrency)

    async def unit(self, unit: Unit) -> None:
        """Download what is to come of one unit, and make its part."""
        log = await asyncio.to_thread(UnitLog, self._maker.place.log, unit, retry=self._maker.retry)
        self._live.counts.update(log.counts())
        try:
            async with asyncio.TaskGroup() as rows:
                for row in log.pending:
                    await self._window.acquire()
                    rows.create_task(self._row(log, row, unit))
            self._made.append(await asyncio.to_thread(self._finish, unit, log))
        finally:
            log.close()

    def _finish(self, unit: Unit, log: UnitLog) -> Made:
        packing = self._maker.packing
        log.finish(shard=None if packing is None else packing.write(unit, log.records()))
        if packing is not None:
            packing.clean(unit.index)
        return self._maker.made(unit, log.counts())

    async def _row(self, log: UnitLog, row: int, unit: Unit) -> None:
        try:
            record = await self._download(unit.urls[row], self._maker.images(unit.index))
        finally:
            self._window.release()
        log.add(row, record)
        count(self._live.counts, record)
        self._live.urls += 1

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
