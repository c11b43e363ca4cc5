"""Whether labels help: the same learner taught with each kind of them, and judged by what is truly in other scenes."""

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
#: What the small network is trained on, and how fast: of 0.0015, 0.0025, 0.004, 0.01 and 0.025, each tried once for
#: both kinds with a seed of its own and judged on the teacher's scenes, which judge nothing else, these ranked objects
#: best.
_LEARNING_RATES = {SINGLE: 0.01, REGENERATED: 0.0025}
_LAYER_EPOCHS = 3


def make_held_out(world: World, tables: Path) -> HeldOut:
    """What judges."""
    place = {key: column for column, key in enumerate(world.collection.keys)}
    return HeldOut(
        table=AnnotationTable.open(tables / "held-out"),
        objects=world.hierarchy.index(world.collection.keys),
        main=np.array([place[scene.published] for scene in world.held_out]),
    )


def compare_networks(
    world: World, out: Path, held_out: HeldOut, size: Size, account: Account
) -> tuple[str, list[Trained]]:
    """A small network trained from the tables of single and of regenerated labels.

    Parameters
    ----------
    world : World
        The scenes.
    out : pathlib.Path
        The demo's folder, with its tables.
    held_out : HeldOut
        What judges.
    size : Size
        How much is trained.
    account : Account
        Is told.

    Returns
    -------
    str, list of Trained
        What the network is, in a few words, and all trainings of it.
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
    """A last layer over the teacher's frozen network, learned from each kind of labels.

    That takes seconds, so that labels can be tried which tell apart what helps: the ancestors alone, and all that is
    truly there. What a row does not list is taken as absent.
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
