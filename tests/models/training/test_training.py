"""The trainer: it learns, it logs, it stops and goes on."""

from __future__ import annotations

import errno
import io
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlimages.annotate.pipeline import annotate
from mlimages.errors import FormatError, JobError, ModelError
from mlimages.models import BinaryCrossEntropy, TrainConfig, load_model, train
from mlimages.models.data.dataset import MultiHot, ParquetImages
from mlimages.models.data.order import Ticket
from mlimages.models.data.preprocess import evaluation, normalised
from mlimages.models.ranks import Ranks
from mlimages.models.training.checkpoint import restore
from mlimages.models.training.log import RunLog
from mlimages.models.training.run import Run, run_folder
from mlimages.models.training.schedule import cosine, published, staircase
from tests.models.runs import log_of, run, weights, write_toml


@pytest.fixture
def settings(pictures, tmp_path):
    return {
        "table": str(pictures.table),
        "images": str(pictures.images),
        "out": str(tmp_path / "run"),
        "model": "test_convnext",  # no batch norm, whose statistics would tell ranks and parts apart
        "size": 32,
        "epochs": 2,
        "batch": 12,
        "workers": 0,
        "schedule": "cosine",
        "learning_rate": 0.01,
        "log_every": 1,
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def stop_at(monkeypatch, step):
    """Send SIGTERM to ourselves in a step, as a scheduler would."""
    original, seen = RunLog.broken, []

    def broken(self, batches):
        seen.append(1)
        if len(seen) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batches)

    monkeypatch.setattr(RunLog, "broken", broken)


def test_training_learns_what_the_pictures_show(settings, pictures, zoo):
    path = train(
        TrainConfig(
            **settings | {"model": "test_resnet", "size": 32, "loss": "bce", "epochs": 16, "learning_rate": 0.03}
        )
    )
    model = load_model(path)
    assert model.card.categories == zoo.keys
    assert model.card.fingerprint == zoo.fingerprint
    preprocess = evaluation(model.card.preprocessing, size=32)
    batch = ParquetImages(pictures.table, pictures.images, preprocess=preprocess)[Ticket(0, 0, np.arange(60))]
    with torch.no_grad():
        logits = model(normalised(batch.pictures, model.card.preprocessing))
    shown = zoo.index(["puppy", "cat", "rose", "water"])
    assert shown[logits[:, shown].argmax(dim=1)].tolist() == shown.tolist() * 15
    # hue is what tells these pictures apart, and jitter changes it: only without it the loss is small
    assert BinaryCrossEntropy()(logits, MultiHot(10)(batch)) < float(log_of(settings["out"])[0]["loss"]) / 3


def test_log_counts_steps_epochs_and_images(settings):
    train(TrainConfig(**settings))
    rows = log_of(settings["out"])
    assert [int(row["step"]) for row in rows] == list(range(1, 11))
    assert [int(row["epoch"]) for row in rows] == [0] * 4 + [1] * 5 + [2]
    assert [int(row["images"]) for row in rows] == list(range(12, 132, 12))
    assert [float(row["learning_rate"]) for row in rows] == [pytest.approx(cosine(0.01, 10)(i)) for i in range(10)]
    assert all(float(row["images_per_second"]) > 0 for row in rows)
    assert any((Path(settings["out"]) / "tensorboard").iterdir())


@pytest.mark.parametrize("step", [3, 5])
def test_run_that_sigterm_ended_goes_on_bit_for_bit(settings, tmp_path, monkeypatch, step):
    changes = {"loss": "ml-images", "neg_select": 0.5, "ema": 0.9, "model": "test_resnet"}
    whole = train(TrainConfig(**settings | changes))
    config = TrainConfig(**settings | changes | {"out": str(tmp_path / "stopped")})
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        assert train(config).name == "checkpoint.pt"
    assert len(log_of(config.out)) == step
    again = train(config, resume=True)
    assert_same(weights(whole), weights(again))
    kept = ("step", "epoch", "images", "loss", "learning_rate")
    assert [[row[name] for name in kept] for row in log_of(whole.parent)] == [
        [row[name] for name in kept] for row in log_of(config.out)
    ]


def test_sigterm_to_all_processes_of_a_run_saves_it(settings, tmp_path):
    values = settings | {"workers": 1, "epochs": 2000}
    command = [sys.executable, "-m", "mlimages", "train", "--config", str(write_toml(tmp_path / "run.toml", values))]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    log = Path(values["out"]) / "log.csv"
    deadline = time.monotonic() + 60
    while not (log.is_file() and len(log.read_text().splitlines()) > 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == f"{values['out']}/checkpoint.pt\n"
    assert process.returncode == 0


def test_half_a_line_of_a_log_does_not_stop_a_run_from_going_on(settings, monkeypatch):
    config = TrainConfig(**settings)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        train(config)
    with (Path(config.out) / "log.csv").open("a") as file:
        file.write("3,0,3")
    train(config, resume=True)
    assert [int(row["step"]) for row in log_of(config.out)] == list(range(1, 11))


def test_killed_run_goes_on_from_its_last_checkpoint(settings, tmp_path, monkeypatch):
    whole = train(TrainConfig(**settings))
    config = TrainConfig(**settings | {"out": str(tmp_path / "killed"), "save_every": 2})

    class KilledError(Exception):
        pass

    def die(self, position, **_):
        if position.step == 7:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "line", die)
        with pytest.raises(KilledError):
            train(config)
    assert_same(weights(whole), weights(train(config, resume=True)))


def test_run_goes_on_where_its_data_were_moved_to(settings, tmp_path, monkeypatch):
    whole = train(TrainConfig(**settings))
    config = TrainConfig(**settings | {"out": str(tmp_path / "moved")})
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        train(config)
    elsewhere = {name: str(shutil.copytree(settings[name], tmp_path / f"new-{name}")) for name in ("table", "images")}
    assert_same(weights(whole), weights(train(replace(config, **elsewhere), resume=True)))


def test_finished_run_has_nothing_to_do(settings):
    config = TrainConfig(**settings)
    first = weights(train(config))
    assert_same(first, weights(train(config, resume=True)))


def test_accumulated_batches_equal_one_of_their_size(settings, tmp_path):
    changes = {"loss": "ml-images", "neg_select": 0.5}
    whole = train(TrainConfig(**settings | changes))
    parts = train(TrainConfig(**settings | changes | {"batch": 4, "accumulate": 3, "out": str(tmp_path / "parts")}))
    one, other = weights(whole), weights(parts)
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-5


@pytest.mark.parametrize("loss", ["asymmetric", "max-constraint", "softmax"])
def test_every_loss_trains(settings, loss):
    train(TrainConfig(**settings | {"loss": loss, "epochs": 1, "model": "test_resnet"}))
    assert all(math.isfinite(float(row["loss"])) for row in log_of(settings["out"]))


def test_bf16_and_channels_last_train(settings):
    train(TrainConfig(**settings | {"bf16": True, "channels_last": False, "epochs": 1}))
    assert all(math.isfinite(float(row["loss"])) for row in log_of(settings["out"]))


def test_chosen_categories_are_the_outputs(settings, tmp_path):
    (tmp_path / "keys.txt").write_text("cat\nanimal\n")
    model = load_model(train(TrainConfig(**settings | {"categories": str(tmp_path / "keys.txt"), "epochs": 1})))
    assert model.card.categories == ("cat", "animal")
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_start_takes_over_all_but_another_last_layer(settings, tmp_path):
    first = train(TrainConfig(**settings | {"epochs": 1}))
    (tmp_path / "keys.txt").write_text("cat\nanimal\n")
    changes = {"categories": str(tmp_path / "keys.txt"), "start": str(first), "learning_rate": 0.0, "weight_decay": 0.0}
    second = train(TrainConfig(**settings | changes | {"out": str(tmp_path / "second"), "epochs": 1}))
    one, other = weights(first), weights(second)
    assert [name for name in one if one[name].shape != other[name].shape] == [
        "backbone.head.fc.bias",
        "backbone.head.fc.weight",
    ]
    assert all(torch.equal(one[name], other[name]) for name in one if "head" not in name)


def test_loss_out_of_range_names_the_images(settings):
    with pytest.raises(
        ModelError, match=r"the loss of step 0 is [\d.]+, and not up to 0.001: its images are \d+\.png, "
    ):
        train(TrainConfig(**settings | {"greatest_loss": 0.001}))


def test_loss_that_is_not_a_number_names_the_images(settings):
    with pytest.raises(ModelError, match=r"the loss of step \d+ is (nan|inf), and not up to"):
        train(TrainConfig(**settings | {"learning_rate": 1e30, "greatest_loss": 1e38}))


def test_few_broken_pictures_are_counted_and_named_and_many_end_the_run(settings, pictures, tmp_path):
    (tmp_path / "images").mkdir()
    for path in pictures.images.iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "images" / "007.png").write_bytes(b"not found")
    values = settings | {"images": str(tmp_path / "images")}
    train(TrainConfig(**values))
    assert [int(row["broken"]) for row in log_of(values["out"])][-1] == 2
    lines = (Path(values["out"]) / "broken-0.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["007.png"] * 2
    with pytest.raises(ModelError, match=r"1 of \d+ pictures could not be read, more than most_broken=0.0: .*broken-0"):
        train(TrainConfig(**values | {"most_broken": 0.0, "out": str(tmp_path / "strict")}))


def test_run_in_the_way_and_other_settings_are_refused(settings):
    train(TrainConfig(**settings))
    with pytest.raises(ModelError, match="holds a run already: resume it, or choose another folder"):
        train(TrainConfig(**settings))
    with pytest.raises(ModelError, match="begun with other settings: batch was 12, now 6"):
        train(TrainConfig(**settings | {"batch": 6}), resume=True)
    (Path(settings["out"]) / "checkpoint.pt").write_bytes(b"rubbish")
    with pytest.raises(FormatError, match=r"checkpoint\.pt: not a training checkpoint"):
        train(TrainConfig(**settings), resume=True)


def test_folder_that_another_run_writes_to_or_that_is_a_file_is_refused(settings, tmp_path, monkeypatch):
    alone, out = Ranks(0, 1, torch.device("cpu")), Path(settings["out"])
    refused = []
    with monkeypatch.context() as patch:
        message = "run: another run is writing here: wait for it, or choose another folder"

        def second(*_, **__):
            with pytest.raises(ModelError, match=message) as error, run_folder(out, alone, patience=0.1):
                pass
            refused.append(error)

        patch.setattr(RunLog, "line", second)
        train(TrainConfig(**settings | {"epochs": 1, "batch": 60}))
    assert len(refused) == 1
    train(TrainConfig(**settings | {"epochs": 1, "batch": 60}), resume=True)  # it is free again
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file: is a file, expected the folder of a run"):
        train(TrainConfig(**settings | {"out": str(tmp_path / "file")}))


def test_run_of_another_table_or_number_of_ranks_is_refused(settings, pictures, zoo, tmp_path):
    values = settings | {"table": str(tmp_path / "table"), "epochs": 1}
    (tmp_path / "one.txt").write_text("".join(f"{number:03d}.png\tpuppy:1\n" for number in range(24)))
    (tmp_path / "other.txt").write_text("".join(f"{number:03d}.png\tcat:1\n" for number in range(24)))
    annotate(tmp_path / "one.txt", zoo, out=values["table"])
    train(TrainConfig(**values))
    config, two = TrainConfig(**values), Ranks(0, 2, torch.device("cpu"))
    with pytest.raises(ModelError, match="begun with another number of ranks: it was 1, and is now 2; use that"):
        restore(Run(config, two), Path(values["out"]) / "checkpoint.pt")
    shutil.rmtree(values["table"])
    annotate(tmp_path / "other.txt", zoo, out=values["table"])
    with pytest.raises(ModelError, match="begun with another content of the table"):
        train(config, resume=True)


@pytest.mark.parametrize("part", [0.3, 0.9, 1.0])
def test_damaged_checkpoint_is_refused(settings, part):
    train(TrainConfig(**settings | {"epochs": 1}))
    path = Path(settings["out"]) / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    for at in range(int(part * len(data)) - 500, int(part * len(data)), 50):
        data[at] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"checkpoint\.pt: .*a damaged"):
        train(TrainConfig(**settings | {"epochs": 1}), resume=True)


def test_full_disk_is_told_and_the_checkpoint_before_is_kept(settings, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            if self.tell() > 100_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    @contextmanager
    def full(path):
        with Full(path.with_name("full"), "w") as file:
            yield file

    monkeypatch.setattr("mlimages.models.training.checkpoint.replacing", full)
    with pytest.raises(JobError, match=r"checkpoint\.pt: cannot be written .*: make room and resume"):
        train(TrainConfig(**settings))


def test_checkpoint_that_would_run_code_is_refused(settings, tmp_path):
    train(TrainConfig(**settings | {"epochs": 1}))
    torch.save({"format": Path("x")}, Path(settings["out"]) / "checkpoint.pt")
    with pytest.raises(FormatError, match="not a training checkpoint, or a damaged one"):
        train(TrainConfig(**settings | {"epochs": 1}), resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge': expected one of ml-images, bce"),
        ({"batch": 0}, "batch is 0: expected at least 1"),
        ({"ema": 1.0}, "ema is 1.0: expected from 0 to below 1"),
        ({"unknown": "maybe"}, "unknown is 'maybe': expected one of absent, left-out, below"),
        ({"start": "a", "pretrained": True}, "begins with one or the other"),
        ({"accumulate": 6}, "accumulate is 6: an epoch has only 5 batches"),
        ({"batch": 61}, "60 images do not fill one batch of 61"),
        ({"freeze": 2}, "freeze is for the published networks: test_convnext is none"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"model": "test_vit", "late_size": 299, "late_epoch": 2}, "test_vit does not take .* 299 pixels .* for 160"),
        ({"seed": -1}, "seed is -1: expected from 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan: expected a finite number"),
        ({"learning_rate": -0.1}, "learning_rate is -0.1: expected at least 0"),
        ({"schedule": "published", "learning_rate": 0.0}, "learning_rate is 0.0, which the schedule published would"),
        ({"schedule": "staircase", "warm_up": 1.0}, "warm_up is 1.0, which the schedule staircase would pass over"),
        ({"in_epochs": True}, "in_epochs is True, which the schedule cosine would pass over: it is for published"),
        ({"device": "meta"}, "device 'meta' cannot be used"),
        ({"most_broken": -0.1}, "most_broken is -0.1: expected at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, changes, message):
    with pytest.raises(ModelError, match=message):
        train(TrainConfig(**settings | changes))


def test_seed_may_be_a_date_or_any_other_number(settings):
    short = settings | {"epochs": 1, "batch": 60}
    for seed in (20240101, (1 << 63) - 1):
        train(TrainConfig(**short | {"seed": seed, "out": f"{settings['out']}-{seed}"}))


def test_configuration_comes_from_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('table = "t"\nout = "o"\nepochs = 3\nschedule = "cosine"\nlearning_rate = 1\n')
    config = TrainConfig.from_toml(path, batch=5)
    assert (config.table, config.epochs, config.learning_rate, config.batch) == ("t", 3, 1.0, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table = ", "not TOML"),
        ('table = "t"\nout = "o"\nepoch = 3', "unknown settings epoch: expected table, out"),
        ('out = "o"', "table must be given"),
        ('table = "t"\nout = "o"\nepochs = "3"', "epochs is '3': expected int"),
        ('table = "t"\nout = "o"\nepochs = true', "epochs is True: expected int"),
    ],
)
def test_toml_that_makes_no_sense_is_refused(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        TrainConfig.from_toml(path)


# schedules ------------------------------------------------------------------------------------------------------------


def test_published_schedule_as_published():
    rate = published()
    assert [rate(step) for step in (0, 4_399, 4_400, 8_800)] == [
        pytest.approx(value) for value in (0.01, 0.01, 0.01297, 0.01 * 1.297**2)
    ]
    assert [rate(step) for step in (35_200, 109_999, 110_000, 330_000)] == [
        pytest.approx(value) for value in (0.08, 0.08, 0.008, 0.00008)
    ]


def test_published_schedule_follows_the_batch_and_the_epochs():
    half = published(batch=2048)
    assert half(8_799) == pytest.approx(0.005)
    assert half(8_800) == pytest.approx(0.005 * 1.297)
    epochs = published(steps_per_epoch=10)
    assert [epochs(step) for step in (9, 10, 80, 249, 250)] == [
        pytest.approx(value) for value in (0.01, 0.01297, 0.08, 0.08, 0.008)
    ]


def test_staircase_needs_a_step():
    with pytest.raises(ModelError, match="every is 0 steps"):
        staircase(0.1, 0)


# the command ----------------------------------------------------------------------------------------------------------


def test_command_trains_from_options_and_resumes(settings):
    arguments = [
        f"--{name.replace('_', '-')}={settings[name]}" for name in settings if name not in ("size", "log_every")
    ]
    arguments += ["--set", "size=32", "--set", "log_every=1", "--set", "channels_last=false"]
    model = f"{settings['out']}/model.safetensors"
    assert run("train", *arguments).stdout == f"{model}\n"
    assert len(log_of(settings["out"])) == 10
    assert "holds a run already" in str(run("train", *arguments).exception)
    assert run("train", *arguments, "--resume").stdout == f"{model}\n"


def test_command_reads_toml_and_options_win(settings, tmp_path):
    result = run("train", "--config", write_toml(tmp_path / "run.toml", settings), "--epochs", 1, "--batch", 20)
    assert result.exit_code == 0, result.exception
    assert len(log_of(settings["out"])) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "t"], "out must be given"),
        (["--table", "t", "--out", "o", "--set", "size"], "--set size: expected name=value"),
        (["--table", "t", "--out", "o", "--set", "sise=3"], "unknown settings sise"),
        (["--table", "t", "--out", "o", "--set", "size=large"], "size is 'large': expected int"),
        (["--table", "nowhere", "--out", "o"], "nowhere"),
    ],
)
def test_command_refuses_what_makes_no_sense(arguments, message):
    assert message in str(run("train", *arguments).exception)
