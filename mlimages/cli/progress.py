"""Progress of long jobs: a bar on a terminal, plain lines elsewhere, and a clear word on Ctrl-C."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

#: Seconds between two plain lines.
_EVERY = 10.0


def tell_of_compiling() -> None:
    """From now on say on standard error, before the first kernel is compiled, that this happens.

    It takes seconds in which nothing else is seen, once for an installation. Call it before the modules of kernels are
    imported, which is when they are compiled.
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
    """Show the :class:`~mlimages.job.job.Progress` of a job on standard error.

    Parameters
    ----------
    title : str
        What is being done.
    resumable : bool
        Whether Ctrl-C leaves something that ``--resume`` goes on with.
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
