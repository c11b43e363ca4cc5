"""Which images make which batch: shuffled by row group and pool, the same whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import ModelError


class Ticket(NamedTuple):
    """One batch that is still to be read.

    Attributes
    ----------
    epoch, number : int
        Which batch of which epoch, from 0.
    rows : int64 array [B]
        Its images.
    """

    epoch: int
    number: int
    rows: NDArray[np.int64]


class Batches:
    """All batches of a rank, epoch after epoch; iterate for tickets.

    The order of the images depends on the seed and the epoch alone. It is cut into global batches, and each rank takes
    its stretch of every one: so two ranks together read in each step what one would with twice the batch, and it does
    not matter how many processes load.

    Parameters
    ----------
    groups : sequence of int
        Rows of each row group, which are kept near each other so that each is read about once.
    batch : int
        Images of a batch on one rank.
    seed : int or None
        Of the shuffling; None keeps the order of the table.
    pool : int, optional
        Row groups that are shuffled together.
    epochs : int, optional
        How many times all images are read.
    rank, world : int, optional
        Which of how many ranks this is.
    drop_last : bool, optional
        Leave out what does not fill a global batch at the end of an epoch; otherwise ranks share it, some perhaps
        without any.
    start : tuple of int, optional
        Epoch and number of the first batch: where an interrupted run goes on.

    Raises
    ------
    ModelError
        Where there is not one batch in an epoch.
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
        """The rows of each pool of row groups, in their order for this epoch."""
        groups = len(self.starts) - 1
        random = None if self.seed is None else np.random.default_rng((self.seed, epoch))
        order = np.arange(groups) if random is None else random.permutation(groups)
        for at in range(0, groups, self.pool):
            rows = np.concatenate(
                [np.arange(self.starts[group], self.starts[group + 1]) for group in order[at : at + self.pool]]
            )
            yield rows if random is None else random.permutation(rows)
