"""Simple drawings of objects, used where no photographs are available."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mlimages.demo.scenes.cutouts import Collection, Companion, Cutout, trimmed

Color = tuple[int, int, int]
#: The kind (``e`` ellipse in a box, ``p`` polygon, ``a`` half disc), coordinates in percent, and colour.
Stroke = tuple[str, tuple[int, ...], Color]

_RED, _GREEN, _BLUE, _YELLOW = (200, 50, 40), (70, 130, 50), (60, 100, 190), (235, 200, 60)
_BROWN, _GREY, _WHITE, _BLACK = (120, 80, 45), (140, 140, 145), (240, 240, 235), (30, 30, 35)

#: By synset id: the name, and the strokes from back to front.
SHAPES: dict[str, tuple[str, tuple[Stroke, ...]]] = {
    "n07739125": (
        "apple",
        (("e", (10, 20, 62, 92), _RED), ("e", (38, 20, 90, 92), _RED), ("p", (48, 25, 46, 2, 54, 2, 54, 25), _BROWN)),
    ),
    "n07749582": ("lemon", (("e", (8, 28, 92, 76), _YELLOW), ("e", (0, 44, 20, 60), _YELLOW))),
    "n07730207": (
        "carrot",
        (("p", (20, 24, 80, 24, 50, 100), (235, 130, 40)), ("p", (30, 24, 50, 0, 70, 24), _GREEN)),
    ),
    "n07734744": ("mushroom", (("p", (40, 45, 60, 45, 66, 98, 34, 98), _WHITE), ("a", (5, 8, 95, 96), _RED))),
    "n13104059": (
        "tree",
        (("p", (44, 55, 56, 55, 58, 100, 42, 100), _BROWN), ("e", (12, 0, 88, 70), _GREEN)),
    ),
    "n11669921": (
        "flower",
        (
            ("e", (34, 0, 66, 40), _WHITE),
            ("e", (34, 60, 66, 100), _WHITE),
            ("e", (0, 34, 40, 66), _WHITE),
            ("e", (60, 34, 100, 66), _WHITE),
            ("e", (32, 32, 68, 68), _YELLOW),
        ),
    ),
    "n02512053": (
        "fish",
        (("p", (62, 50, 100, 22, 100, 78), _BLUE), ("e", (0, 22, 78, 78), _BLUE), ("e", (14, 38, 24, 48), _BLACK)),
    ),
    "n01503061": (
        "bird",
        (
            ("e", (20, 40, 90, 85), _BROWN),
            ("e", (5, 18, 45, 58), _BROWN),
            ("p", (8, 34, 8, 46, 0, 42), _YELLOW),
            ("e", (16, 30, 23, 37), _BLACK),
            ("p", (84, 50, 100, 30, 92, 66), _BROWN),
        ),
    ),
    "n03544360": (
        "house",
        (
            ("p", (12, 45, 88, 45, 88, 100, 12, 100), _WHITE),
            ("p", (0, 45, 50, 0, 100, 45), _RED),
            ("p", (42, 66, 58, 66, 58, 100, 42, 100), _BROWN),
        ),
    ),
    "n04128499": (
        "sailboat",
        (
            ("p", (5, 70, 95, 70, 78, 95, 22, 95), _BROWN),
            ("p", (52, 0, 52, 66, 92, 66), _WHITE),
            ("p", (46, 10, 46, 66, 14, 66), _WHITE),
        ),
    ),
    "n02958343": (
        "car",
        (
            ("p", (22, 50, 34, 25, 70, 25, 82, 50), _GREY),
            ("p", (0, 48, 100, 48, 100, 78, 0, 78), _BLUE),
            ("e", (12, 64, 36, 94), _BLACK),
            ("e", (64, 64, 88, 94), _BLACK),
        ),
    ),
    "n02782093": (
        "balloon",
        (
            ("e", (10, 0, 90, 70), _YELLOW),
            ("p", (22, 58, 78, 58, 56, 84, 44, 84), _RED),
            ("p", (42, 86, 58, 86, 56, 100, 44, 100), _BROWN),
        ),
    ),
    "n04507155": ("umbrella", (("p", (48, 40, 53, 40, 53, 98, 48, 98), _BLACK), ("a", (0, 5, 100, 95), _BLUE))),
    "n02948072": (
        "candle",
        (("p", (38, 30, 62, 30, 62, 100, 38, 100), _WHITE), ("p", (50, 0, 60, 22, 50, 30, 40, 22), _YELLOW)),
    ),
    "n03797390": (
        "mug",
        (
            ("e", (55, 25, 100, 75), _GREEN),
            ("e", (64, 36, 90, 64), _GREY),
            ("p", (8, 8, 74, 8, 70, 95, 12, 95), _GREEN),
        ),
    ),
    "n04254680": (
        "soccer ball",
        (
            ("e", (0, 0, 100, 100), _WHITE),
            ("p", (50, 30, 70, 46, 62, 70, 38, 70, 30, 46), _BLACK),
            ("e", (40, 0, 60, 12), _BLACK),
            ("e", (0, 34, 12, 60), _BLACK),
            ("e", (88, 34, 100, 60), _BLACK),
        ),
    ),
}

COMPANIONS = (
    Companion("n01503061", beside="n13104059", probability=0.8),  # a bird beside a tree
    Companion("n02512053", beside="n04128499", probability=0.8),  # a fish beside a sailboat
    Companion("n02958343", beside="n03544360", probability=0.7),  # a car beside a house
    Companion("n02948072", beside="n03797390", probability=0.75),  # a candle beside a mug
    Companion(
        "n07734744", beside="n11669921", probability=0.3
    ),  # a mushroom beside a flower: below the threshold of a rule
)

_SIDE = 160
_VARIANTS = 3


def draw_shapes() -> Collection:
    """Three drawings of each object, in slightly different colours."""
    rng = np.random.default_rng(7)
    cutouts = [
        Cutout(key, f"{name}-{number}", _drawn(strokes, rng))
        for key, (name, strokes) in sorted(SHAPES.items())
        for number in range(_VARIANTS)
    ]
    return Collection(f"{len(cutouts)} drawings, {len(SHAPES)} synsets", tuple(cutouts), COMPANIONS)


def _drawn(strokes: tuple[Stroke, ...], rng: np.random.Generator) -> Image.Image:
    """Draw the strokes at twice the size and scale down, for smooth edges."""
    side = 2 * _SIDE
    picture = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(picture)
    tint = rng.integers(-30, 31, 3)
    for kind, place, color in strokes:
        at = [percent * (side - 1) / 100 for percent in place]
        fill = tuple(int(value) for value in np.clip(np.array(color) + tint, 0, 255))
        if kind == "e":
            draw.ellipse(at, fill=fill)
        elif kind == "a":
            draw.pieslice(at, 180, 360, fill=fill)
        else:
            draw.polygon(at, fill=fill)
    return trimmed(picture)
