"""The same small network trained on single labels and on regenerated ones, and both judged on held-out scenes."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from numpy.typing import NDArray

from mlimages import AnnotationTable
from mlimages.models import MultiLabelMetrics, TrainConfig, consistent, load_model, train
from mlimages.models.data import ParquetImages, loader
from mlimages.models.order import Batches
from mlimages.models.preprocess import evaluation, normalised
from mlimages.models.train import MODEL

SIDE = 72  # pixels that the small network sees

#: What is measured: the name in the tables, and what it says.
MEASURES = {
    "map_objects": "mean average precision over the objects: of each object, how well scores rank the scenes with it",
    "map": "the same over all categories; a category scores at least what its descendants do",
    "hierarchical_f1": "hierarchical F1 of the two best objects of a scene, both sides completed with their ancestors",
    "top1": "how often the best object is the main one, whose label is published",
    "top1_any": "how often the best object is any of those in the scene",
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run.

    Parameters
    ----------
    labels : str
        What it was trained on.
    seed : int
        Of the run.
    scores : dict of str to float
        Each of `MEASURES`, from 0 to 1.
    curve : tuple of (int, float)
        Step and loss, as it was trained.
    """

    labels: str
    seed: int
    scores: dict[str, float]
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained and how it is judged.

    Parameters
    ----------
    images : pathlib.Path
        Folder of the scenes.
    held_out : AnnotationTable
        What is truly in the held-out scenes.
    objects : int array [k]
        The categories of the objects.
    main : int array [m]
        The main object of each held-out scene, as position in `objects`.
    model : str
        What :func:`mlimages.models.build_model` builds.
    start : pathlib.Path, optional
        The weights to begin with.
    epochs : int
        How many times every scene is seen.
    """

    images: Path
    held_out: AnnotationTable
    objects: NDArray[np.int32]
    main: NDArray[np.int64]
    model: str
    start: Path | None
    epochs: int


def train_and_judge(task: Task, table: AnnotationTable, *, labels: str, seed: int, out: Path) -> Trained:
    """Train on a table and judge the outcome."""
    path = train_model(task, table, seed=seed, out=out)
    with (out / "log.csv").open(newline="") as file:
        curve = tuple((int(row["step"]), float(row["loss"])) for row in csv.DictReader(file))
    return Trained(labels, seed, judge_model(task, path), curve)


def train_model(task: Task, table: AnnotationTable, *, seed: int, out: Path) -> Path:
    """Train on a table; the saved model.

    Raises
    ------
    KeyboardInterrupt
        Where Ctrl-C ended the training, which by itself would leave a checkpoint and go on.
    """
    config = TrainConfig(
        table=str(table.folder),
        out=str(out),
        images=str(task.images),
        model=task.model,
        start=None if task.start is None else str(task.start),
        epochs=task.epochs,
        batch=32,
        size=SIDE,
        workers=1,
        loss="bce",
        schedule="cosine",
        learning_rate=0.001,
        warm_up=0.5,
        seed=seed,
        device="cpu",
        log_every=10,
        save_every=10**6,
    )
    logging.getLogger("mlimages").setLevel(logging.WARNING)
    path = train(config)
    if path.name != MODEL:
        raise KeyboardInterrupt
    return path


def judge_model(task: Task, path: Path) -> dict[str, float]:
    """Each of `MEASURES` of a saved model, on the held-out scenes."""
    probabilities = probabilities_of(task, path)
    truth = task.held_out.multi_hot(np.arange(len(task.held_out)))
    hierarchy = task.held_out.hierarchy
    everything = MultiLabelMetrics(hierarchy, ks=(1,))
    everything.update(consistent(probabilities, hierarchy), truth)
    objects_only = np.zeros_like(probabilities)
    objects_only[:, task.objects] = probabilities[:, task.objects]
    is_object = np.zeros(len(hierarchy), bool)
    is_object[task.objects] = True
    objects = MultiLabelMetrics(hierarchy, ks=(1, 2), trainable=is_object)
    objects.update(objects_only, truth)
    counted = objects.compute()
    best = probabilities[:, task.objects].argmax(axis=1)
    return {
        "map_objects": counted["map"],
        "map": everything.compute()["map"],
        "hierarchical_f1": counted["hierarchical_f1@2"],
        "top1": float((best == task.main).mean()),
        "top1_any": float((truth[np.arange(len(truth)), task.objects[best]] > 0).mean()),
    }


def summary(runs: Sequence[Trained], labels: str) -> dict[str, tuple[float, float]]:
    """Mean and spread (the standard deviation) over the seeds of each of `MEASURES`."""
    scores = [run.scores for run in runs if run.labels == labels]
    return {
        name: (mean(each[name] for each in scores), stdev([each[name] for each in scores]) if len(scores) > 1 else 0.0)
        for name in MEASURES
    }


@torch.inference_mode()
def probabilities_of(task: Task, path: Path) -> NDArray[np.float32]:
    """What a saved model says of the held-out scenes: float32 [m, n]."""
    network = load_model(path).eval()
    card = network.card
    images = ParquetImages(
        task.held_out.folder, task.images, preprocess=evaluation(card.preprocessing, size=SIDE, crop="classifier")
    )
    found = [
        torch.sigmoid(network(normalised(batch.pictures, card.preprocessing)))
        for batch in loader(images, Batches(images.groups, 64, seed=None, drop_last=False))
    ]
    together: NDArray[np.float32] = torch.cat(found).numpy()
    return together
