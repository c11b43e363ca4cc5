"""The teacher: a network that knows ImageNet, and a new last layer that learned to tell several objects of a scene.

As the published method's teacher learned from Open Images, where pictures carry several labels, this one learns from
a part of the scenes whose labels are complete, and then looks at all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mlimages.demo.imagenetweights import projection
from mlimages.demo.scenes import Scene
from mlimages.models.build import TimmModel
from mlimages.models.preprocess import normalised

SIDE = 160  # pixels of what the teacher sees
_BATCH = 32
_EPOCHS = 40
_LEARNING_RATE = 2e-3

Report = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """No report."""


class Teacher:
    """Looks at a scene place by place, and takes for each object the place where it is seen best.

    Parameters
    ----------
    network : TimmModel
        Trained on ImageNet-1k; its last layer serves :meth:`projected` only.
    keys : sequence of str
        The synsets that the teacher can say.
    """

    def __init__(self, network: TimmModel, keys: Sequence[str]) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.keys = list(keys)
        self.head = nn.Linear(network.num_features, len(self.keys))
        self._projection = projection(self.keys)

    @torch.inference_mode()
    def look(self, images: Path, scenes: Sequence[Scene]) -> Tensor:
        """Features of every place of some scenes: float32 [B, places, F]."""
        pictures = torch.stack([_pixels(images / scene.name) for scene in scenes])
        inputs = normalised(pictures, self.network.card.preprocessing).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.network.backbone.forward_features(inputs)  # (B, F, H, W)
        return maps.flatten(2).transpose(1, 2).contiguous()

    def learn(self, images: Path, scenes: Sequence[Scene], *, seed: int = 0, progress: Report = _silent) -> None:
        """Train the last layer on scenes of which all objects are known.

        A scene's logit for an object is the log-sum-exp over its places: one place where it is seen is enough.
        """
        seen = torch.cat([self.look(images, part) for part in _reported(scenes, progress)])
        truth = torch.from_numpy(truth_of(scenes, self.keys))
        generator = torch.Generator().manual_seed(seed)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -8.0)  # an object is in few scenes, at few places
        optimizer = torch.optim.AdamW(self.head.parameters(), lr=_LEARNING_RATE, weight_decay=1e-3)
        steps = _EPOCHS * -(-len(scenes) // _BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(_EPOCHS):
            for chosen in torch.split(torch.randperm(len(scenes), generator=generator), _BATCH):
                logits = self.head(seen[chosen]).logsumexp(dim=1)  # (B, K)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, truth[chosen], reduction="none")
                optimizer.zero_grad()
                loss.sum(dim=1).mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()

    @torch.inference_mode()
    def predict(
        self, images: Path, scenes: Sequence[Scene], *, progress: Report = _silent
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How sure the teacher is of each object in each scene.

        Returns
        -------
        (float32 array [n, K], float32 array [n, K])
            By the last layer that learned; and, for comparison, by ImageNet's own classes, see :meth:`projected`.
        """
        learned, projected = [], []
        for part in _reported(scenes, progress):
            seen = self.look(images, part)
            learned.append(self.head(seen).logsumexp(dim=1).sigmoid())
            projected.append(self.projected(seen))
        return torch.cat(learned).numpy(), torch.cat(projected).numpy()

    @torch.inference_mode()
    def projected(self, seen: Tensor) -> Tensor:
        """What the network says untaught: float32 [B, K] of features [B, places, F].

        The probability of a synset at a place is the sum over ImageNet's classes that are the synset or below it or,
        where the synset is below a class, that of this class; the best place counts.
        """
        classes = self.network.backbone.get_classifier()(seen).softmax(dim=-1)  # (B, places, 1000)
        best: Tensor = (classes @ self._projection).amax(dim=1)
        return best.clamp(max=1.0)


def truth_of(scenes: Sequence[Scene], keys: Sequence[str]) -> NDArray[np.float32]:
    """1 where an object is in a scene, else 0: float32 [n, K]."""
    place = {key: column for column, key in enumerate(keys)}
    found = np.zeros((len(scenes), len(keys)), np.float32)
    for row, scene in enumerate(scenes):
        found[row, [place[key] for key in scene.objects]] = 1
    return found


def _pixels(path: Path) -> Tensor:
    """A picture of `SIDE` pixels: uint8 [3, SIDE, SIDE]."""
    with Image.open(path) as picture:
        resized = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1)


def _reported(scenes: Sequence[Scene], progress: Report):  # type: ignore[no-untyped-def]
    """Stretches of scenes; tells after each how far it is."""
    for start in range(0, len(scenes), _BATCH):
        yield scenes[start : start + _BATCH]
        progress(min(start + _BATCH, len(scenes)), len(scenes))
