"""Labels completed by the hierarchy against the raw labels alone: which trains to the better classifier.

Run it with ``mlimages[train]`` installed; it needs nothing from the network::

    python benchmarks/hierarchy_labels.py [--seeds 5] [--epochs 40]
    python benchmarks/hierarchy_labels.py --pictures stamps --seeds 3 --size 48
    python benchmarks/hierarchy_labels.py --list list.txt --images folder --hierarchy imagenet-1k

One label list becomes two annotation tables, one with the labels as they are given (``propagation="none"``) and one
with their ancestors. The same network is trained from scratch on each, from Parquet, with the same loss and seeds, and
both are measured on the same held-out pictures, whose true labels are complete. All scores are first made consistent
(an ancestor is at least as probable as its descendants), which is the best that can be made of a network that never
saw ancestors. ``leaf top-1`` is how often the most probable leaf is one of the picture's; ``mAP`` is the mean average
precision over the leaves, and over the ancestors.

``--pictures drawn`` (the default) draws them: one of 8 shapes, in a random colour, size, place and turn, before a noisy
background. They are synthetic, and are to show the mechanism.

``--pictures stamps`` takes photographs of animals: the cut-outs of Debian's tuxpaint-stamps-default that the demo uses,
one in each picture, in another size, place, turn and light and before another background every time. The held-out
pictures are others, though of the same photographs, since most animals were photographed once.

As in collections of many sources, a part of the training pictures of both is labelled by a broader word: half of them
with the group only, the nearest category above that has other leaves too.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pooch
import torch
from PIL import Image, ImageDraw, ImageFilter

from mlimages import Hierarchy, load_hierarchy
from mlimages.annotate.pipeline import annotate
from mlimages.demo.cutouts import Collection
from mlimages.demo.scenes import SceneMaker
from mlimages.demo.stamps import APT_LINE, fetch_stamps, find_stamps, read_stamps
from mlimages.demo.tables import objects_hierarchy
from mlimages.hierarchy.wordnet import close_upwards
from mlimages.models import Inference, TrainConfig, load_model, train
from mlimages.models.data import MultiHot, ParquetImages
from mlimages.models.evaluate import count_multi_label, table_hierarchy
from mlimages.models.metrics import MultiLabelMetrics
from mlimages.models.predict import feed_of, outputs, probabilities
from mlimages.models.train import MODEL

GROUPS = {
    "star": ("star4", "star6"),
    "cross": ("plus", "saltire"),
    "polygon": ("triangle", "square"),
    "round": ("disc", "ring"),
}
FAMILIES = {"spiky": ("star", "cross"), "compact": ("polygon", "round")}
SIDE = 40  # pixels of a drawn picture
TRAINING, VALIDATION = 480, 600
ANIMAL = "n00015388"
STAMP_PICTURES = (1600, 600)  # training, held out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", choices=("drawn", "stamps"), default="drawn", help="Where no list is given.")
    parser.add_argument("--list", help="A label list; every fourth image, by a hash of its name, is held out.")
    parser.add_argument("--images", help="The folder of its images.")
    parser.add_argument("--hierarchy", help="Its categories.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--loss", default="bce")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the network is small: threads would wait for each other
    folder = Path(tempfile.mkdtemp(prefix="hierarchy-labels-"))
    try:
        if options.list:
            hierarchy = load_hierarchy(options.hierarchy)
            images = Path(options.images)
            lists = split_list(Path(options.list), folder)
        elif options.pictures == "stamps":
            images = folder / "images"
            hierarchy, lists = stamp_pictures(images, folder)
        else:
            hierarchy = drawn_hierarchy()
            images = folder / "images"
            lists = draw_all(images, folder)
        compare(hierarchy, images, lists, folder, options)
    finally:
        shutil.rmtree(folder)


def compare(
    hierarchy: Hierarchy, images: Path, lists: tuple[Path, Path], folder: Path, options: argparse.Namespace
) -> None:
    """Train and measure both for every seed, and print."""
    tables = {
        "raw labels only": annotate(lists[0], hierarchy, out=folder / "raw", propagation="none"),
        "with ancestors": annotate(lists[0], hierarchy, out=folder / "full"),
    }
    held_out = annotate(lists[1], hierarchy, out=folder / "held-out")
    print(
        f"{len(tables['with ancestors'])} training pictures, {len(held_out)} held out; {len(hierarchy)} categories, "
        f"{len(hierarchy.leaves)} of them leaves; {options.model} at {options.size} pixels, {options.loss}, "
        f"{options.epochs} epochs, {options.seeds} seeds\n"
    )
    columns = ("leaf top-1", "leaf mAP", "ancestor mAP")
    print(f"{'':18} {'seed':>4} {columns[0]:>11} {columns[1]:>11} {columns[2]:>13} {'seconds':>8}")
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in tables}
    for seed in range(options.seeds):
        for name, table in tables.items():
            began = time.perf_counter()
            out = folder / f"run-{name.split()[0]}-{seed}"
            path = train(
                TrainConfig(
                    table=str(table.folder),
                    images=str(images),
                    out=str(out),
                    model=options.model,
                    size=options.size,
                    epochs=options.epochs,
                    batch=32,
                    workers=0,
                    loss=options.loss,
                    schedule="cosine",
                    learning_rate=options.learning_rate,
                    warm_up=2.0,
                    seed=seed,
                    device="cpu",
                )
            )
            if path.name != MODEL:  # the trainer saves and returns
                raise SystemExit("stopped by a signal")
            values = measure(path, held_out.folder, images)
            found[name].append(values)
            seconds = time.perf_counter() - began
            print(
                f"{name:18} {seed:>4} {values[0]:>11.3f} {values[1]:>11.3f} {values[2]:>13.3f} {seconds:>8.0f}",
                flush=True,
            )
    print()
    for name, values in found.items():
        array = np.array(values)
        mean, spread = array.mean(axis=0), array.std(axis=0, ddof=1) if len(array) > 1 else np.zeros(3)
        print(f"{name:18} mean ± sd " + "  ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)))
    gain = np.array(found["with ancestors"]) - np.array(found["raw labels only"])
    better = (gain > 0).sum(axis=0)
    print(
        "gain               "
        + "; ".join(
            f"{column} {g:+.3f} (better in {b} of {len(gain)} seeds)"
            for column, g, b in zip(columns, gain.mean(axis=0), better, strict=True)
        )
    )


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


def split_list(path: Path, folder: Path) -> tuple[Path, Path]:
    """The list in two: training, and every fourth image by the hash of its name."""
    parts: tuple[list[str], list[str]] = ([], [])
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        parts[zlib.crc32(line.partition("\t")[0].encode()) % 4 == 0].append(line)
    names = (folder / "training.txt", folder / "held-out.txt")
    for name, lines in zip(names, parts, strict=True):
        name.write_text("".join(lines), encoding="utf-8")
    return names


# The photographs ------------------------------------------------------------------------------------------------------


class OneObject(SceneMaker):
    """Scenes of one object each, of every kind equally many."""

    def _objects(self, rng: np.random.Generator) -> list[str]:
        keys = self.collection.keys
        return [keys[int(rng.integers(len(keys)))]]


def stamp_pictures(images: Path, folder: Path) -> tuple[Hierarchy, tuple[Path, Path]]:
    """Put photographs before backgrounds; half of the training pictures are labelled with the group only."""
    cache = Path(pooch.os_cache("mlimages"))
    found = find_stamps(cache) or fetch_stamps(cache)
    if not isinstance(found, Path):
        raise SystemExit(f"no photographs ({found}): run {APT_LINE}")
    stamps = read_stamps(found)
    animals = tuple(each for each in stamps.cutouts if ANIMAL in close_upwards([each.key]))
    collection = Collection("animals", animals, companions=())
    hierarchy = objects_hierarchy(collection.keys)
    maker = OneObject(collection)
    names = (folder / "training.txt", folder / "held-out.txt")
    for name, count in zip(names, STAMP_PICTURES, strict=True):
        lines = []
        for number, scene in enumerate(maker.write(images, name.stem, count)):
            (key,) = scene.objects
            broad = name == names[0] and number % 2 == 1
            lines.append(f"{scene.name}\t{group(key, hierarchy) if broad else key}:1\n")
        name.write_text("".join(lines))
    print(f"{len(animals)} photographs of {len(collection.keys)} kinds of animals, one in each picture")
    return hierarchy, names


def group(key: str, hierarchy: Hierarchy) -> str:
    """The nearest category above with other leaves below it than those below `key`."""
    here = hierarchy.index(key)
    leaves = set(hierarchy.leaves.tolist())

    def below(index: int) -> set[int]:
        return leaves & {index, *hierarchy.descendants(index).tolist()}

    above = sorted(hierarchy.ancestors(here).tolist(), key=lambda index: (len(below(index)), index))
    return hierarchy.keys[next((index for index in above if below(index) - below(here)), here)]


# The drawn pictures ---------------------------------------------------------------------------------------------------


def drawn_hierarchy() -> Hierarchy:
    edges = [(family, group) for family, groups in FAMILIES.items() for group in groups]
    edges += [(group, shape) for group, shapes in GROUPS.items() for shape in shapes]
    keys = [*FAMILIES, *GROUPS, *(shape for shapes in GROUPS.values() for shape in shapes)]
    place = {key: index for index, key in enumerate(keys)}
    parents: list[list[int]] = [[] for _ in keys]
    for above, below in edges:
        parents[place[below]].append(place[above])
    return Hierarchy(keys, parents)


def draw_all(images: Path, folder: Path) -> tuple[Path, Path]:
    """Draw the pictures; half of the training ones are labelled with the group only."""
    images.mkdir()
    random = np.random.default_rng(0)
    group_of = {shape: group for group, shapes in GROUPS.items() for shape in shapes}
    shapes = list(group_of)
    names = (folder / "training.txt", folder / "held-out.txt")
    for name, count in zip(names, (TRAINING, VALIDATION), strict=True):
        lines = []
        for number in range(count):
            shape = shapes[number % len(shapes)]
            broad = name == names[0] and number // len(shapes) % 2 == 1
            file = f"{name.stem}-{number:04d}.jpg"
            draw(shape, random).save(images / file, quality=90)
            lines.append(f"{file}\t{group_of[shape] if broad else shape}:1\n")
        name.write_text("".join(lines))
    return names


def draw(shape: str, random: np.random.Generator) -> Image.Image:
    """One picture: the shape at four times the size, turned, made small, before noise."""
    side = 4 * SIDE
    mask = Image.new("L", (side, side))
    outline(ImageDraw.Draw(mask), shape, side)
    mask = mask.rotate(random.uniform(-20, 20))
    scale = int(SIDE * random.uniform(0.6, 0.9))
    mask = mask.resize((scale, scale), Image.Resampling.LANCZOS)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    noise = Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    picture = Image.blend(coarse, noise, 0.35).filter(ImageFilter.GaussianBlur(0.6))
    left, upper = (int(each) for each in random.integers(0, SIDE - scale + 1, 2))
    color = tuple(int(each) for each in random.integers(0, 256, 3))
    picture.paste(Image.new("RGB", mask.size, color), (left, upper), mask)
    return picture


def outline(pen: ImageDraw.ImageDraw, shape: str, side: int) -> None:
    """White on black, in a square of `side` pixels."""
    m, r = side / 2, side * 0.42

    def around(count: int, *, inner: float | None = None) -> list[tuple[float, float]]:
        steps = count * (2 if inner is not None else 1)
        radii = [r if inner is None or step % 2 == 0 else r * inner for step in range(steps)]
        turns = [2 * math.pi * step / steps - math.pi / 2 for step in range(steps)]
        return [(m + x * math.cos(turn), m + x * math.sin(turn)) for x, turn in zip(radii, turns, strict=True)]

    if shape.startswith("star"):
        pen.polygon(around(int(shape[4:]), inner=0.4), fill=255)
    elif shape in ("triangle", "square"):
        pen.polygon(around(3 if shape == "triangle" else 4), fill=255)
    elif shape in ("disc", "ring"):
        pen.ellipse([m - r, m - r, m + r, m + r], fill=255)
        if shape == "ring":
            pen.ellipse([m - r * 0.6, m - r * 0.6, m + r * 0.6, m + r * 0.6], fill=0)
    elif shape == "saltire":
        for tilt in (1, -1):
            pen.line([m - r, m - tilt * r, m + r, m + tilt * r], fill=255, width=side // 6)
    else:  # plus
        pen.rectangle([side * 0.42, side * 0.08, side * 0.58, side * 0.92], fill=255)
        pen.rectangle([side * 0.08, side * 0.42, side * 0.92, side * 0.58], fill=255)


if __name__ == "__main__":
    main()
