"""The suite of what needs torch: a table as batches of images, evaluated, predicted and trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.damage.damages import DAMAGES
from tests.damage.operations import Operation, command
from tests.damage.rewrites import REWRITES
from tests.damage.specimen import Specimens, zoo

SUBJECT = "table"
#: One or two of each kind: a command takes long here, and all read through the same class.
CASES = {
    name: (DAMAGES | REWRITES)[name]
    for name in (
        *("label too large", "label negative", "confidence NaN", "confidence above one", "origin 99"),
        *("confidences shorter", "confidence in the wrong row", "row group of cut lists", "label null", "name null"),
        *("list of labels null", "no column labels", "no column image", "no column origins", "labels are strings"),
        *("labels beyond 32 bits", "name not UTF-8", "column renamed", "part truncated", "part with zeroed pages"),
        *("part missing", "part empty", "part of fewer rows", "part of more rows", "part of no rows"),
        *("part of another hierarchy", "categories missing", "categories of another hierarchy", "part surplus"),
        *(
            "manifest not JSON",
            "manifest with parts a number",
            "manifest with rows negative",
            "manifest with parts none",
        ),
        *("manifest with categories one fewer", "manifest with categories a string", "manifest with a part outside"),
        *("pandas of lists", "Polars", "DuckDB with wide types", "every part of other types", "an empty part more"),
        *("names in a dictionary", "labels in a dictionary", "a row group a row", "columns in another order"),
    )
}
OPERATIONS: dict[str, Operation] = {}


def model(made: Specimens) -> Path:
    """One of timm's smallest networks, untrained."""
    import torch

    from mlimages.models import build_model, save_model

    path = made.folder / "model.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        save_model(build_model("test_resnet", num_classes=10), path, hierarchy=zoo())
    return path


def batches(made: Specimens, table: Path, out: Path) -> Any:
    import torch

    from mlimages.models.data.dataset import MultiHot, ParquetImages
    from mlimages.models.data.order import Batches
    from mlimages.models.data.preprocess import evaluation
    from mlimages.models.networks.card import Preprocessing

    torch.set_num_threads(1)
    images = ParquetImages(table, made.images, preprocess=evaluation(Preprocessing(), size=8), below=True)
    found = [images[ticket] for ticket in Batches([len(images)], batch=7, seed=None, drop_last=False)]
    dense = MultiHot(images.num_classes, unknown=-1)
    return [[each.names, list(each.broken.items()), dense(each).tolist()] for each in found]


def evaluate(made: Specimens, table: Path, out: Path) -> Any:
    arguments = ("evaluate", model(made), "--table", table, "--images", made.images, "--multi-label", "--json")
    return json.loads(command(*arguments, "--size", "32", "--workers", "0", "--device", "cpu"))[0] | {"model": None}


def predict(made: Specimens, table: Path, out: Path) -> Any:
    from tests.damage.operations import rows_of

    arguments = ("predict", "--teacher", model(made), "--images", table, "--root", made.images)
    command(*arguments, "--size", "32", "--device", "cpu", "--workers", "1", "--out", out / "made")
    found = rows_of(out / "made")
    return [[row["image"] for part in found["parts"] for row in part], found["counts"]]


def train(made: Specimens, table: Path, out: Path) -> Any:
    command(
        *("train", "--table", table, "--images", made.images, "--out", out / "run", "--model", "test_convnext"),
        *("--epochs", "1", "--batch", "12", "--workers", "0", "--device", "cpu", "--schedule", "cosine"),
        *("--learning-rate", "0.01", "--set", "size=32"),
    )
    return sorted(path.name for path in (out / "run").glob("*.safetensors"))


OPERATIONS["batches"] = batches
OPERATIONS["mlimages evaluate"] = evaluate
OPERATIONS["mlimages predict"] = predict
OPERATIONS["mlimages train"] = train
