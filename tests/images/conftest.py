"""A folder of seeded pictures, the annotation table of them, and a hostile server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mlimages import Hierarchy
from mlimages.annotate.pipeline import annotate
from tests.images.pictures import Dataset, MakeTable, encoded, picture

sys.path.insert(0, str(Path(__file__).parent))  # for `hostile`, here and in the processes that tests start

from hostile import HostileServer, hostile_server


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
