"""Labels completed by the hierarchy against the raw labels: which trains the better classifier.

Run it with ``mlimages[train]`` installed::

    python benchmarks/hierarchy_labels.py --pictures cifar10 [--seeds 5] [--jobs 2]
    python benchmarks/hierarchy_labels.py --pictures stamps
    python benchmarks/hierarchy_labels.py --pictures drawn

Every picture shows one leaf. As in collections of many sources, a part of the training pictures (``--broad``) is
labelled by a broader word: with the group only, the nearest category above that has other leaves too. The held-out
pictures have all their labels. Three ways to train the same network from scratch, from Parquet, with the same loss and
the same seeds:

raw
    the labels as they are given (``propagation="none"``); what is not listed is absent
ancestors
    the same with their ancestors; what is not listed is absent
below
    the same with their ancestors; what lies below the labels of a picture is unknown (``unknown="below"``)

All scores are first made consistent (an ancestor is at least as probable as its descendants), which is the best that
can be made of a network that never saw ancestors. ``leaf top-1`` is how often the most probable leaf is the picture's;
``mAP`` is the mean average precision over the leaves, and over the ancestors.

``--pictures cifar10``: real photographs, those held out being others; fetched once by ``npm``. ``--pictures stamps``:
photographs cut out and put before other backgrounds, each in both parts, since most animals were photographed once.
``--pictures drawn``: shapes, which show the mechanism.

``--development`` judges on other pictures (of CIFAR-10: some of its training pictures; of stamps: other scenes) with
other seeds: what is chosen there, such as ``--learning-rates``, is not chosen on what judges.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from picture_sets import PictureSet, cifar10, drawn, stamps

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.models import Inference, TrainConfig, load_model, train
from mlimages.models.data.dataset import MultiHot, ParquetImages
from mlimages.models.evaluation.evaluate import count_multi_label
from mlimages.models.evaluation.metrics import MultiLabelMetrics
from mlimages.models.inference.inference import feed_of, outputs, probabilities
from mlimages.models.networks.outputs import table_hierarchy
from mlimages.models.training.loop import MODEL

WAYS = {"raw": ("none", "absent"), "ancestors": ("default", "absent"), "below": ("default", "below")}
COLUMNS = ("leaf top-1", "leaf mAP", "ancestor mAP")
FIRST_SEED = {False: 0, True: 1000}  # of those that judge, and of those that choose


@dataclass(frozen=True, slots=True)
class Training:
    """One training run and its evaluation data."""

    way: str
    seed: int
    config: TrainConfig
    held_out: Path
    images: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", choices=("cifar10", "stamps", "drawn"), default="drawn")
    parser.add_argument("--training", type=int, default=2000, help="Training pictures, of CIFAR-10.")
    parser.add_argument("--broad", type=float, default=0.5, help="The part that is labelled with the group only.")
    parser.add_argument("--ways", default="raw,ancestors,below")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--learning-rates", default="0.05", help="One, or one a way, separated by commas.")
    parser.add_argument("--loss", default="bce")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time, each with one thread.")
    parser.add_argument("--development", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hierarchy-labels-"))
    try:
        compare(picture_set(options, folder / "images"), folder, options)
    finally:
        shutil.rmtree(folder)


def picture_set(options: argparse.Namespace, images: Path) -> PictureSet:
    if options.pictures == "cifar10":
        return cifar10(images, training=options.training, development=options.development)
    if options.pictures == "stamps":
        return stamps(images, development=options.development)
    return drawn(images)


def compare(pictures: PictureSet, folder: Path, options: argparse.Namespace) -> None:
    """Train and evaluate all variants for every seed, and print."""
    ways = options.ways.split(",")
    trainings = prepare(pictures, ways, folder, options)
    print(
        f"{pictures.about}, {options.broad:.0%} labelled with the group only, {len(pictures.held_out)} pictures held "
        f"out; {len(pictures.hierarchy)} categories, {len(pictures.hierarchy.leaves)} of them leaves; {options.model} "
        f"at {options.size} pixels, {options.loss}, {options.epochs} epochs, learning rates {options.learning_rates}\n"
    )
    print(f"{'':10} {'seed':>4} {COLUMNS[0]:>11} {COLUMNS[1]:>11} {COLUMNS[2]:>13} {'seconds':>8}")
    found: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        options.jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for training, (values, seconds) in zip(trainings, pool.map(run, trainings), strict=True):
            found[training.way].append(values)
            shown = f"{values[0]:>11.3f} {values[1]:>11.3f} {values[2]:>13.3f} {seconds:>8.0f}"
            print(f"{training.way:10} {training.seed:>4} {shown}", flush=True)
    print()
    for way, rows in found.items():
        array = np.array(rows)
        spread = array.std(axis=0, ddof=1) if len(array) > 1 else np.zeros(3)
        each = "  ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(array.mean(axis=0), spread, strict=True))
        print(f"{way:10} mean ± sd {each}")
    for way in ways[1:]:
        gain = np.array(found[way]) - np.array(found[ways[0]])
        spread = gain.std(axis=0, ddof=1) if len(gain) > 1 else np.zeros(3)
        each = "; ".join(
            f"{column} {g:+.3f} ± {s:.3f} (better in {b} of {len(gain)} seeds)"
            for column, g, s, b in zip(COLUMNS, gain.mean(axis=0), spread, (gain > 0).sum(axis=0), strict=True)
        )
        print(f"{way} over {ways[0]}: {each}")


def prepare(pictures: PictureSet, ways: list[str], folder: Path, options: argparse.Namespace) -> list[Training]:
    """Write the lists and tables."""
    rates = [float(rate) for rate in options.learning_rates.split(",")]
    rate_of = dict(zip(ways, rates * len(ways) if len(rates) == 1 else rates, strict=False))
    lists = folder / "training.txt", folder / "held-out.txt"
    write_list(lists[0], broadened(pictures, options.broad))
    write_list(lists[1], pictures.held_out)
    held_out = annotate(lists[1], pictures.hierarchy, out=folder / "held-out").folder
    for way in ways:
        annotate(lists[0], pictures.hierarchy, out=folder / way, propagation=WAYS[way][0])
    first = FIRST_SEED[options.development]
    return [
        Training(
            way,
            seed,
            TrainConfig(
                table=str(folder / way),
                images=str(pictures.images),
                out=str(folder / f"run-{way}-{seed}"),
                unknown=WAYS[way][1],
                model=options.model,
                size=options.size,
                epochs=options.epochs,
                batch=32,
                workers=0,
                loss=options.loss,
                schedule="cosine",
                learning_rate=rate_of[way],
                warm_up=2.0,
                seed=seed,
                device="cpu",
            ),
            held_out,
            pictures.images,
        )
        for seed in range(first, first + options.seeds)
        for way in ways
    ]


def run(training: Training) -> tuple[tuple[float, float, float], float]:
    """Train and evaluate: the values of the columns, and seconds."""
    began = time.perf_counter()
    path = train(training.config)
    if path.name != MODEL:  # the trainer saves and returns
        raise SystemExit("stopped by a signal")
    return measure(path, training.held_out, training.images), time.perf_counter() - began


def measure(path: Path, table: Path, images: Path) -> tuple[float, float, float]:
    """Leaf top-1, leaf mAP and ancestor mAP on the held-out table."""
    model, hierarchy = load_model(path), table_hierarchy(table)
    how = Inference(workers=0, device="cpu")
    pictures = ParquetImages(table, images, preprocess=how.preprocess(model))
    counted, hot = MultiLabelMetrics(hierarchy), MultiHot(len(hierarchy))
    leaves, right, total = hierarchy.leaves, 0, 0
    for batch, logits in outputs(model, feed_of(pictures, how), how=how):
        scores = probabilities(logits, "sigmoid", hierarchy=hierarchy)
        count_multi_label(counted, batch, scores, hot)
        truth = hot(batch).numpy()[:, leaves] > 0
        labelled = truth.any(axis=1)
        best = scores[:, leaves].argmax(axis=1)
        right += int(truth[np.arange(len(best)), best].sum())
        total += int(labelled.sum())
    precision = counted.per_class()
    is_leaf = np.zeros(len(hierarchy), bool)
    is_leaf[leaves] = True
    return right / total, float(np.nanmean(precision[is_leaf])), float(np.nanmean(precision[~is_leaf]))


# The labels -----------------------------------------------------------------------------------------------------------


def broadened(pictures: PictureSet, part: float) -> list[tuple[str, str]]:
    """The training labels, with a share `part` of each leaf's replaced by a broader category."""
    random = np.random.default_rng(0)
    keys = np.array([key for _, key in pictures.training])
    broad = np.zeros(len(keys), bool)
    for key in sorted(set(keys)):
        of_key = random.permutation(np.flatnonzero(keys == key))
        broad[of_key[: round(part * len(of_key))]] = True
    groups = {key: group(key, pictures.hierarchy) for key in set(keys.tolist())}
    return [(name, groups[key] if wide else key) for (name, key), wide in zip(pictures.training, broad, strict=True)]


def group(key: str, hierarchy: Hierarchy) -> str:
    """The nearest ancestor that has more leaves below it than `key`."""
    here = hierarchy.index(key)
    leaves = set(hierarchy.leaves.tolist())

    def below(index: int) -> set[int]:
        return leaves & {index, *hierarchy.descendants(index).tolist()}

    above = sorted(hierarchy.ancestors(here).tolist(), key=lambda index: (len(below(index)), index))
    return hierarchy.keys[next((index for index in above if below(index) - below(here)), here)]


def write_list(path: Path, labels: list[tuple[str, str]]) -> None:
    path.write_text("".join(f"{name}\t{key}:1\n" for name, key in labels), encoding="utf-8")


if __name__ == "__main__":
    main()
