"""Settings of a run that reach the optimizer, the loss, the schedule and the data; and a few real photographs."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from mlimages.annotate.pipeline import annotate
from mlimages.models import TrainConfig, build_model, evaluate_top_k, load_model, train
from mlimages.models.evaluation.metrics import MultiLabelMetrics, TopKAccuracy
from mlimages.models.inference.inference import Inference
from mlimages.models.ranks import Ranks
from mlimages.models.training.run import Run
from mlimages.models.training.schedule import cosine, learning_rate, published, staircase
from mlimages.models.training.validation import Validation
from tests.models.runs import log_of

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture
def settings(pictures, tmp_path):
    return {
        "table": str(pictures.table),
        "images": str(pictures.images),
        "out": str(tmp_path / "run"),
        "model": "test_resnet",
        "size": 32,
        "epochs": 1,
        "batch": 20,
        "workers": 0,
        "device": "cpu",
    }


def test_decay_spares_batch_norm_unless_told_otherwise(settings):
    run = Run(TrainConfig(**settings, weight_decay=0.5, norm_decay=0.25, momentum=0.75), ALONE)
    decayed, spared = run.optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"], decayed["momentum"]) == (0.5, 0.25, 0.75)
    norms = [each for each in run.model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert sum(len(list(each.parameters())) for each in norms) == len(spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(run.model.parameters()))
    assert Run(TrainConfig(**settings), ALONE).optimizer.param_groups[1]["weight_decay"] == 0.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "published"}, published(batch=80)),
        ({"schedule": "published", "in_epochs": True}, published(batch=80, steps_per_epoch=10)),
        ({"schedule": "cosine", "warm_up": 2.0, "epochs": 5}, cosine(0.08, 50, warm_up=20)),
        ({"schedule": "staircase", "decay_every": 1.5, "learning_rate": 1.0}, staircase(1.0, 15)),
    ],
)
def test_schedule_follows_the_settings(settings, changes, expected):
    rate = learning_rate(TrainConfig(**settings | {"accumulate": 2} | changes), world=2, steps_per_epoch=10)
    assert [rate(step) for step in (0, 7, 19, 31, 49)] == [pytest.approx(expected(i)) for i in (0, 7, 19, 31, 49)]


def test_published_loss_takes_its_settings(settings):
    loss = Run(TrainConfig(**settings, neg_select=0.25, floor="paper", seed=4), ALONE).loss
    assert (loss.neg_select, loss.floor, loss.seed) == (0.25, 0.01, 4)


def test_model_is_compiled_where_asked(settings, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or model)
    train(TrainConfig(**settings, compile=True))
    assert [type(each).__name__ for each in compiled] == ["TimmModel"]


def test_published_weights_of_timm_are_asked_for(settings, monkeypatch):
    asked = []

    def build(name, *, num_classes, pretrained):
        asked.append(pretrained)
        return build_model(name, num_classes=num_classes)

    monkeypatch.setattr("mlimages.models.training.run.build_model", build)
    Run(TrainConfig(**settings, pretrained=True), ALONE)
    assert asked == [True]


def test_pictures_change_their_size_in_the_late_epoch(settings, monkeypatch):
    shapes = []
    original = torch.nn.Module.__call__

    def call(self, *arguments, **options):
        if type(self).__name__ == "TimmModel" and self.training:
            shapes.append(tuple(arguments[0].shape[2:]))
        return original(self, *arguments, **options)

    monkeypatch.setattr(torch.nn.Module, "__call__", call)
    path = train(TrainConfig(**settings | {"epochs": 3, "late_size": 48, "late_epoch": 2, "batch": 30}))
    assert shapes == [(32, 32)] * 4 + [(48, 48)] * 2
    assert load_model(path).card.preprocessing.size == 48


def test_counts_of_two_parts_add_up_to_those_of_the_whole():
    random = np.random.default_rng(0)
    scores, truth = random.random((40, 6)), random.integers(-1, 2, (40, 6)).astype(float)
    whole, one, two = (MultiLabelMetrics(6) for _ in range(3))
    whole.update(scores, truth)
    one.update(scores[:25], truth[:25])
    two.update(scores[25:], truth[25:])
    for into, other in zip(one.counts(), two.counts(), strict=True):
        into += other
    assert one.compute() == whole.compute()
    logits, labels = random.random((40, 6)), random.integers(0, 6, 40)
    whole, one, two = (TopKAccuracy() for _ in range(3))
    whole.update(logits, labels)
    one.update(logits[:25], labels[:25])
    two.update(logits[25:], labels[25:])
    for into, other in zip(one.counts(), two.counts(), strict=True):
        into += other
    assert one.compute() == whole.compute()


def test_validation_is_logged_and_changes_nothing(settings, pictures, tmp_path):
    plain = load_model(train(TrainConfig(**settings | {"epochs": 2}))).state_dict()
    watched = TrainConfig(
        **settings | {"epochs": 2, "out": str(tmp_path / "watched")},
        valid_table=str(pictures.table),
        valid_images=str(pictures.images),
    )
    after = load_model(train(watched)).state_dict()
    assert all(torch.equal(plain[name], after[name]) for name in plain)
    header, *lines = (tmp_path / "watched" / "validation.csv").read_text().splitlines()
    assert header.startswith("step,epoch,images,classes,map,")
    assert [line.split(",")[:3] for line in lines] == [["3", "1", "60.0"], ["6", "2", "60.0"]]


def test_images_per_second_do_not_count_the_time_of_validation(settings, pictures, monkeypatch):
    class Time:
        now = 0

        @classmethod
        def perf_counter(cls):
            cls.now += 1
            return cls.now

    def validation(self):
        Time.now += 1000
        return {"map": 0.5}

    monkeypatch.setattr("mlimages.models.training.loop.time", Time)
    monkeypatch.setattr(Validation, "__call__", validation)
    watched = {"valid_table": str(pictures.table), "valid_images": str(pictures.images)}
    path = train(TrainConfig(**settings | watched | {"epochs": 2, "log_every": 1}))
    assert [float(row["images_per_second"]) for row in log_of(path.parent)] == [20.0] * 6


def test_overfits_a_few_real_photographs(zoo, tmp_path):
    """24 windows, 8 each of three photographs that matplotlib and scikit-learn carry; it learns them by heart."""
    (tmp_path / "images").mkdir()
    photographs = {
        "puppy": np.asarray(Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")),
        "water": load_sample_image("china.jpg"),
        "rose": load_sample_image("flower.jpg"),
    }
    random = np.random.default_rng(0)
    lines = []
    for key, pixels in photographs.items():
        for number in range(8):
            top, left = (int(random.integers(0, side - 200)) for side in pixels.shape[:2])
            window = Image.fromarray(pixels[top : top + 200, left : left + 200]).resize((64, 64))
            window.save(tmp_path / "images" / f"{key}-{number}.jpg", quality=95)
            lines.append(f"{key}-{number}.jpg\t{key}:1\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "table")
    (tmp_path / "keys.txt").write_text("\n".join(photographs))
    path = train(
        TrainConfig(
            table=str(tmp_path / "table"),
            images=str(tmp_path / "images"),
            out=str(tmp_path / "run"),
            categories=str(tmp_path / "keys.txt"),
            model="test_resnet",
            size=48,
            epochs=50,  # half as many suffice for some seeds and not for others
            batch=12,
            workers=0,
            loss="softmax",
            schedule="cosine",
            learning_rate=0.1,
            device="cpu",
        )
    )
    how = Inference(workers=0, device="cpu")
    (result,) = evaluate_top_k(load_model(path), tmp_path / "table", tmp_path / "images", sizes=[48], how=how)
    assert (result.images, result.accuracy["top1"]) == (24, 1.0)
