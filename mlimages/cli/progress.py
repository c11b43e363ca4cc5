"""Progress of long jobs and downloads: a bar on a terminal, plain lines elsewhere, one line on Ctrl-C."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mlimages.images import DownloadProgress

_EVERY = 10.0  # seconds between two plain lines
_REASONS = 4  # named on the bar of a download; the summary names all


def tell_of_compiling() -> None:
    """Print a line on standard error before the first kernel is compiled.

    Compilation takes seconds, once per installation. Call this before the kernel modules are imported, since they are
    compiled on import.
    """
    from numba.core import event

    class Once(event.Listener):
        told = False

        def on_start(self, _: Any) -> None:
            if not self.told:
                self.told = True
                typer.echo("compiling kernels, once: later runs find them in a cache", err=True)

        def on_end(self, _: Any) -> None:
            pass

    event.register("numba:compile", Once())  # type: ignore[no-untyped-call]


@contextmanager
def job_progress(title: str, *, resumable: bool) -> Iterator[Callable[[Any], None]]:
    """Show the :class:`~mlimages.job.job.Progress` of a job on standard error, `title` at the head of the bar or line.

    `resumable` says whether ``--resume`` continues the job after Ctrl-C.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("mlimages")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with _bar(title) if sys.stderr.isatty() else _lines(title) as show:
            yield show
    except KeyboardInterrupt:
        typer.echo("interrupted" + (": run the same command with --resume to go on" if resumable else ""), err=True)
        raise typer.Exit(130) from None
    finally:
        logger.removeHandler(handler)


@contextmanager
def running(title: str, *, engine: str, workers: int | None, resume: bool) -> Iterator[dict[str, Any]]:
    """The arguments that pass the options to a function that runs a job, with its progress shown meanwhile."""
    with job_progress(title, resumable=True) as show:
        yield {"engine": str(engine), "workers": workers, "resume": resume, "progress": show}


@contextmanager
def _bar(title: str) -> Iterator[Callable[[Any], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,} images"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, rows=0)

        def show(at: Any) -> None:
            description = at.stage or title
            if description != bar.tasks[task].description:
                bar.reset(task, description=description, rows=0)
            done, total = (at.bytes, at.all_bytes) if at.all_bytes else (at.parts, at.all_parts or None)
            bar.update(task, completed=done, total=total, rows=at.rows)

        yield show


@contextmanager
def _lines(title: str) -> Iterator[Callable[[Any], None]]:
    last = time.monotonic()

    def show(at: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            share = f", {at.bytes / at.all_bytes:.0%}" if at.all_bytes else ""
            typer.echo(f"{title}: {at.stage or f'{at.rows:,} images, {at.parts} parts'}{share}", err=True)

    yield show


class DownloadReport:
    """Shows the progress of a download on standard error: a context manager, and the callable to report to.

    Where there is no terminal, a line is printed at regular intervals.
    """

    def __init__(self, *, every: float = _EVERY) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._every = every
        self._line_at = time.monotonic() + every

    def __enter__(self) -> DownloadReport:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:,.0f}/s"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[counts]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, rate=0.0, counts="reading the list")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, now: DownloadProgress) -> None:
        """Show the state `now`: at once on a terminal, elsewhere as a line from time to time."""
        if self._bar is not None:
            self._bar.update(
                self._task, total=now.urls, completed=now.done, rate=now.rate, counts=_counts(now, _REASONS)
            )
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + self._every
            typer.echo(f"{now.done:,} of {now.urls:,} URLs, {now.rate:,.0f}/s, {_counts(now, _REASONS)}", err=True)

    def summary(self, final: DownloadProgress) -> None:
        """Print the counts of a finished run and, where a signal stopped it, how to continue."""
        typer.echo(
            f"{final.done:,} of {final.urls:,} URLs in {final.seconds:,.1f} s: "
            f"{_counts(final)}, {final.bytes / 1e6:,.1f} MB"
        )
        if final.stopped_by is not None:
            typer.echo(f"stopped by {final.stopped_by}: what is done is kept; run the same command to go on", err=True)


def _counts(now: DownloadProgress, most: int | None = None) -> str:
    named = ", ".join(f"{reason} {count:,}" for reason, count in list(now.reasons.items())[:most])
    if most is not None and len(now.reasons) > most:
        named += ", ..."
    return f"{now.success:,} images, {now.failed:,} failed" + (f" ({named})" if named else "")
