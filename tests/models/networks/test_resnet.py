"""The published network: its shape, its start, and its agreement with TensorFlow."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from mlimages.errors import ModelError
from mlimages.models import Architecture, Inference, ModelCard, Preprocessing, PublishedResNet, build_model, load_model
from mlimages.models.networks.build import check_size

HERE = Path(__file__).parent
TINY = Architecture(blocks=(2, 1, 1, 1), widths=(8, 8, 16, 24), stem=4)  # that of tests/models/networks/data/tiny
PYTHON = os.environ.get("MLIMAGES_TENSORFLOW_PYTHON")  # an interpreter that has tensorflow-cpu


def tiny(num_classes=5):
    return PublishedResNet(
        ModelCard(name="resnet-mlimages", num_classes=num_classes, preprocessing=Preprocessing(), architecture=TINY)
    )


def differences(model, golden, size):
    """Greatest absolute difference of features and of logits from TensorFlow's."""
    pictures = torch.from_numpy(golden[f"pictures_{size}"]).permute(0, 3, 1, 2)
    with torch.no_grad():
        features, logits = model.forward_features(pictures).numpy(), model(pictures).numpy()
    return np.abs(features - golden[f"features_{size}"]).max(), np.abs(logits - golden[f"logits_{size}"]).max()


@pytest.mark.parametrize("size", [24, 33])
def test_outputs_equal_those_of_tensorflow_on_a_narrow_network(size):
    model = load_model(HERE / "data/tiny/model.ckpt", architecture=TINY)
    with np.load(HERE / "data/tiny/golden.npz") as golden:
        features, logits = differences(model, golden, size)
    assert features < 5e-6
    assert logits < 5e-6


@pytest.mark.skipif(PYTHON is None, reason="MLIMAGES_TENSORFLOW_PYTHON names no interpreter with tensorflow-cpu")
@pytest.mark.parametrize("name", ["resnet50-mlimages", "resnet101-mlimages", "resnet152-mlimages"])
def test_outputs_equal_those_of_tensorflow_on_a_published_network(tmp_path, name):
    blocks = ",".join(map(str, build_model(name, num_classes=1).card.architecture.blocks))
    script = [PYTHON, str(HERE / "tensorflow_reference.py"), str(tmp_path)]
    subprocess.run([*script, "--blocks", blocks, "--classes", "11166", "--size", "224,299"], check=True)
    model = load_model(tmp_path / "model.ckpt")
    assert model.card.name == name
    assert model.card.num_classes == 11166
    with np.load(tmp_path / "golden.npz") as golden:
        for size in (224, 299):
            features, logits = differences(model, golden, size)
            assert features < 5e-4
            assert logits < 1e-3


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("resnet50-mlimages", 50, 23_454_912),
        ("resnet101-mlimages", 101, 42_394_816),
        ("resnet152-mlimages", 152, 57_992_384),
    ],
)
def test_published_networks_have_their_layers(name, layers, weights):
    with torch.device("meta"):
        model = build_model(name, num_classes=11166)
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) - 4 + 1 == layers  # four projections beside the path, the dense layer at its end
    assert all(module.bias is None for module in convolutions)
    assert sum(module.weight.numel() for module in convolutions) == weights  # as torchvision's network of that depth
    assert model.num_features == 2048
    assert model.logits.weight.shape == (11166, 2048)


@pytest.mark.parametrize(
    ("size", "rows"), [(224, [112, 56, 28, 14, 7]), (299, [150, 75, 38, 19, 10]), (33, [17, 9, 5, 3, 2])]
)
def test_every_stage_halves_the_picture_rounded_up(size, rows):
    model, seen = tiny(), []
    for module in (model.init_conv, *model.stages):
        module.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    with torch.no_grad():
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 5)
    assert seen == rows


def test_weights_start_from_variance_scaling():
    torch.manual_seed(0)
    model = build_model("resnet50-mlimages", num_classes=10)
    kernel = model.stages[3][0].conv2.weight  # 3 x 3 x 512 inputs
    expected = math.sqrt(1 / (9 * 512))
    assert kernel.std().item() == pytest.approx(expected, rel=0.01)
    assert kernel.abs().max().item() <= 2 * expected / 0.87962566 * 1.0001
    assert model.logits.weight.abs().max().item() <= math.sqrt(6 / (2048 + 10))
    assert model.logits.bias.tolist() == [0] * 10
    assert model.final_bn.eps == 1e-5


def test_running_statistics_move_as_tensorflow_momentum_says():
    model = tiny()
    norm = model.final_bn
    norm(torch.full((2, 24, 1, 1), 5.0))
    assert norm.running_mean[0].item() == pytest.approx(0.003 * 5.0)


def test_timm_network_has_features_and_its_own_normalisation():
    model = build_model("test_efficientnet", num_classes=7).eval()
    x = torch.zeros(2, 3, 64, 64)
    with torch.no_grad():
        features, logits = model.forward_features(x), model(x)
        assert features.shape == (2, model.num_features)
        assert torch.allclose(model.backbone.get_classifier()(features), logits)
    assert logits.shape == (2, 7)
    assert model.card.preprocessing == Preprocessing(
        size=160, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bicubic"
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet101-mlimage", {}, "unknown model 'resnet101-mlimage': .* near are resnet101-mlimages"),
        ("hf-hub:someone/something", {}, "unknown model 'hf-hub:someone/something'"),
        ("resnet50-mlimages", {"pretrained": True}, "no weights that can be fetched by name"),
        ("resnet50-mlimages", {"num_classes": 0}, "num_classes is 0: expected at least 1"),
        ("test_resnet.no_such_weights", {}, "timm cannot build test_resnet.no_such_weights: Invalid pretrained tag"),
    ],
)
def test_network_that_cannot_be_built(name, options, message):
    with pytest.raises(ModelError, match=message):
        build_model(name, **{"num_classes": 2} | options)


@pytest.mark.parametrize(("name", "size"), [("test_vit", 100), ("test_vit3", 224), ("test_convnext", 8)])
def test_size_that_a_network_does_not_take_is_told_beforehand(name, size):
    model = build_model(name, num_classes=2)
    with pytest.raises(ModelError, match=f"{name} does not take pictures of {size} pixels .*: it was made for 160"):
        check_size(model, size)
    with pytest.raises(ModelError, match="does not take pictures"):
        Inference(size=size).preprocess(model)
    check_size(model, 160)
    assert model.training
