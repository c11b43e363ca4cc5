"""Batches from loading processes, in order, with errors as they were raised."""

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

_FEEDS: WeakSet[Generator[Batch, None, None]] = WeakSet()  # that `loader` returned


class _WithErrors(Dataset[Any]):
    """Batches of a dataset, with errors returned in their place: if raised, torch's loader would replace an error by
    another one whose message is a traceback.
    """

    def __init__(self, dataset: Dataset[Batch]) -> None:
        self._dataset = dataset

    def __getitem__(self, ticket: Ticket) -> Batch | Exception:
        try:
            return self._dataset[ticket]
        except (MlimagesError, OSError) as error:
            return error


def loader(dataset: Dataset[Batch], batches: Batches, *, workers: int = 0, pin_memory: bool = False) -> Iterator[Batch]:
    """Load the batches of a dataset, in order.

    Parameters
    ----------
    dataset : Dataset
        Makes a :class:`mlimages.models.data.dataset.Batch` of a ticket.
    batches : Batches
        The tickets.
    workers : int, optional
        Loading processes; 0 loads in this one.
    pin_memory : bool, optional
        Whether tensors are copied to page-locked memory, from which a GPU reads faster.
    """
    feed = _batches(dataset, batches, workers=workers, pin_memory=pin_memory)
    _FEEDS.add(feed)
    return feed


@atexit.register
def _close_feeds() -> None:
    """Stop the loading processes of feeds that are still referenced, for instance by a traceback: they ignore the
    SIGTERM that multiprocessing sends at exit, and Python would wait for them forever.
    """
    for feed in list(_FEEDS):
        feed.close()


def _batches(
    dataset: Dataset[Batch], batches: Batches, *, workers: int, pin_memory: bool
) -> Generator[Batch, None, None]:
    feed: DataLoader[Any] = DataLoader(
        _WithErrors(dataset),
        batch_size=None,  # a ticket is a whole batch
        sampler=batches,
        num_workers=workers,
        collate_fn=_unchanged,
        pin_memory=pin_memory,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_outlive_signals if workers else None,
    )
    for loaded in feed:
        if isinstance(loaded, Exception):
            raise loaded
        yield loaded


def _outlive_signals(_worker: int) -> None:
    """Ignore signals that are sent to the whole process group: the parent saves first, then stops its workers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _unchanged(batch: Any) -> Any:
    return batch
