"""The teacher: trained on scenes with complete labels, it predicts the objects in all others.

The published method trains its teacher on Open Images, whose images carry several labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlimages.demo.account import Account
from mlimages.demo.learning.features import look
from mlimages.demo.learning.head import learn
from mlimages.demo.learning.network import TEACHER, imagenet_network, own_network, projected
from mlimages.demo.scenes.scene import Scene
from mlimages.demo.scenes.world import World
from mlimages.models.networks.build import TimmModel

EPOCHS = 30
_THRESHOLDS = (0.3, 0.5, 0.8, 0.95)
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Opinion:
    """A teacher's predictions for the m training scenes: the probability of each of k objects, `scores` float32 [m, k].

    With the teacher's frozen network and its features of the scenes, `seen` float16 [m, places, F]; `measured` is
    precision and recall by threshold, of this teacher and of the ImageNet classifier.
    """

    title: str
    network: TimmModel
    seen: Tensor
    scores: NDArray[np.float32]
    measured: list[dict[str, Any]]


def take_teacher(world: World, folder: Path, account: Account) -> Opinion:
    """Train the teacher and predict the objects of the training scenes.

    `folder` is for the files of a network that has to be trained first.
    """
    keys = world.collection.keys
    network = imagenet_network(TEACHER)
    knows_imagenet = network is not None
    if network is None:
        network = own_network(world, folder, account)
    who = "EfficientNet-lite2, which knows the 1,000 classes of ImageNet" if knows_imagenet else "A small network"
    title = (
        f"{who}, with a new last layer that learned from {len(world.labelled):,} scenes with complete labels, as the "
        "published teacher did from Open Images."
    )
    account.say(title)
    seen = look(network, world.images, world.labelled, progress=account.progress("scenes learned from"))
    head = learn(seen, truth_of(world.labelled, keys), epochs=EPOCHS)
    seen = look(network, world.images, world.training, progress=account.progress("scenes looked at"))
    opinions = {"with the last layer that learned": head.probabilities(seen)}
    if knows_imagenet:
        parts = (seen[start : start + _BATCH] for start in range(0, len(seen), _BATCH))
        untaught = torch.cat([projected(network, keys, part) for part in parts])
        opinions["ImageNet's classes, projected on ours"] = untaught.numpy()
    truth = truth_of(world.training, keys) > 0
    measured = [_measured(kind, each, scores, truth) for kind, scores in opinions.items() for each in _THRESHOLDS]
    account.say(f"{'of the objects in the training scenes':<40}above  objects said  precision  recall")
    for row in measured:
        account.say(
            f"{row['teacher']:<40}{row['above']:>5g}  {row['objects said']:>12,}  {row['precision']:>9.3f}  "
            f"{row['recall']:>6.3f}"
        )
    return Opinion(title, network, seen, next(iter(opinions.values())), measured)


def truth_of(scenes: Sequence[Scene], keys: Sequence[str]) -> NDArray[np.float32]:
    """Targets, float32 [n, K]: 1 where an object is in a scene, else 0."""
    place = {key: column for column, key in enumerate(keys)}
    found = np.zeros((len(scenes), len(keys)), np.float32)
    for row, scene in enumerate(scenes):
        found[row, [place[key] for key in scene.objects]] = 1
    return found


def _measured(kind: str, threshold: float, scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> dict[str, Any]:
    said = scores > threshold
    right = int((said & truth).sum())
    return {
        "teacher": kind,
        "above": threshold,
        "objects said": int(said.sum()),
        "precision": right / int(said.sum()) if said.any() else float("nan"),
        "recall": right / int(truth.sum()),
    }
