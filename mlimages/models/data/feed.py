"""Batches out of processes that load them, in their order, with errors as they were raised."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from torch.utils.data import DataLoader, Dataset

from mlimages.errors import MlimagesError

if TYPE_CHECKING:
    from mlimages.models.data.dataset import Batch
    from mlimages.models.data.order import Batches, Ticket

_FEEDS: WeakSet[Generator[Batch, None, None]] = WeakSet()  # that loader gave out


class _Telling(Dataset[Any]):
    """Batches of a dataset, or the error in place of one: raised in a process of torch's loader, it would come out as
    another, with a traceback for its message.
    """

    def __init__(self, dataset: Dataset[Batch]) -> None:
        self._dataset = dataset

    def __getitem__(self, ticket: Ticket) -> Batch | Exception:
        try:
            return self._dataset[ticket]
        except (MlimagesError, OSError) as error:
            return error


def loader(dataset: Dataset[Batch], batches: Batches, *, workers: int = 0, pin_memory: bool = False) -> Iterator[Batch]:
    """The batches of the tickets of `batches`, in their order, however many `workers` processes read them."""
    feed = _told(dataset, batches, workers=workers, pin_memory=pin_memory)
    _FEEDS.add(feed)
    return feed


@atexit.register
def _close_feeds() -> None:
    """End the processes of feeds that an error's traceback, say, still holds: ignoring SIGTERM, they outlive the end
    that multiprocessing puts to them, and Python would wait for them for ever.
    """
    for feed in list(_FEEDS):
        feed.close()


def _told(dataset: Dataset[Batch], batches: Batches, *, workers: int, pin_memory: bool) -> Generator[Batch, None, None]:
    for loaded in _torch_loader(_Telling(dataset), batches, workers=workers, pin_memory=pin_memory):
        if isinstance(loaded, Exception):
            raise loaded
        yield loaded


def _torch_loader(dataset: Dataset[Any], batches: Batches, *, workers: int, pin_memory: bool) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=None,  # a ticket is a whole batch
        sampler=batches,
        num_workers=workers,
        collate_fn=_unchanged,
        pin_memory=pin_memory,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_outlive_signals if workers else None,
    )


def _outlive_signals(_worker: int) -> None:
    """Leave to the parent what a whole group of processes is sent: it saves before all end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _unchanged(batch: Any) -> Any:
    return batch
