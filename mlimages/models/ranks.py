"""The processes of a run: one, or those that torchrun started."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed

from mlimages.errors import MlimagesError, ModelError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of this process, the number of ranks, and the device of this one."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the first rank, which writes."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """The sum of each value over all ranks; a collective call."""
        if self.world == 1:
            return values
        total = self.sum_tensor(torch.tensor(values, dtype=torch.float64, device=self.device))
        return [float(value) for value in total.tolist()]

    def sum_tensor(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all ranks, in place; a collective call."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def take_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Copy the values of the first rank to all ranks, in place; a collective call."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, src=0)

    def share(self, make: Callable[[], T]) -> T:
        """Call `make` on the first rank; return or raise its (pickled) result on all ranks; a collective call."""
        if self.world == 1:
            return make()
        made: list[Any] = [None, None]
        if self.first:
            try:
                made[0] = make()
            except (MlimagesError, OSError) as error:  # the other ranks would wait for it
                made[1] = error
        torch.distributed.broadcast_object_list(made, src=0)
        if made[1] is not None:
            raise made[1]
        found: T = made[0]
        return found

    def wait(self) -> None:
        """Wait for all ranks; a collective call."""
        if self.world > 1:
            torch.distributed.barrier()


def find_device(device: str, *, local: int = 0) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one, else the CPU.

    Raises
    ------
    ModelError
        For a device that torch does not know or does not find.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
        if place.type == "cuda":
            place = torch.device("cuda", local if place.index is None else place.index)
        torch.empty(1, device=place).item()  # some kinds, such as meta, hold no values
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return place


@contextmanager
def joined(device: str = "auto", *, backend: str | None = None, timeout: timedelta | None = None) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, which sets RANK, WORLD_SIZE and their address; or be the only one.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"} or a torch device
        ``auto`` takes a GPU where there is one.
    backend : str, optional
        The backend of torch.distributed; by default NCCL for GPUs, else gloo.
    timeout : datetime.timedelta, optional
        How long ranks wait for each other; torch's default is minutes.

    Raises
    ------
    ModelError
        For a device that torch does not know or does not find.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    place = find_device(device, local=local)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if world == 1:
        yield Ranks(0, 1, place)
        return
    if torch.distributed.is_initialized():  # by a caller that does several things together, and ends it
        yield Ranks(torch.distributed.get_rank(), world, place)
        return
    chosen = backend or ("nccl" if place.type == "cuda" else "gloo")
    torch.distributed.init_process_group(chosen, timeout=timeout)
    try:
        yield Ranks(torch.distributed.get_rank(), world, place)
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list to which SIGTERM and SIGINT are appended instead of ending the process; a second signal does end it."""
    signals: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if signals:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        signals.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread, where signals do not arrive
        before = {}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
