"""A step of the trainer against the bare forward and backward pass.

Run it with ``mlimages[train]`` installed::

    python benchmarks/train.py [--model resnet50-mlimages] [--batch 16] [--steps 12] [--rounds 3]

The trainer reads drawn 224-pixel JPEGs from packed images with ``--workers`` processes, makes targets of 1,000
classes, computes the published loss, steps the optimizer and logs. The bare loop has a batch in memory and does
forward, loss, backward and the optimizer's step, and nothing else, on the same model in the same memory format.
Both take turns, since the machine may be shared, and the ratio is the median over rounds. The first steps are not
counted. The goal is a ratio up to 1.05: with so many processes besides that loading does not hold up the step, which
takes a core of its own.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.images import pack
from mlimages.models import TrainConfig, train
from mlimages.models.ranks import Ranks
from mlimages.models.training.run import Run

CLASSES = 1000
WARM_UP = 3  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50-mlimages")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = Path(tempfile.mkdtemp(prefix="train-benchmark-"))
    try:
        draw(folder, options.batch * options.steps)
        print(
            f"{options.model}, batch {options.batch}, {options.steps - WARM_UP} steps counted, {options.threads} "
            f"threads, {options.workers} loading processes, {torch.get_num_threads()} computing threads\n"
        )
        ratios = []
        for number in range(options.rounds):
            config = TrainConfig(
                table=str(folder / "packed"),
                out=str(folder / f"run-{number}"),
                model=options.model,
                size=224,
                epochs=1,
                batch=options.batch,
                workers=options.workers,
                log_every=1,
                device="cpu",
            )
            bare, ours = bare_step(config, options.steps), trainer_step(config)
            ratios.append(ours / bare)
            print(f"bare {bare * 1e3:8.1f} ms   trainer {ours * 1e3:8.1f} ms   ratio {ours / bare:.3f}", flush=True)
        print(f"\nmedian ratio {statistics.median(ratios):.3f}; goal 1.050")
    finally:
        shutil.rmtree(folder)


def trainer_step(config: TrainConfig) -> float:
    """Median seconds of a step, from the trainer's log."""
    train(config)
    with (Path(config.out) / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[WARM_UP:]
    return statistics.median(config.batch / float(row["images_per_second"]) for row in rows)


def bare_step(config: TrainConfig, steps: int) -> float:
    """Median seconds of forward, loss, backward and step, on one batch that stays in memory."""
    run = Run(config, Ranks(0, 1, torch.device("cpu")))
    run.train_mode()
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(config.batch, 3, 224, 224, generator=generator).contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(config.batch, CLASSES, generator=generator) < 0.005).float()
    taken = []
    for _ in range(steps):
        began = time.perf_counter()
        loss = run.loss(run.model(pictures), targets)
        loss.backward()
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[WARM_UP:])


def draw(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    keys = [f"c{number}" for number in range(CLASSES)]
    lines = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize((400, 300), Image.Resampling.BICUBIC).save(folder / "images" / f"{number}.jpg", quality=90)
        labels = random.choice(CLASSES, 5, replace=False)
        lines.append("\t".join([f"{number}.jpg", *(f"c{label}:1" for label in labels)]) + "\n")
    (folder / "list.txt").write_text("".join(lines))
    annotate(folder / "list.txt", Hierarchy(keys, [[] for _ in keys]), out=folder / "table")
    pack(folder / "table", folder / "images", folder / "packed")


if __name__ == "__main__":
    main()
