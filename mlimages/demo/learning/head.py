"""A last layer on frozen features, trained on labels of whole scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_BATCH = 32
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-3
_RARE = -8.0  # initial bias, in log-odds: a category is at few places of few scenes


@dataclass(frozen=True, slots=True)
class Head:
    """A trained layer: the log-odds of a category are the log-sum-exp over places, so one place is enough.

    `curve` holds epoch and mean loss of the training.
    """

    layer: nn.Linear
    curve: tuple[tuple[int, float], ...]

    @torch.inference_mode()
    def probabilities(self, seen: Tensor) -> NDArray[np.float32]:
        """The probability of each category in each scene: float32 [n, K], of features [n, places, F]."""
        parts = (seen[start : start + _BATCH] for start in range(0, len(seen), _BATCH))
        found = [self.layer(part.float()).logsumexp(dim=1).sigmoid() for part in parts]
        together: NDArray[np.float32] = torch.cat(found).numpy()
        return together


def learn(seen: Tensor, targets: NDArray[np.float32], *, epochs: int, seed: int = 0) -> Head:
    """Train a layer on features float16 [n, places, F], as :func:`mlimages.demo.learning.features.look` returns them.

    `targets` are float32 [n, K]: 1 where a category is in a scene, else 0.
    """
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(seen.shape[2], targets.shape[1])
    nn.init.normal_(layer.weight, std=1e-3, generator=generator)
    nn.init.constant_(layer.bias, _RARE)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    batches = -(-len(seen) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    truth = torch.from_numpy(targets)
    curve = []
    for epoch in range(epochs):
        order = torch.randperm(len(seen), generator=generator)
        total = 0.0
        for chosen in (order[start : start + _BATCH] for start in range(0, len(order), _BATCH)):
            logits = layer(seen[chosen].float()).logsumexp(dim=1)  # (B, K)
            each = nn.functional.binary_cross_entropy_with_logits(logits, truth[chosen], reduction="none")
            loss = each.sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        curve.append((epoch + 1, total / batches))
    return Head(layer, tuple(curve))
