"""Learning rates as functions of the number of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from mlimages.errors import ModelError
from mlimages.models.training.config import TrainConfig

Schedule = Callable[[int], float]

# the published run: 4,400 steps were about an epoch of 18 million images in batches of 4,096
PUBLISHED_BATCH = 4096
_EPOCH, _WARM_UP, _DECAY = 4_400, 35_200, 110_000
_FIRST, _GROWTH, _FULL, _FACTOR = 0.01, 1.297, 0.08, 0.1


def learning_rate(config: TrainConfig, *, world: int, steps_per_epoch: int) -> Schedule:
    """The learning rate of a run on `world` ranks as a function of the number of the step, from 0."""
    highest = _FULL if config.learning_rate is None else config.learning_rate
    if config.schedule == "published":
        images = config.batch * config.accumulate * world
        return published(batch=images, steps_per_epoch=steps_per_epoch if config.in_epochs else None)
    if config.schedule == "cosine":
        warm_up = round(config.warm_up * steps_per_epoch)
        return cosine(highest, steps_per_epoch * config.epochs, warm_up=warm_up)
    return staircase(highest, max(1, round(config.decay_every * steps_per_epoch)))


def published(*, batch: int = PUBLISHED_BATCH, steps_per_epoch: int | None = None) -> Schedule:
    """The published schedule: 0.01, times 1.297 every 4,400 steps; 0.08 from step 35,200, times 0.1 every 110,000.

    Parameters
    ----------
    batch : int, optional
        Images of a step, over all ranks: rates are proportional to it, and phases have inversely as many steps, so
        that each phase still sees as many images.
    steps_per_epoch : int, optional
        Count phases in epochs of another set of images instead: 8 to warm up, a factor of 0.1 every 25.

    Examples
    --------
    >>> rate = published()
    >>> [round(rate(step), 4) for step in (0, 4_400, 35_199, 35_200, 110_000, 220_000)]
    [0.01, 0.013, 0.0617, 0.08, 0.008, 0.0008]
    """
    scale = batch / PUBLISHED_BATCH
    unit = steps_per_epoch / _EPOCH if steps_per_epoch is not None else 1 / scale

    def rate(step: int) -> float:
        at = step / unit  # in steps of the published run
        if at < _WARM_UP:
            return float(_FIRST * _GROWTH ** int(at // _EPOCH) * scale)
        return float(_FULL * _FACTOR ** int(at // _DECAY) * scale)

    return rate


def cosine(highest: float, steps: int, *, warm_up: int = 0) -> Schedule:
    """A linear rise over `warm_up` steps, then half a cosine down to zero at `steps`.

    Source: Loshchilov and Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983, without restarts.

    Examples
    --------
    >>> rate = cosine(1.0, 10, warm_up=2)
    >>> [round(rate(step), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """

    def rate(step: int) -> float:
        if step < warm_up:
            return highest * (step + 1) / warm_up
        return highest * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2

    return rate


def staircase(highest: float, every: int) -> Schedule:
    """`highest`, multiplied by 0.1 after each `every` steps.

    Examples
    --------
    >>> rate = staircase(1.0, 10)
    >>> [round(rate(step), 2) for step in (0, 9, 10, 25)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if every < 1:
        raise ModelError(f"every is {every} steps: expected at least 1")
    return lambda step: highest * _FACTOR ** (step // every)
