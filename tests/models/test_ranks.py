"""Two real processes under torchrun, which speak gloo: they train and validate as one process does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

from mlimages.models import Inference, TrainConfig, evaluate_multi_label, load_model, train
from tests.models.runs import log_of, weights, write_toml


@pytest.fixture
def settings(pictures, tmp_path):
    return {
        "table": str(pictures.table),
        "images": str(pictures.images),
        "out": str(tmp_path / "run"),
        "size": 32,
        "epochs": 1,
        "workers": 0,
        "schedule": "cosine",
        "learning_rate": 0.01,
        "log_every": 1,
        "device": "cpu",
    }


def torchrun(config, *, world=2):
    """Train in that many processes; returns the finished command."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    return subprocess.run(
        [sys.executable, *launch, "-m", "mlimages", "train", "--config", str(config)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_two_processes_equal_one_with_twice_the_batch(settings, tmp_path):
    # without batch norm, whose statistics would tell ranks apart
    changes = settings | {"model": "test_convnext", "loss": "ml-images", "neg_select": 0.5}
    whole = train(TrainConfig(**changes, batch=12))
    two = torchrun(write_toml(tmp_path / "run.toml", changes | {"batch": 6, "out": str(tmp_path / "two")}))
    assert two.returncode == 0, two.stderr
    assert two.stdout == f"{tmp_path}/two/model.safetensors\n"  # once, not once a rank
    one, other = weights(whole), weights(tmp_path / "two" / "model.safetensors")
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-5
    assert [float(row["loss"]) for row in log_of(tmp_path / "two")] == [
        pytest.approx(float(row["loss"]), rel=1e-4) for row in log_of(whole.parent)
    ]


def test_validation_of_two_processes_is_that_of_the_saved_model_in_one(settings, pictures, tmp_path):
    values = settings | {"model": "test_resnet", "loss": "bce", "batch": 7, "learning_rate": 0.05}
    # 60 pictures are 4 batches of 7 on each rank, and 4 more, all of them the first rank's
    values |= {"valid_table": str(pictures.table), "valid_images": str(pictures.images)}
    two = torchrun(write_toml(tmp_path / "run.toml", values))
    assert two.returncode == 0, two.stderr
    with (tmp_path / "run" / "validation.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    model = load_model(tmp_path / "run" / "model.safetensors")
    how = Inference(batch=60, workers=0, device="cpu")
    expected = evaluate_multi_label(model, pictures.table, pictures.images, unknown="absent", how=how).metrics
    assert expected["images"] == 60
    assert {name: float(value) for name, value in found.items() if name not in ("step", "epoch")} == {
        name: pytest.approx(value, abs=1e-6, nan_ok=True) for name, value in expected.items()
    }
