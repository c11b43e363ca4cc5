"""Comparison of label kinds: the same learner is trained on each and evaluated on held-out scenes with true labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlimages import AnnotationTable
from mlimages.demo.account import Account
from mlimages.demo.learning.features import look
from mlimages.demo.learning.head import learn
from mlimages.demo.learning.measures import (
    ANCESTORS,
    COMPLETE,
    REGENERATED,
    SINGLE,
    HeldOut,
    Trained,
    judge_scores,
)
from mlimages.demo.learning.smallnetwork import Job, train_all, write_start
from mlimages.demo.learning.teacher import Opinion
from mlimages.demo.scenes.world import Size, World

_FOLDERS = {SINGLE: "single", ANCESTORS: "ancestors", REGENERATED: "regenerated", COMPLETE: "truth"}
#: Learning rate of the small network by kind of labels: of 0.0015, 0.0025, 0.004, 0.01 and 0.025, each tried once per
#: kind with a separate seed, those with the best mean average precision on the teacher's scenes, which are not used for
#: evaluation otherwise.
_LEARNING_RATES = {SINGLE: 0.01, REGENERATED: 0.0025}
_LAYER_EPOCHS = 3


def make_held_out(world: World, tables: Path) -> HeldOut:
    """The held-out scenes and their true labels."""
    place = {key: column for column, key in enumerate(world.collection.keys)}
    return HeldOut(
        table=AnnotationTable.open(tables / "held-out"),
        objects=world.hierarchy.index(world.collection.keys),
        main=np.array([place[scene.published] for scene in world.held_out]),
    )


def compare_networks(
    world: World, out: Path, held_out: HeldOut, size: Size, account: Account
) -> tuple[str, list[Trained]]:
    """Train a small network on the tables of single and of regenerated labels, below the folder `out` of the demo.

    Returns a short description of the network, and its training runs.
    """
    starts = {
        kind: write_start(AnnotationTable.open(out / "tables" / folder), out / "network" / f"{folder}.safetensors")
        for kind, folder in _FOLDERS.items()
        if kind in _LEARNING_RATES
    }
    who = (
        "A small network, trained from nothing"
        if None in starts.values()
        else "EfficientNet-lite0, which begins with what it knows of ImageNet and is trained throughout"
    )
    jobs = [
        Job(
            labels=kind,
            table=out / "tables" / _FOLDERS[kind],
            held_out=out / "tables" / "held-out",
            images=world.images,
            start=starts[kind],
            learning_rate=_LEARNING_RATES[kind],
            out=out / "network" / f"{_FOLDERS[kind]}-{seed}",
            seed=seed,
            epochs=size.epochs,
        )
        for seed in range(size.seeds)
        for kind in _LEARNING_RATES
    ]
    outcomes = train_all(jobs, progress=account.progress("scenes learned from, in all trainings together"))
    runs = [
        Trained(job.labels, job.seed, judge_scores(outcome.probabilities, held_out), outcome.curve)
        for job, outcome in zip(jobs, outcomes, strict=True)
    ]
    return who, runs


def compare_layers(world: World, opinion: Opinion, held_out: HeldOut, size: Size, account: Account) -> list[Trained]:
    """Train a last layer on the teacher's frozen features, once per kind of labels and seed.

    Training takes seconds, so two more kinds are compared: ancestors without rules, and complete labels. Unlisted
    categories are trained as absent.
    """
    seen = look(opinion.network, world.images, world.held_out, progress=account.progress("held-out scenes looked at"))
    progress = account.progress("layers learned")
    tables = held_out.table.folder.parent
    runs: list[Trained] = []
    for seed in range(size.seeds):
        for kind, folder in _FOLDERS.items():
            table = AnnotationTable.open(tables / folder)
            targets = (table.multi_hot(np.arange(len(table))) > 0).astype(np.float32)
            head = learn(opinion.seen, targets, epochs=_LAYER_EPOCHS, seed=seed)
            runs.append(Trained(kind, seed, judge_scores(head.probabilities(seen), held_out), head.curve))
            progress(len(runs), size.seeds * len(_FOLDERS))
    return runs
