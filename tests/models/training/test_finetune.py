"""Fine-tuning by the published recipe: its settings, what it keeps of the model it begins with, what it freezes."""

from __future__ import annotations

import csv

import pytest
import torch

from mlimages.errors import ModelError
from mlimages.models import (
    Inference,
    TrainConfig,
    build_model,
    evaluate_top_k,
    finetuning,
    load_model,
    save_model,
    train,
)
from tests.models.runs import run

SHOWN = ("puppy", "cat", "rose", "water")
HOW = Inference(batch=7, workers=0, size=32)


def test_recipe_is_the_published_one(tmp_path):
    save_model(build_model("resnet50-mlimages", num_classes=3), tmp_path / "start.safetensors")
    config = finetuning({"table": "t", "out": "o", "start": str(tmp_path / "start.safetensors"), "batch": 256})
    assert config.model == "resnet50-mlimages"
    assert (config.loss, config.categories, config.freeze) == ("softmax", "imagenet-1k", 2)
    assert (config.size, config.late_size, config.epochs, config.late_epoch) == (224, 299, 120, 90)
    assert (config.schedule, config.learning_rate, config.decay_every) == ("staircase", 0.1, 30.0)
    assert (config.weight_decay, config.norm_decay, config.least_area) == (1e-4, 1e-5, 0.05)


def test_recipe_gives_way_and_scales(pretrained):
    given = {"table": "t", "out": "o", "start": str(pretrained), "batch": 32, "epochs": 10, "size": 32}
    config = finetuning(given)
    assert (config.learning_rate, config.decay_every, config.late_epoch, config.freeze) == (0.0125, 2.5, 8, 0)
    assert finetuning(given | {"learning_rate": 1.0, "late_epoch": 3}).late_epoch == 3
    with pytest.raises(ModelError, match="begins with a trained model"):
        finetuning({"table": "t", "out": "o"})
    with pytest.raises(ModelError, match="start is 3: expected str"):
        finetuning({"table": "t", "out": "o", "start": 3})


def test_finetuned_model_tells_the_classes_at_both_sizes(pretrained, pictures, tmp_path):
    (tmp_path / "keys.txt").write_text("\n".join(SHOWN))
    options = {
        "start": pretrained, "table": pictures.table, "images": pictures.images, "out": tmp_path / "run",
        "categories": tmp_path / "keys.txt", "epochs": 8, "batch": 12, "size": 24, "late-size": 32, "workers": 0,
        "learning-rate": 0.1, "valid-table": pictures.table, "valid-images": pictures.images,
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in options.items()]
    result = run("finetune", *given, "--set=least_area=0.7", "--set=valid_every=3")
    assert result.exit_code == 0, result.exception
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert (model.card.activation, model.card.categories, model.card.preprocessing.size) == ("softmax", SHOWN, 32)
    small, large = evaluate_top_k(model, pictures.table, pictures.images, sizes=(24, 32), how=HOW)
    assert min(small.accuracy["top1"], large.accuracy["top1"]) > 0.9
    with (tmp_path / "run" / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [3, 6, 8]
    assert float(rows[-1]["top1"]) == large.accuracy["top1"]


def test_last_layer_for_other_categories_stays_new(pretrained, pictures, tmp_path, zoo):
    keys = [*zoo.keys[1:], zoo.keys[0]]  # as many, in another order
    (tmp_path / "keys.txt").write_text("\n".join(keys))
    path = train(
        TrainConfig(
            table=str(pictures.table),
            images=str(pictures.images),
            out=str(tmp_path / "run"),
            model="test_resnet",
            start=str(pretrained),
            categories=str(tmp_path / "keys.txt"),
            size=32,
            epochs=1,
            batch=60,
            workers=0,
            schedule="cosine",
            learning_rate=0.0,
        )
    )
    before, after = load_model(pretrained).state_dict(), load_model(path).state_dict()
    assert not torch.equal(before["backbone.fc.weight"], after["backbone.fc.weight"])
    assert torch.equal(before["backbone.conv1.0.weight"], after["backbone.conv1.0.weight"])


def test_frozen_stages_do_not_move_nor_do_their_statistics(pictures, tmp_path, zoo):
    start = build_model("resnet50-mlimages", num_classes=10)
    save_model(start, tmp_path / "start.safetensors", hierarchy=zoo)
    config = TrainConfig(
        table=str(pictures.table),
        images=str(pictures.images),
        out=str(tmp_path / "run"),
        model="resnet50-mlimages",
        start=str(tmp_path / "start.safetensors"),
        freeze=2,
        size=32,
        epochs=1,
        batch=30,
        workers=0,
        schedule="cosine",
        learning_rate=0.01,
    )
    before, after = start.state_dict(), load_model(train(config)).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("init_conv.", "stages.0.", "stages.1.")) for name in moved)
    assert {"logits.weight", "final_bn.running_mean", "stages.2.0.conv1.weight"} <= moved
