"""A table of small pictures whose colour tells what they show.

The TensorFlow script is run by a test, in another environment; it is not to be imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from mlimages.annotate.pipeline import annotate
from mlimages.models import build_model, save_model

collect_ignore = ["tensorflow_reference.py", "tensorflow_slim_reference.py"]


# threads that wait for each other cost small networks more than they bring, above all beside other tests
torch.set_num_threads(1)


class Pictures(NamedTuple):
    """An annotation table of 60 pictures in four parts, and the folder of the pictures."""

    table: Path
    images: Path


COLOURS = {"puppy": (220, 40, 40), "cat": (40, 220, 40), "rose": (40, 40, 220), "water": (220, 220, 40)}


@pytest.fixture(scope="session")
def pictures(zoo, tmp_path_factory) -> Pictures:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for part in range(4):
        lines = []
        for number in range(part * 15, part * 15 + 15):
            key = list(COLOURS)[number % 4]
            noise = random.integers(-30, 30, (40, 50, 3))
            pixels = (np.array(COLOURS[key]) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{number:03d}.png")
            lines.append(f"{number:03d}.png\t{key}:1\tstuff:0\n" if key == "cat" else f"{number:03d}.png\t{key}:1\n")
        (folder / f"{part}.txt").write_text("".join(lines))
    annotate(sorted(folder.glob("*.txt")), zoo, out=folder / "table")
    return Pictures(folder / "table", folder / "images")


@pytest.fixture
def pretrained(tmp_path, zoo):
    """A published ResNet-50 would be slow: one of timm's smallest, with the categories of the zoo."""
    model = build_model("test_resnet", num_classes=10)
    path = tmp_path / "pretrained.safetensors"
    save_model(model, path, hierarchy=zoo)
    return path
