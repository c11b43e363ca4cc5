"""Seeded pictures, an annotation table of them, and a hostile server."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate

sys.path.insert(0, str(Path(__file__).parent))  # for `hostile`, here and in the processes that tests start

from hostile import HostileServer, hostile_server


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


@pytest.fixture
def make_table(tmp_path: Path, zoo: Hierarchy) -> MakeTable:
    """Write an image list; return the annotation table made of it."""

    def make(text: str) -> Path:
        source = tmp_path / "list.txt"
        source.write_text(text)
        annotate(source, zoo, out=tmp_path / "table", propagation="none")
        return tmp_path / "table"

    return make


@pytest.fixture
def dataset(tmp_path: Path, make_table: MakeTable) -> Dataset:
    """Forty JPEGs of 1 to 90 KB in folders, with one to three labels each."""
    images = tmp_path / "images"
    lines, names = [], []
    random = np.random.default_rng(5)
    for number in range(40):
        name = f"{number % 3}/bild-{number:02d}.jpg"
        path = images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(number)) + random.bytes(int(random.integers(0, 90_000))))
        labels = [f"{label}:{1 - label / 20:g}" for label in range(number % 3 + 1)]
        lines.append("\t".join([name, *labels]))
        names.append(name)
    return Dataset(make_table("\n".join(lines) + "\n"), images, names)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """A hostile server on the loopback address."""
    with hostile_server() as running:
        yield running
