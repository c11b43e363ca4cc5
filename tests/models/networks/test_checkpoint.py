"""Weights in files: the published names mapped, safetensors with a card, and errors that list what is wrong."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from mlimages import Hierarchy
from mlimages.cli import app
from mlimages.errors import DataNotFoundError, FormatError, ModelError
from mlimages.models import (
    Architecture,
    ModelCard,
    Preprocessing,
    PublishedResNet,
    TensorFlowCheckpoint,
    build_model,
    convert,
    load_model,
    read_card,
    save_model,
)
from mlimages.models.networks.checkpoint import _mapping
from tests.models.bundle_writer import write_bundle

TINY = Path(__file__).parent / "data" / "tiny" / "model.ckpt"
SHAPE = Architecture(blocks=(2, 1, 1, 1), widths=(8, 8, 16, 24), stem=4)


@pytest.fixture
def variables():
    """What TensorFlow wrote for the narrow network, by name."""
    checkpoint = TensorFlowCheckpoint(TINY)
    return {name: checkpoint[name] for name in checkpoint}


def test_every_variable_finds_its_place(variables):
    state = load_model(TINY, architecture=SHAPE).state_dict()
    kernel = variables["stages_0_block_0/conv2_b2/conv2d/kernel"]  # height, width, inputs, outputs
    assert state["stages.0.0.conv2.weight"][1, 0, 2, 0] == kernel[2, 0, 0, 1]
    assert state["logits.weight"][3, 7] == variables["logits/dense/kernel"][7, 3]
    assert np.array_equal(
        state["stages.3.0.shortcut_bn.running_var"],
        variables["stages_3_block_0/conv1_b1_bn/batch_normalization/moving_variance"],
    )
    assert sum(value.numel() for value in state.values() if value.dtype == torch.float32) == sum(
        value.size for name, value in variables.items() if "/" in name and "Momentum" not in name
    )


def test_loaded_network_is_in_evaluation_mode():
    assert not load_model(TINY, architecture=SHAPE).training
    assert not load_model(f"{TINY}.index", architecture=SHAPE).training


def test_what_is_missing_surplus_and_misshapen_is_listed(tmp_path, variables):
    del variables["global_pool/bn/batch_normalization/gamma"]
    del variables["stages_0_block_1/conv1_b2/conv2d/kernel"]
    variables["logits/dense/kernel"] = np.zeros((24, 4), np.float32)
    variables["Variable_2"] = variables["extra/kernel"] = np.zeros(1, np.float32)
    write_bundle(tmp_path / "m", variables)
    with pytest.raises(FormatError) as caught:
        load_model(tmp_path / "m", architecture=SHAPE)
    assert str(caught.value) == (
        f"{tmp_path}/m.index: the variables do not make the network: 2 missing: "
        "stages_0_block_1/conv1_b2/conv2d/kernel, global_pool/bn/batch_normalization/gamma; "
        "2 surplus: Variable_2, extra/kernel; 1 of another shape: logits/dense/kernel is [24, 4] for [24, 5]"
    )


def test_what_a_training_run_leaves_is_ignored(variables):
    left = {"global_step", "logits/dense/bias/Momentum", "Variable", "Variable_1"}
    assert left < set(variables)
    assert convert(TINY, architecture=SHAPE).card.num_classes == 5


def test_checkpoint_of_another_network_is_refused():
    with pytest.raises(FormatError, match=r"165 missing: .* and 65 more; 101 of another shape: init/init_conv"):
        load_model(TINY)


@pytest.mark.parametrize("name", ["resnet50-mlimages", "resnet101-mlimages", "resnet152-mlimages"])
def test_published_depth_is_told_from_the_names(name):
    from mlimages.models.networks.checkpoint import _nearest

    with torch.device("meta"):
        card = build_model(name, num_classes=3).card
    shapes = {source.name: source.shape for source in _mapping(card).values()}
    assert _nearest(shapes) == (name, card.architecture)
    last = [each for each in shapes if each.startswith("stages_3_block_2")]
    assert _nearest({each: shape for each, shape in shapes.items() if each not in last})[0] == name


def test_network_comes_back_from_safetensors(tmp_path, zoo):
    model = PublishedResNet(
        ModelCard(name="resnet-mlimages", num_classes=10, preprocessing=Preprocessing(), architecture=SHAPE)
    ).eval()
    save_model(model, tmp_path / "deep" / "m.safetensors", hierarchy=zoo)
    found = load_model(tmp_path / "deep" / "m.safetensors")
    assert found.card.categories == zoo.keys
    assert found.card.fingerprint == zoo.fingerprint
    assert found.card.architecture == SHAPE
    assert not found.training
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found(x), model(x))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.safetensors"]


def test_the_same_network_is_saved_as_the_same_bytes(tmp_path):
    model = build_model("test_vit", num_classes=3)
    for number in range(3):
        save_model(model, tmp_path / f"{number}.safetensors")
    first, *others = ((tmp_path / f"{number}.safetensors").read_bytes() for number in range(3))
    assert others == [first, first]
    length = int.from_bytes(first[:8], "little")
    assert length % 8 == 0
    metadata = json.loads(first[8 : 8 + length])["__metadata__"]
    assert list(metadata) == sorted(metadata)


def test_timm_network_comes_back_from_safetensors(tmp_path):
    model = build_model("test_vit", num_classes=3).eval()
    save_model(model, tmp_path / "m.safetensors")
    found = load_model(tmp_path / "m.safetensors")
    x = torch.rand(1, 3, 160, 160)
    with torch.no_grad():
        assert torch.equal(found(x), model(x))
    assert found.card == model.card


def test_hierarchy_of_another_size_is_refused(tmp_path, zoo):
    model = build_model("test_resnet", num_classes=3)
    with pytest.raises(ModelError, match="test_resnet has 3 outputs and 10 categories are given"):
        save_model(model, tmp_path / "m.safetensors", hierarchy=zoo)
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_model_of_ours_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(FormatError, match="not a safetensors file"):
        load_model(path)
    safetensors.torch.save_file({"a": torch.ones(1)}, path)
    with pytest.raises(FormatError, match="the metadata have format None version None; expected 'mlimages-model'"):
        load_model(path)
    with pytest.raises(DataNotFoundError, match=r"no such file; expected a \.safetensors file or a TensorFlow"):
        load_model(tmp_path / "nothing")


GOOD = ModelCard(name="resnet-mlimages", num_classes=5, preprocessing=Preprocessing(), architecture=SHAPE).to_metadata()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "2"}, "version '2'; expected 'mlimages-model' version '1'"),
        ({"num_classes": "many"}, "the metadata cannot be used: ValueError: invalid literal"),
        ({"num_classes": "-3"}, "-3 is not a whole number from 1"),
        ({"categories": '["a", "b"]'}, "has 5 outputs and 2 categories"),
        ({"categories": "7"}, "TypeError"),
        ({"preprocessing": "[]"}, "Preprocessing has .*: expected"),
        ({"preprocessing": json.dumps({**json.loads(GOOD["preprocessing"]), "std": [0, 1, 1]})}, "no std of 0"),
        ({"preprocessing": "["}, "JSONDecodeError"),
        ({"architecture": '{"blocks": [1], "widths": [6], "stem": 4}'}, "widths multiples of 4"),
        ({"architecture": '{"blocks": [1, 1], "widths": [8], "stem": 4}'}, "expected as many of each"),
        ({"architecture": "null"}, "unknown model 'resnet-mlimages'"),
        ({"architecture": '{"blocks": [1], "widths": [8], "stem": 4}'}, "surplus"),
    ],
)
def test_card_that_makes_no_sense_is_refused(tmp_path, change, message):
    state = load_model(TINY, architecture=SHAPE).state_dict()
    safetensors.torch.save_file(state, tmp_path / "m.safetensors", metadata=GOOD | change)
    with pytest.raises(FormatError, match=message):
        load_model(tmp_path / "m.safetensors")


def test_card_is_read_without_weights(tmp_path):
    save_model(load_model(TINY, architecture=SHAPE), tmp_path / "m.safetensors")
    assert read_card(tmp_path / "m.safetensors").num_classes == 5


# the command ----------------------------------------------------------------------------------------------------------


def run(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return CliRunner().invoke(app, ["checkpoint", *map(str, arguments)])


@pytest.fixture
def published(tmp_path):
    """A checkpoint with the published names and shapes of ResNet-50, all zeros, for ten classes."""
    with torch.device("meta"):
        card = build_model("resnet50-mlimages", num_classes=10).card
    write_bundle(
        tmp_path / "resnet.ckpt", {each.name: np.zeros(each.shape, np.float32) for each in _mapping(card).values()}
    )
    return tmp_path / "resnet.ckpt"


def test_command_converts_and_shows(published, tmp_path, zoo):
    zoo.to_parquet(tmp_path / "zoo.parquet")
    out = tmp_path / "out.safetensors"
    result = run("convert", published, "--out", out, "--hierarchy", tmp_path / "zoo.parquet")
    assert result.stdout == f"{out}: resnet50-mlimages, 10 classes\n"
    shown = json.loads(run("show", out, "--json").stdout)
    assert shown["fingerprint"] == zoo.fingerprint
    assert shown["categories"] == list(zoo.keys)
    assert "categories: 10 keys\n" in run("show", out).stdout
    assert load_model(out).forward_features(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)


def test_command_shows_the_variables_of_a_tensorflow_checkpoint():
    assert "init/init_conv/conv2d/kernel [7, 7, 3, 4]\n" in run("show", TINY).stdout
    assert json.loads(run("show", f"{TINY}.index", "--json").stdout)["global_step"] == []


def test_command_reads_a_dictionary(published, tmp_path, zoo):
    small = Hierarchy(zoo.keys[:3], [[], [], []], [["a"], ["b"], ["c"]])
    small.to_dictionary(tmp_path / "d.txt")
    result = run("convert", published, "--out", tmp_path / "o.safetensors", "--hierarchy", tmp_path / "d.txt")
    assert isinstance(result.exception, ModelError)
    assert "has 10 outputs and 3 categories are given" in str(result.exception)
    assert not (tmp_path / "o.safetensors").exists()
