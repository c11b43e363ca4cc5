"""Downloading the images of lists of URLs, with their labels."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlimages.errors import DataNotFoundError, MlimagesError
from mlimages.images.downloading.engine import DownloadMaker, Live, download_units
from mlimages.images.downloading.folder import DownloadFolder
from mlimages.images.downloading.log import shard_of, write_image_list
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.urls import Unit, cut, read_urls
from mlimages.job.job import Job, Progress
from mlimages.job.task import Engine, Stopped
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import FORMAT_VERSION, part_path

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy
    from mlimages.images.downloading.packing import Packing

Source = str | os.PathLike[str]
CONTENT = "download"  # as the manifest names it
_SHAPING = ("unit_bytes", "url_column", "resize", "quality", "output")  # options that a folder keeps for good
_SHOW_EVERY = 0.5  # seconds


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
    """Counters that the engines increase, and the signal handler sets: a :class:`~mlimages.job.task.StopSignal`."""

    urls: int
    show: Report
    made: Counter[str] = field(default_factory=Counter)
    live: Live = field(default_factory=Live)
    begin: float = field(default_factory=time.monotonic)
    shown: float = 0.0
    stopped_by: str | None = None

    def stop(self, name: str) -> None:
        self.stopped_by = name

    def is_set(self) -> bool:
        return self.stopped_by is not None

    def note(self, job: Progress) -> None:
        """Take what the job has counted in whole parts."""
        self.made = Counter(job.counts)
        if time.monotonic() - self.shown >= _SHOW_EVERY:
            self.report()

    def report(self) -> None:
        self.shown = time.monotonic()
        self.show(self.progress())

    def progress(self) -> DownloadProgress:
        seconds = time.monotonic() - self.begin
        counts = self.made + self.live.counts
        success, failed, size = counts.pop("success", 0), counts.pop("failed", 0), counts.pop("image_bytes", 0)
        return DownloadProgress(
            urls=self.urls,
            done=success + failed,
            success=success,
            failed=failed,
            reasons=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
            bytes=size,
            rate=self.live.urls / seconds if seconds > 0 else 0.0,
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

    Each URL ends in the log, with its image's size and hash or the reason why there is none. What is in the log is
    not downloaded again, so that the same call after a stop, or a kill, goes on where it was; in the end images, log
    (but for its column ``when``), image list and manifest (but for the log's hashes) are as if it had not been stopped.

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
        Called about twice a second; on Ray after units.

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
        Where `out` holds something else or the download of another list, is in use, or the disk is full.
    OSError
        Where files cannot be written or opened.
    """
    options = options or DownloadOptions()
    if engine not in ("local", "ray") or retry not in ("none", "failed"):
        raise MlimagesError(f"found engine {engine!r} and retry {retry!r}, expected local or ray, and none or failed")
    if workers is not None and workers < 1:
        raise MlimagesError(f"workers: found {workers}, expected 1 or more")
    paths = _paths(source)
    place = DownloadFolder(Path(out))
    packing = _packing(place, hierarchy) if options.output == "packed" else None
    urls, units = _measure(paths, options, packing)
    state = _State(urls, progress or _silent)

    def finish(_: Path) -> None:
        if packing is not None:
            packing.finish([shard_of(part_path(place.log, index)) for index in range(units)], paths)
        write_image_list(place.log, units, place.image_list)

    job = Job(
        maker=DownloadMaker(place, options, retry, packing),
        metadata={"content": CONTENT, "format_version": FORMAT_VERSION},
        options={name: getattr(options, name) for name in _SHAPING}
        | {"hierarchy": None if hierarchy is None else hierarchy.fingerprint},
        inputs=paths,
        hashes=[file_hash(path) for path in paths],
        beside=finish,
        pattern=None,
        again="run the same command again",
    )
    if retry == "failed":
        job.reopen()
    run = _local(place, state) if engine == "local" else _ray(place, state, workers)
    try:
        manifest = job.run(_units(paths, options), engine=run, resume=True, progress=state.note)
    except Stopped:
        pass
    except KeyboardInterrupt:
        if state.stopped_by is None:
            raise
    else:
        state.made, state.live.counts, state.stopped_by = Counter(manifest.counts), Counter(), None
    state.report()
    return state.progress()


def _local(place: DownloadFolder, state: _State) -> Engine:
    """The engine of this process."""

    def run(maker: Any, units: Iterable[Any], _: int, /) -> Generator[Any]:
        with place.prepared(), _signals(state.stop):
            yield from download_units(units, maker, stop=state, live=state.live, report=state.report)

    return run


def _ray(place: DownloadFolder, state: _State, workers: int | None) -> Engine:
    """The engine of a cluster: the bounds on requests are shared out, and hold for all its workers together."""
    from mlimages.job.ray import run_on_ray, started

    def interrupt(name: str) -> None:
        state.stop(name)
        raise KeyboardInterrupt

    def run(maker: Any, units: Iterable[Any], here: int, /) -> Generator[Any]:
        with place.prepared(), started(workers or here) as cpus, _signals(interrupt):  # Ray sets handlers of its own
            shared = replace(maker, options=maker.options.shared_by(workers or cpus))
            for made in run_on_ray(shared, units, workers or cpus):
                state.live.urls += made.part.rows
                yield made

    return run


def _packing(place: DownloadFolder, hierarchy: Hierarchy | None) -> Packing:
    from mlimages.images.downloading.packing import Packing  # loads a compiler, which files do without

    return Packing(place.packed, place.spool, hierarchy)


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


def _silent(_: DownloadProgress) -> None:
    """Report nothing."""
