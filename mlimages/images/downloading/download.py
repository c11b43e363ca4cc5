"""Downloading the images of lists of URLs, with their labels."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlimages.errors import DataNotFoundError, MlimagesError
from mlimages.images.downloading.engine import UnitTask, download_units
from mlimages.images.downloading.folder import DownloadFolder, describe
from mlimages.images.downloading.log import Tally, part_path, shard_of, write_image_list
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.urls import Unit, cut, read_urls

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy
    from mlimages.images.downloading.packing import Packing

Source = str | os.PathLike[str]
_REPORT_EVERY = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """Progress of a download.

    Parameters
    ----------
    urls : int
        URLs in the list.
    done, success, failed : int
        URLs that have an outcome, those of earlier runs included.
    reasons : dict of str to int
        Failures by reason, the most frequent first.
    bytes : int
        Bytes of the images kept.
    rate : float
        URLs per second in this run.
    seconds : float
        Duration of this run so far.
    stopped_by : str, optional
        Name of the signal that ended the run before the list was finished.
    """

    urls: int
    done: int
    success: int
    failed: int
    reasons: dict[str, int]
    bytes: int
    rate: float
    seconds: float
    stopped_by: str | None = None


Report = Callable[[DownloadProgress], None]


@dataclass(slots=True)
class _State:
    """Counts that the engines update, and the signal that the handler received."""

    urls: int
    tally: Tally = field(default_factory=Tally)
    fresh: Tally = field(default_factory=Tally)
    begin: float = field(default_factory=time.monotonic)
    stopped_by: str | None = None

    def progress(self) -> DownloadProgress:
        seconds = time.monotonic() - self.begin
        return DownloadProgress(
            urls=self.urls,
            done=self.tally.done,
            success=self.tally.success,
            failed=self.tally.failed,
            reasons=dict(sorted(self.tally.reasons.items(), key=lambda item: (-item[1], item[0]))),
            bytes=self.tally.bytes,
            rate=self.fresh.done / seconds if seconds > 0 else 0.0,
            seconds=seconds,
            stopped_by=self.stopped_by,
        )


def download(
    source: Source | Sequence[Source],
    out: Source,
    *,
    options: DownloadOptions | None = None,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    retry: Literal["none", "failed"] = "none",
    hierarchy: Hierarchy | None = None,
    progress: Report | None = None,
) -> DownloadProgress:
    """Download the images of a list, or resume a download.

    Each URL gets a row in the log, with the size and hash of its image or the reason why there is none. URLs in the log
    are not downloaded again, so that the same call resumes a download that was stopped or killed. Images, log (but for
    its column ``when``), image list and manifest are then the same as those of an uninterrupted run.

    Parameters
    ----------
    source : path-like or sequence of path-like
        Lists of URLs: published text, CSV or Parquet, see :func:`mlimages.images.downloading.urls.read_urls`.
    out : path-like
        The folder to write, see :mod:`mlimages.images.downloading.folder`.
    options : DownloadOptions, optional
        Limits, retries, time-outs, addresses, resizing.
    engine : {"local", "ray"}
        This process, or the workers of a Ray cluster, which all have access to `out`.
    workers : int, optional
        Concurrent Ray workers; all the cluster's processors if None.
    retry : {"none", "failed"}
        Whether URLs that failed in an earlier run are tried again.
    hierarchy : Hierarchy, optional
        The categories of the labels, for packed output; without it labels are indices.
    progress : callable, optional
        Called with a :class:`DownloadProgress` about twice a second.

    Returns
    -------
    DownloadProgress
        The final counts. In the main thread, SIGINT and SIGTERM end the run early in a state that can be resumed, and
        `stopped_by` names the signal.

    Raises
    ------
    FormatError
        Where a list is malformed; lists are read completely before the first request.
    MlimagesError
        Where `out` holds the download of another list, or is in use.
    OSError
        Where the disk is full, or files cannot be written or opened.
    """
    options = options or DownloadOptions()
    if engine not in ("local", "ray") or retry not in ("none", "failed"):
        raise MlimagesError(f"found engine {engine!r} and retry {retry!r}, expected local or ray, and none or failed")
    if workers is not None and workers < 1:
        raise MlimagesError(f"workers: found {workers}, expected 1 or more")
    paths = _paths(source)
    folder = DownloadFolder(Path(out))
    with folder.held():
        packing = _packing(folder, hierarchy) if options.output == "packed" else None
        urls, count = _measure(paths, options, packing)
        manifest = folder.claim(describe(paths), options, hierarchy)
        state = _State(urls)
        task = UnitTask(folder, options, retry, packing)
        if engine == "local":
            _run_local(_units(paths, options), task, state, progress or _silent)
        else:
            from mlimages.images.downloading.cluster import run_ray

            run = run_ray(_units(paths, options), task, workers=workers, tally=state.tally, fresh=state.fresh)
            next(run, None)  # Ray starts, which installs signal handlers
            with _signals(lambda name: setattr(state, "stopped_by", name)), closing(run):
                for _ in run:
                    (progress or _silent)(state.progress())
                    if state.stopped_by is not None:
                        break
        if state.stopped_by is None:
            if packing is not None:
                packing.finish([shard_of(part_path(folder.log, index)) for index in range(count)], paths)
            write_image_list(folder.log, count, folder.image_list)
            folder.complete(manifest, units=count, tally=state.tally)
    return state.progress()


def _packing(folder: DownloadFolder, hierarchy: Hierarchy | None) -> Packing:
    from mlimages.images.downloading.packing import Packing  # loads numba, which file output does not need

    return Packing(folder.packed, folder.spool, hierarchy)


def _paths(source: Source | Sequence[Source]) -> list[Path]:
    paths = [Path(one) for one in ([source] if isinstance(source, str | os.PathLike) else source)]
    if not paths:
        raise MlimagesError("found no list of URLs, expected one or more")
    for path in paths:
        if not path.is_file():
            raise DataNotFoundError(f"{path}: no such file, expected a list of URLs")
    return paths


def _units(paths: list[Path], options: DownloadOptions) -> Iterator[Unit]:
    return cut(
        read_urls(paths, list_format=options.list_format, url_column=options.url_column), unit_bytes=options.unit_bytes
    )


def _measure(paths: list[Path], options: DownloadOptions, packing: Packing | None) -> tuple[int, int]:
    """Count URLs and units, which finds an error near the end of a list before the first request."""
    urls = units = 0
    for unit in _units(paths, options):
        if packing is not None:
            packing.check(unit)
        urls += len(unit.urls)
        units += 1
    return urls, units


def _run_local(units: Iterator[Unit], task: UnitTask, state: _State, report: Report) -> None:
    try:
        asyncio.run(_watched(units, task, state, report))
    except BaseExceptionGroup as group:
        raise _first(group) from None


async def _watched(units: Iterator[Unit], task: UnitTask, state: _State, report: Report) -> None:
    """Download units; report at intervals, and stop at a signal."""
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(download_units(units, task, tally=state.tally, fresh=state.fresh))

    def stop(name: str) -> None:
        state.stopped_by = name
        loop.call_soon_threadsafe(work.cancel)

    with _signals(stop):
        while not (await asyncio.wait([work], timeout=_REPORT_EVERY))[0]:
            report(state.progress())
    if not work.cancelled():
        state.stopped_by = None  # the signal came after the last URL
        work.result()
    report(state.progress())


@contextmanager
def _signals(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop` at the first SIGINT or SIGTERM; the previous handlers get the second."""
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, _: object) -> None:
        restore()
        stop(signal.Signals(number).name)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    with suppress(ValueError):  # only the main thread may set signal handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group: a full disk fails many URLs at once, but is one error."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _silent(_: DownloadProgress) -> None:
    """Report nothing."""
