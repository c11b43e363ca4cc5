"""A job whose tasks are shared by the processes that torchrun started: the engine of ranks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import torch.distributed

from mlimages.errors import MlimagesError
from mlimages.job.folder import full_disk_told
from mlimages.job.task import Engine, Maker, Work, never
from mlimages.models.ranks import Ranks

T = TypeVar("T")
R = TypeVar("R")


def run_on_ranks(ranks: Ranks, maker: Maker[Any], run: Callable[[Engine], None]) -> None:
    """Run a job on the first of several ranks, its tasks shared by all; all ranks must call this.

    `run` runs the job with the engine it is given; it is called on the first rank only.

    Raises
    ------
    MlimagesError, OSError
        On all ranks where the job cannot begin or finish; on one where a task of its share fails: torchrun then ends
        the others.
    """
    if not ranks.first:
        tasks: list[Any] | None = ranks.share(list)
        if tasks is not None:
            with full_disk_told(maker.folder):
                _gather([*_own(ranks, maker, tasks)], ranks)
        ranks.share(lambda: None)
        return
    lead = _Lead(ranks)
    error: MlimagesError | OSError | None = None
    try:
        run(lead)
    except (MlimagesError, OSError) as raised:
        if lead.shared and not lead.gathered:
            raise
        error = raised
    if not lead.shared:
        ranks.share(lambda: None)
    ranks.share(lambda: _raise(error))


class _Lead:
    """The engine of the first rank: hands the tasks out, does its own share, and collects what the others made."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.shared = self.gathered = False

    def __call__(self, work: Work[T, R], tasks: Iterable[T], workers: int, /) -> Generator[R]:  # noqa: ARG002
        waiting = list(tasks)
        self.shared = True
        self._ranks.share(lambda: waiting)
        yield from _own(self._ranks, work, waiting)
        others = _gather([], self._ranks)
        self.gathered = True
        for each in others:
            yield from each


def _own(ranks: Ranks, work: Work[T, R], tasks: list[T]) -> Iterator[R]:
    mine = tasks[ranks.rank :: ranks.world]
    if mine:
        yield from map(work.worker(never()), mine)


def _gather(made: list[Any], ranks: Ranks) -> list[list[Any]]:
    """What every rank made, on the first one; empty on the others."""
    found: list[Any] | None = [None] * ranks.world if ranks.first else None
    torch.distributed.gather_object(made, found)
    return found or []


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error
