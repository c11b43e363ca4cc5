"""Scenes of one to five cut-out objects on a background, with known contents."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlimages.demo.scenes.cutouts import Collection, Cutout
from mlimages.demo.scenes.textures import TEXTURES, texture
from mlimages.job.local import cores

SIDE = 144  # pixels, width and height of a scene
_QUALITY = 90  # of the JPEG
_BACKGROUNDS = 4  # of each texture
_MOST_OBJECTS = 5
_OFTENER = 4  # how many times as often an object with companions is the main one
_TRIES = 14  # positions tried per object
_MOST_COVERED = 0.35  # largest covered share of the smaller of two boxes

Box = tuple[int, int, int, int]  # left, upper, right, lower, in pixels


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene, by its path relative to the folder of images, and the synset ids of its objects, the main one first."""

    name: str
    objects: tuple[str, ...]

    @property
    def published(self) -> str:
        """The single published label: the synset of the main object."""
        return self.objects[0]


class SceneMaker:
    """Makes scenes. Each depends on the seed, its folder and its number only, not on the order in which they are
    made.
    """

    def __init__(self, collection: Collection, *, seed: int = 0) -> None:
        self.collection = collection
        self.seed = seed
        # objects with companions are chosen more often, so that a few thousand scenes show what is planted
        accompanied = {each.beside for each in collection.companions}
        self._mains = [key for key in collection.keys for _ in range(_OFTENER if key in accompanied else 1)]
        self._by_key: dict[str, list[Cutout]] = {}
        for each in collection.cutouts:
            self._by_key.setdefault(each.key, []).append(each)

    @cached_property
    def _backgrounds(self) -> list[Image.Image]:
        rng = np.random.default_rng([self.seed, 1])
        return [texture(name, size=2 * SIDE, rng=rng) for name in TEXTURES for _ in range(_BACKGROUNDS)]

    def make(self, folder: str, number: int) -> tuple[Scene, bytes]:
        """Make scene `number` of `folder`: the scene and its JPEG bytes."""
        rng = np.random.default_rng([self.seed, *folder.encode(), number])
        picture = self._background(rng)
        boxes: list[Box] = []
        objects: list[str] = []
        for place, key in enumerate(self._objects(rng)):
            cutouts = self._by_key[key]
            stamp = _varied(cutouts[rng.integers(len(cutouts))].picture, main=place == 0, rng=rng)
            box = _place(stamp, boxes, rng)
            if box is not None:
                _paste(picture, stamp, box)
                boxes.append(box)
                objects.append(key)
        data = io.BytesIO()
        _lit(picture, rng).save(data, "JPEG", quality=_QUALITY)
        return Scene(f"{folder}/{number:05d}.jpg", tuple(objects)), data.getvalue()

    def write(
        self, images: Path, folder: str, count: int, *, progress: Callable[[int, int], None] = lambda *_: None
    ) -> list[Scene]:
        """Write scenes 0 to `count` - 1 of `folder` below `images`, and return them in order."""
        (images / folder).mkdir(parents=True, exist_ok=True)
        self._backgrounds  # noqa: B018  (computed once, before the threads start)

        def one(number: int) -> Scene:
            scene, data = self.make(folder, number)
            (images / scene.name).write_bytes(data)
            return scene

        scenes = []
        for scene in _in_threads(one, count):
            scenes.append(scene)
            progress(len(scenes), count)
        return scenes

    def _objects(self, rng: np.random.Generator) -> list[str]:
        """The synset ids of a scene: the main object, its companions, and random others."""
        keys = self.collection.keys
        main = self._mains[rng.integers(len(self._mains))]
        companions = [each for each in self.collection.companions if each.beside == main]
        chosen = [main, *(each.key for each in companions if rng.random() < each.probability)]
        planted = {each.key for each in companions}
        more = min(int(rng.integers(0, 4)), _MOST_OBJECTS - len(chosen), len(keys) - len({main, *planted}))
        while more > 0:
            key = keys[rng.integers(len(keys))]
            if key not in chosen and key not in planted:
                chosen.append(key)
                more -= 1
        return chosen

    def _background(self, rng: np.random.Generator) -> Image.Image:
        whole = self._backgrounds[rng.integers(len(self._backgrounds))]
        left, upper = (int(each) for each in rng.integers(0, whole.width - SIDE, 2))
        part = whole.crop((left, upper, left + SIDE, upper + SIDE))
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def _in_threads(one: Callable[[int], Scene], count: int) -> Iterator[Scene]:
    """Results in order, from one thread per core; on an exception, calls that have not started are cancelled."""
    pool = ThreadPoolExecutor(cores())
    try:
        yield from pool.map(one, range(count))
    finally:
        pool.shutdown(cancel_futures=True)


def _varied(picture: Image.Image, *, main: bool, rng: np.random.Generator) -> Image.Image:
    """The cut-out randomly scaled, flipped and rotated."""
    longest = SIDE * rng.uniform(*((0.5, 0.72) if main else (0.26, 0.46)))
    scale = longest / max(picture.size)
    stamp = picture.resize([max(4, round(side * scale)) for side in picture.size], Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        stamp = stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return stamp.rotate(float(rng.normal(0, 7)), Image.Resampling.BILINEAR, expand=True)


def _place(stamp: Image.Image, boxes: list[Box], rng: np.random.Generator) -> Box | None:
    """The best of `_TRIES` random positions, that with the least overlap; None if all overlap too much."""
    best, least = None, _MOST_COVERED
    for _ in range(_TRIES):
        left = int(rng.integers(0, max(1, SIDE - stamp.width + 1)))
        upper = int(rng.integers(0, max(1, SIDE - stamp.height + 1)))
        box = (left, upper, left + stamp.width, upper + stamp.height)
        covered = max((_overlap(box, other) for other in boxes), default=0.0)
        if covered < least:
            best, least = box, covered
    return best


def _overlap(one: Box, other: Box) -> float:
    """Area of the intersection divided by that of the smaller box."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))


def _paste(picture: Image.Image, stamp: Image.Image, box: Box) -> None:
    """Paste the cut-out with a soft shadow."""
    alpha = stamp.getchannel("A")
    shadow = alpha.filter(ImageFilter.BoxBlur(3)).point(lambda value: value * 0.4)
    picture.paste((0, 0, 0), (box[0] + 3, box[1] + 4), shadow)
    picture.paste(stamp, box[:2], alpha)


def _lit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The scene under a coloured light with a linear falloff in a random direction."""
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.35)
    axis = np.linspace(-0.5, 0.5, SIDE)
    slope = 1 + fall * (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None])  # (H, W)
    color = rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3)
    lit: NDArray[np.float32] = np.asarray(picture, np.float32) * (slope[..., None] * color).astype(np.float32)
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8), "RGB")
