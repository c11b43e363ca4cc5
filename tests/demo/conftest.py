"""A tiny demo of drawings, made once for all tests of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from mlimages.demo.report.results import Results
from mlimages.demo.run import run
from mlimages.demo.scenes.world import Size


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="session")
def demo_results(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The whole demo at a small size, without any photographs."""
    size = Size(labelled=120, training=192, held_out=48, seeds=1, epochs=2)
    return run(demo_folder, cache=tmp_path_factory.mktemp("cache"), size=size, pictures="shapes")
