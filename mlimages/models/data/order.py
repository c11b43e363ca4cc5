"""Which images are in which batch: shuffled by row group and pool, independent of what reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import ModelError


class Ticket(NamedTuple):
    """A batch to read: its epoch, its number within it, from 0, and the row numbers of its images, int64 [B]."""

    epoch: int
    number: int
    rows: NDArray[np.int64]


class Batches:
    """All batches of a rank, epoch after epoch; an iterable of :class:`Ticket`.

    The order of the images depends on seed and epoch only. It is cut into global batches, of which each rank takes a
    contiguous slice: two ranks together read in each step what one rank would with twice the batch size, however many
    processes load.

    Parameters
    ----------
    groups : sequence of int
        Number of rows of each row group. Rows of a group stay close together, so that each group is read about once.
    batch : int
        Images of a batch on one rank.
    seed : int or None
        Seed of the shuffling; None keeps the order of the table.
    pool : int, optional
        Row groups that are shuffled together.
    epochs : int, optional
        Number of passes over the images.
    rank, world : int, optional
        Number of this rank, and number of ranks.
    drop_last : bool, optional
        Whether images that do not fill a global batch at the end of an epoch are left out; otherwise ranks share them,
        and some may get none.
    start : tuple of int, optional
        Epoch and number of the first batch, where an interrupted run continues.

    Raises
    ------
    ModelError
        Where an epoch has no full batch.
    """

    def __init__(
        self,
        groups: Sequence[int],
        batch: int,
        *,
        seed: int | None,
        pool: int = 8,
        epochs: int = 1,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = True,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        self.starts = np.cumsum([0, *groups])
        self.batch, self.seed, self.pool, self.epochs = batch, seed, pool, epochs
        self.rank, self.world, self.drop_last, self.start = rank, world, drop_last, start
        if batch < 1 or pool < 1:
            raise ModelError(f"batch is {batch} and pool {pool}: expected at least 1 each")
        if not self.per_epoch:
            raise ModelError(
                f"{self.starts[-1]} images do not fill one batch of {batch} on {world} ranks: take a smaller one"
            )

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch on each rank."""
        whole, rest = divmod(int(self.starts[-1]), self.batch * self.world)
        return whole + (rest > 0 and not self.drop_last)

    def __len__(self) -> int:
        return (self.epochs - self.start[0]) * self.per_epoch - self.start[1]

    def __iter__(self) -> Iterator[Ticket]:
        first, skipped = self.start
        for epoch in range(first, self.epochs):
            for number, rows in enumerate(self._global_batches(epoch)):
                if epoch > first or number >= skipped:
                    edges = len(rows) * np.arange(self.rank, self.rank + 2) // self.world
                    yield Ticket(epoch, number, rows[edges[0] : edges[1]])

    def _global_batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        size = self.batch * self.world
        kept = np.empty(0, np.int64)
        for rows in self._pools(epoch):
            rows = np.concatenate([kept, rows])
            whole = len(rows) // size * size
            yield from rows[:whole].reshape(-1, size)
            kept = rows[whole:]
        if len(kept) and not self.drop_last:
            yield kept

    def _pools(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The rows of each pool of row groups, in the order of this epoch."""
        groups = len(self.starts) - 1
        random = None if self.seed is None else np.random.default_rng((self.seed, epoch))
        order = np.arange(groups) if random is None else random.permutation(groups)
        for at in range(0, groups, self.pool):
            rows = np.concatenate(
                [np.arange(self.starts[group], self.starts[group + 1]) for group in order[at : at + self.pool]]
            )
            yield rows if random is None else random.permutation(rows)
