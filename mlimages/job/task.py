"""Tasks of a job, and the work that turns each into a part."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from mlimages.storage.manifest import Part

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Task(Protocol):
    """The work for one part; picklable where it runs in another process."""

    @property
    def index(self) -> int:
        """Number of the part."""

    @property
    def size(self) -> int:
        """Bytes of input, for progress; 0 if not known."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished part: the file, what was counted while it was made, and the bytes of the task's input."""

    part: Part
    counts: dict[str, int] = field(default_factory=dict)
    size: int = 0


class Stopped(Exception):  # noqa: N818  (not an error: the job was told to stop)
    """The job was stopped during a task."""


class StopSignal(Protocol):
    """A stop flag: an event of threads or of processes."""

    def is_set(self) -> bool:
        """Whether work should end at the next opportunity."""


class Work(Protocol[T_contra, R_co]):
    """A function of tasks that needs preparation; picklable where it runs in other processes."""

    def worker(self, stop: StopSignal) -> Callable[[T_contra], R_co]:
        """Prepare once per process what all its tasks need; the function may be called by several threads at once.

        Once `stop` is set, long tasks raise :class:`Stopped` at the next opportunity.
        """


@dataclass(frozen=True, slots=True)
class Calls(Generic[T, R]):
    """Work that needs no preparation: a function called for each task, picklable if it runs in other processes."""

    function: Callable[[T], R]

    def worker(self, stop: StopSignal) -> Callable[[T], R]:  # noqa: ARG002
        """The function."""
        return self.function


class Maker(Work[T_contra, Made], Protocol[T_contra]):
    """Makes the part of each task: under a temporary name that ends in ``.tmp``, renamed when it is whole."""

    @property
    def folder(self) -> Path:
        """Where the parts are."""

    def finished(self, task: T_contra) -> Made | None:
        """The part that an earlier run made of a task, if it is there and whole."""


class Engine(Protocol):
    """Does tasks somewhere, several at a time, and yields the results in any order.

    After a task failed no other is begun; of several that failed, the error of the first, in the order of the tasks, is
    raised. An engine that was stopped raises :class:`Stopped`.
    """

    def __call__(self, work: Work[T_contra, R_co], tasks: Iterable[T_contra], workers: int, /) -> Generator[R_co]:
        """Do all `tasks`, `workers` at a time; closing the generator ends what is under way."""


def until_stopped(items: Iterable[T], stop: StopSignal) -> Iterator[T]:
    """The items; once `stop` is set, :class:`Stopped` is raised before the next one."""
    for item in items:
        if stop.is_set():
            raise Stopped
        yield item


def never() -> threading.Event:
    """A stop signal that is never set."""
    return threading.Event()
