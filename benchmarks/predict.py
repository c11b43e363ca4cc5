"""How fast a teacher predicts: `predict_images` against a plain loop over torch's loader, in one run.

python benchmarks/predict.py [--model NAME] [--images 256]; prints images a second and their ratio.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mlimages import Hierarchy
from mlimages.models import Teacher, build_model, predict_images
from mlimages.models.data.preprocess import normalised


def pictures(folder: Path, count: int) -> None:
    """Write JPEGs with the typical dimensions and file size of ImageNet."""
    random = np.random.default_rng(0)
    for number in range(count):
        small = random.integers(0, 256, (25, 33, 3), dtype=np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(
            folder / f"{number:05d}.jpg", quality=95
        )


class Files(torch.utils.data.Dataset[torch.Tensor]):
    """A dataset of the preprocessed images of a folder."""

    def __init__(self, folder: Path, teacher: Teacher) -> None:
        self.paths, self.preprocess = sorted(folder.iterdir()), teacher.preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.preprocess(Image.open(self.paths[index]).convert("RGB"))


def plain_loop(folder: Path, teacher: Teacher, network: torch.nn.Module, workers: int) -> None:
    loader = torch.utils.data.DataLoader(Files(folder, teacher), batch_size=64, num_workers=workers)
    with torch.inference_mode():
        for batch in loader:
            torch.sigmoid(network(normalised(batch, teacher.preprocessing)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50-mlimages")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--outputs", type=int, default=1134)
    options = parser.parse_args()
    hierarchy = Hierarchy([f"c{i}" for i in range(options.outputs)], [[]] * options.outputs)
    torch.manual_seed(0)
    network = build_model(options.model, num_classes=options.outputs)
    teacher = Teacher.from_network(network, hierarchy, classes=hierarchy.keys)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        pictures(folder, options.images)
        rates = {}
        for name, run in {
            "plain loop, torch loader": lambda: plain_loop(folder, teacher, network, cores),
            "predict_images": lambda: predict_images(teacher, folder, Path(place) / "out", device="cpu"),
        }.items():
            began = time.perf_counter()
            run()
            rates[name] = options.images / (time.perf_counter() - began)
            print(f"{options.model}, {cores} cores, {name}: {rates[name]:.1f} images/s")
        print(f"ratio: {rates['predict_images'] / rates['plain loop, torch loader']:.2f}")


if __name__ == "__main__":
    main()
