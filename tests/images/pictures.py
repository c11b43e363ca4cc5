"""Seeded pictures, and the types of the fixtures made of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image


def picture(seed: int, *, size: tuple[int, int] = (48, 36)) -> Image.Image:
    """A picture with a few coarse shapes, so that its perceptual hash means something."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


class Dataset(NamedTuple):
    """An annotation table and the folder of its images."""

    table: Path
    images: Path
    names: list[str]


MakeTable = Callable[[str], Path]
