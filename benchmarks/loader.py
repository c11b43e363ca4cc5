"""The loader against decoding alone, and against torchvision's ImageFolder with Pillow; making multi-hot targets.

Run it with ``mlimages[train]`` installed::

    python benchmarks/loader.py [--images 600] [--workers 1] [--size 500x375] [--runs 3]

Pictures are drawn JPEGs of the size and weight of photographs. They are read from the page cache. ``decoding alone``
reads and decodes them in full with Pillow, in as many processes as the loaders have, and does nothing else. The loaders
prepare 224-pixel crops: ours from packed images to batches of bytes, ImageFolder with the same steps as torchvision
transforms of Pillow pictures to batches of float32, as its documentation has it. Ratios are of images per second,
the median over runs in which all ways take turns, since the machine may be shared, and the least and the greatest of
them; ``goal`` is what we ask of ours.

With ``--workers 0`` all runs in this process, and its own CPU time is counted, which other programs disturb least; the
ways take turns batch by batch, so that a machine that slows down or speeds up does so for all of them.

The targets are 512 x 11,166, about 9 labels a row.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.images import pack
from mlimages.images.picture import decode
from mlimages.models.data.dataset import Batch, MultiHot, ParquetImages
from mlimages.models.data.feed import loader
from mlimages.models.data.order import Batches
from mlimages.models.data.preprocess import RandomCrop, evaluation, training
from mlimages.models.networks.card import Preprocessing

BATCH = 32
CLASSES, ROWS, LABELS = 11_166, 512, 9


class Decoded(Dataset[int]):
    """Reads and decodes each image, and returns a scalar."""

    def __init__(self, images: ParquetImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> int:
        return decode(self.images._bytes("", row)).width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", default="500x375")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    width, height = map(int, options.size.split("x"))
    folder = Path(tempfile.mkdtemp(prefix="loader-benchmark-"))
    try:
        mean = draw(folder, options.images, width, height)
        print(f"{options.images} JPEGs of {width} x {height}, {mean / 1e3:.0f} KB each; {options.workers} workers\n")
        compare(folder, options.workers, options.runs)
    finally:
        shutil.rmtree(folder)
    targets()


def compare(folder: Path, workers: int, runs: int) -> None:
    card = Preprocessing()
    ours = {
        "evaluation (central crop)": ParquetImages(folder / "packed", preprocess=evaluation(card)),
        "random crop and flip": ParquetImages(folder / "packed", preprocess=training_crop(card)),
        "published training": ParquetImages(folder / "packed", preprocess=training(card)),
    }
    tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    jitter = v2.Compose(
        [
            v2.RandomApply([v2.RandomRotation(45)], p=1 / 3),
            v2.RandomApply([v2.ColorJitter(32 / 255, (0.5, 1.5), (0.5, 1.5), 0.2)], p=2 / 3),
        ]
    )
    crop = v2.RandomResizedCrop(224, scale=(0.7, 1.0), ratio=(0.75, 1.33))
    theirs = {
        "evaluation (central crop)": v2.Compose([CentralCrop(), v2.Resize([224, 224]), *tensor]),
        "random crop and flip": v2.Compose([crop, v2.RandomHorizontalFlip(), *tensor]),
        "published training": v2.Compose([crop, v2.RandomHorizontalFlip(), jitter, *tensor]),
    }
    decoded = Decoded(next(iter(ours.values())))
    ways: dict[str, Callable[[], Iterable[Any]]] = {
        "decoding alone": lambda: DataLoader(decoded, BATCH, num_workers=workers)
    }
    for name, images in ours.items():
        ways[f"ours, {name}"] = lambda images=images: loader(
            images, Batches(images.groups, BATCH, seed=0, drop_last=False), workers=workers
        )
    for name, transform in theirs.items():
        pictures = ImageFolder(str(folder / "images"), transform=transform)
        ways[f"ImageFolder, {name}"] = lambda pictures=pictures: DataLoader(
            pictures, BATCH, shuffle=True, num_workers=workers
        )
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        if workers:
            found = {name: speed(way(), len(decoded)) for name, way in ways.items()}
        else:
            found = speeds_in_turn({name: way() for name, way in ways.items()}, len(decoded))
        for name, one in found.items():
            speeds[name].append(one)
    print(f"{'':42} {'images/s':>9} {'to decoding':>12} {'to ImageFolder':>15} {'to decoding, all runs':>23}")
    for name, found in speeds.items():
        to_decoding = ratios(found, speeds["decoding alone"])
        peer = speeds.get(name.replace("ours", "ImageFolder")) if name.startswith("ours") else None
        shown = f"{statistics.median(ratios(found, peer)):.2f}" if peer else ""
        spread = f"{min(to_decoding):.2f} to {max(to_decoding):.2f}"
        middle = statistics.median(to_decoding)
        print(f"{name:42} {statistics.median(found):>9.0f} {middle:>12.2f} {shown:>15} {spread:>23}")
    print("goal                                                           0.90            2.00\n")


class CentralCrop:
    """The central 0.8 x 0.8 of a Pillow image."""

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Crop."""
        return v2.functional.center_crop(picture, [round(picture.height * 0.8), round(picture.width * 0.8)])


def training_crop(card: Preprocessing) -> Any:
    """The published training preprocessing without jitter and rotation."""
    full = training(card)
    return replace(full, change=RandomCrop(card.size, v2.InterpolationMode(card.interpolation), 0.7))


def speed(batches: Iterable[Any], images: int) -> float:
    """Images per second from the first batch on, without the start of processes."""
    began, first = 0.0, 0
    for batch in batches:
        if not first:
            began, first = time.perf_counter(), BATCH
        del batch
    return (images - first) / (time.perf_counter() - began)


def speeds_in_turn(ways: dict[str, Iterable[Any]], images: int) -> dict[str, float]:
    """Images per CPU second from the first batch on, of loaders that alternate batch by batch."""
    running = {name: iter(way) for name, way in ways.items()}
    took = dict.fromkeys(ways, 0.0)
    for number in range(math.ceil(images / BATCH)):
        at = number % len(running)
        for name in [*running][at:] + [*running][:at]:  # none is always the one after the same other
            began = time.process_time()
            next(running[name])
            if number:
                took[name] += time.process_time() - began
    return {name: (images - BATCH) / each for name, each in took.items()}


def ratios(ones: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def targets() -> None:
    """Print the time of targets computed in three ways."""
    random = np.random.default_rng(0)
    batches = [
        Batch(
            pictures=torch.empty(0),
            rows=torch.arange(ROWS).repeat_interleave(LABELS),
            columns=torch.from_numpy(random.integers(0, CLASSES, ROWS * LABELS)),
            values=torch.ones(ROWS * LABELS),
            names=[""] * ROWS,
            broken={},
            epoch=0,
            number=number,
        )
        for number in range(8)
    ]

    def loop(batch: Batch) -> np.ndarray:
        made = np.zeros((ROWS, CLASSES), np.float32)
        for row, column, value in zip(batch.rows.tolist(), batch.columns.tolist(), batch.values.tolist(), strict=True):
            made[row, column] = value
        return made

    def fresh(batch: Batch) -> torch.Tensor:
        made = torch.zeros(ROWS, CLASSES)
        made[batch.rows, batch.columns] = batch.values
        return made

    hot = MultiHot(CLASSES)
    for each in batches:
        assert torch.equal(hot(each), fresh(each))
    print(f"targets {ROWS} x {CLASSES}, {LABELS} labels a row{'':18} {'ms':>9}")
    for name, way, rounds in (
        ("a loop over labels", loop, 1),
        ("zeros, then all labels at once", fresh, 10),
        ("ours: clear what the last batch set", hot, 100),
    ):
        best = min(timed(way, batches, rounds) for _ in range(5))
        print(f"{name:55} {best * 1e3:>9.2f}")
    print(f"{'goal':55} {0.2:>9.2f}")


def timed(way: Callable[[Batch], object], batches: list[Batch], rounds: int) -> float:
    began = time.perf_counter()
    for _ in range(rounds):
        for batch in batches:
            way(batch)
    return (time.perf_counter() - began) / (rounds * len(batches))


def draw(folder: Path, count: int, width: int, height: int) -> float:
    """Write images, a list, a table and packed images; return the mean file size in bytes."""
    random = np.random.default_rng(0)
    (folder / "images" / "thing").mkdir(parents=True)
    noise = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    lines = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        picture = Image.blend(coarse.resize((width, height), Image.Resampling.BICUBIC), noise, 0.08)
        picture.save(folder / "images" / "thing" / f"{number:05d}.jpg", quality=90)
        lines.append(f"thing/{number:05d}.jpg\tthing:1\n")
    (folder / "list.txt").write_text("".join(lines))
    annotate(folder / "list.txt", Hierarchy(["thing"], [[]]), out=folder / "table")
    pack(folder / "table", folder / "images", folder / "packed")
    return sum(path.stat().st_size for path in (folder / "images" / "thing").iterdir()) / count


if __name__ == "__main__":
    main()
