"""Terminal output of the demo: numbered steps, their results and durations."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer

_EVERY = 15.0  # seconds between two lines of progress where there is no terminal


@dataclass(slots=True)
class Account:
    """Prints the steps, and records title and seconds of each finished one."""

    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print the title, and the duration on exit."""
        typer.secho(f"\n{len(self.steps) + 1}. {title}", bold=True)
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        self.steps.append((title, seconds))
        self.say(f"({seconds:.1f} s)")

    def say(self, text: str) -> None:
        """Print lines, indented below the title of the step."""
        for line in text.splitlines():
            typer.echo(f"   {line}".rstrip())

    def progress(self, what: str) -> Progress:
        """A progress callback for the current step."""
        return Progress(what)


class Progress:
    """Shows progress: one line, overwritten, on a terminal; a line every 15 seconds elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()
        self._terminal = sys.stdout.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` items are finished."""
        now = time.monotonic()
        if done < total and now - self._last < (0.1 if self._terminal else _EVERY):
            return
        self._last = now
        text = f"   {self._what}: {done:,} of {total:,}"
        if self._terminal:
            typer.echo(f"\r\033[K{text if done < total else ''}", nl=False)
        elif done < total:
            typer.echo(text)
