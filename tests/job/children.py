"""Jobs in processes of their own, with something going wrong at a chosen moment."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from mlimages.errors import MlimagesError
from tests.job.kinds import KINDS

#: What happens to the files of a job; Python tells of each before it happens.
_EVENTS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"}

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.job.kinds", "mlimages.models.inference.predictions"])


@dataclass
class Moment:
    """Something that happens before the file operation of a number, in the process that does it.

    Parameters
    ----------
    number : int
        Which; those outside of the job's own folder do not count.
    what : int or "full" or "count"
        A signal; or the disk is full from now on, for that file; or nothing.
    """

    number: int
    what: signal.Signals | Literal["full", "count"]
    seen: int = 0

    def watch(self, folder: Path) -> None:
        below = os.fspath(folder)

        def happens(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _EVENTS and arguments and os.fsdecode(_path(arguments[0])).startswith(below):
                self.seen += 1
                if self.seen == self.number and isinstance(self.what, signal.Signals):
                    signal.raise_signal(self.what)
                elif self.seen == self.number and self.what == "full":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        sys.addaudithook(happens)


def _path(argument: Any) -> Any:
    return argument if isinstance(argument, str | bytes | os.PathLike) else ""


@dataclass
class Child:
    """A job that runs in a process of its own."""

    process: ForkServerProcess
    said: Connection

    def outcome(self) -> str:
        """Wait for it; what it said: the error, or ``done`` and how many file operations there were."""
        self.process.join(120)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f"{self.process.name} hangs")
        with self.said:
            try:
                return str(self.said.recv())
            except EOFError:
                return f"exit {self.process.exitcode}"


def start(
    kind: str,
    inputs: Path,
    *outs: Path,
    moment: Moment | None = None,
    after_part: Callable[[], None] | None = None,
    **options: Any,
) -> Child:
    """Begin a job of a kind, or one after the other into several folders.

    `after_part` is called after the first part.
    """
    said, says = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(kind, inputs, outs, says, moment, after_part, options))
    process.start()
    says.close()
    return Child(process, said)


def do(kind: str, inputs: Path, *outs: Path, **options: Any) -> str:
    """Do a job; what it said, as :meth:`Child.outcome`."""
    return start(kind, inputs, *outs, **options).outcome()


def _run(
    kind: str,
    inputs: Path,
    outs: tuple[Path, ...],
    says: Connection,
    moment: Moment | None,
    after_part: Callable[[], None] | None,
    options: dict[str, Any],
) -> None:
    waiting = [after_part] if after_part is not None else []

    def progress(at: Any) -> None:
        if at.parts and waiting:
            waiting.pop()()

    # in a process of its own each worker would load everything again
    workers = 1 if kind in ("tfrecord", "fingerprints") else 2
    options = {"workers": workers, "progress": progress, **options}
    try:
        if moment is not None:
            moment.watch(outs[0])
        for out in outs:
            KINDS[kind].run(inputs, out, **options)
        text = f"done {moment.seen if moment is not None else 0}"
    except (MlimagesError, KeyboardInterrupt) as error:
        text = f"{type(error).__name__}: {error}"
    says.send(text)


@dataclass(frozen=True)
class Touch:
    """Change when a file was changed."""

    path: Path

    def __call__(self) -> None:
        os.utime(self.path, ns=(0, 12345))


@dataclass(frozen=True)
class Break:
    """Break an input."""

    kind: str
    path: Path

    def __call__(self) -> None:
        KINDS[self.kind].breaks(self.path)


@dataclass(frozen=True)
class Hold:
    """Tell that the job is in the middle, and wait."""

    reached: Path
    go_on: Path

    def __call__(self) -> None:
        self.reached.touch()
        wait_for(self.go_on)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(os.fspath(path))
        time.sleep(0.01)
