"""How a download shows where it is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mlimages.images import DownloadProgress

_REASONS = 4  # named on the bar; the summary names all


class DownloadReport:
    """Shows the progress of a download on standard error. A context manager, and the callable to report to.

    Parameters
    ----------
    line_every : float
        Seconds between two lines where there is no terminal.
    """

    def __init__(self, *, line_every: float = 10.0) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._line_every = line_every
        self._line_at = time.monotonic() + line_every

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
        """Show `now`: at once on a terminal, and at intervals as a line elsewhere."""
        if self._bar is not None:
            self._bar.update(
                self._task, total=now.urls, completed=now.done, rate=now.rate, counts=_counts(now, _REASONS)
            )
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + self._line_every
            typer.echo(f"{now.done:,} of {now.urls:,} URLs, {now.rate:,.0f}/s, {_counts(now, _REASONS)}", err=True)

    def summary(self, final: DownloadProgress) -> None:
        """Print the counts of a run that has ended, and, where it was stopped, how to go on."""
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
