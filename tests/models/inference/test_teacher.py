"""Teachers of every kind load, tell the categories they should, and say what is wrong where they do not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mlimages import Hierarchy
from mlimages.errors import DataNotFoundError, FormatError, ModelError
from mlimages.hierarchy import class_list
from mlimages.models import Teacher, TrainConfig, build_model, load_model, load_teacher, save_model, train
from mlimages.models.data.preprocess import normalised
from mlimages.models.networks.card import Preprocessing
from mlimages.models.networks.outputs import Outputs, head_classes, read_category_keys, read_keys
from mlimages.models.networks.slimresnet import load_slim
from tests.models.bundle_writer import write_bundle

SLIM = Path(__file__).parents[1] / "networks" / "data" / "slim" / "model.ckpt"


def keys_file(folder: Path, *keys: str) -> Path:
    path = folder / "keys.txt"
    path.write_text("".join(f"{key}\n" for key in keys))
    return path


def grey(count=2, size=32):
    return torch.full((count, 3, size, size), 128, dtype=torch.uint8)


def told(teacher, hierarchy):
    return [hierarchy.keys[index] for index in teacher.outputs]


# kinds ----------------------------------------------------------------------------------------------------------------


def test_network_trained_on_chosen_categories_tells_them(pictures, zoo, tmp_path):
    config = TrainConfig(
        table=str(pictures.table), images=str(pictures.images), out=str(tmp_path / "run"), model="test_resnet",
        size=32, epochs=1, batch=30, workers=0, categories=str(keys_file(tmp_path, "rose", "cat")),
    )  # fmt: skip
    teacher = load_teacher(train(config), zoo)
    assert told(teacher, zoo) == ["cat", "rose"]  # by index, whatever the order of the outputs
    network = load_model(tmp_path / "run" / "model.safetensors")
    logits = network(normalised(grey(), network.card.preprocessing)).detach()
    scores = teacher(grey())
    assert scores.shape == (2, 2)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, torch.sigmoid(logits)[:, [1, 0]], atol=1e-6)


def test_timm_network_with_weights_and_a_class_file(zoo, tmp_path):
    torch.manual_seed(1)
    network = build_model("test_vit", num_classes=3)
    save_file(network.backbone.state_dict(), tmp_path / "weights.safetensors")
    classes = keys_file(tmp_path, "cat", "unicorn", "puppy")
    teacher = load_teacher("timm:test_vit", zoo, class_file=classes, weights=tmp_path / "weights.safetensors")
    assert told(teacher, zoo) == ["puppy", "cat"]
    with torch.inference_mode():
        expected = torch.softmax(network.eval()((grey(size=160) / 255 - 0.5) / 0.5), dim=1)
    np.testing.assert_allclose(teacher(grey(size=160)), expected[:, [2, 0]], atol=1e-6)


def test_timm_network_without_a_class_file_tells_the_class_list_of_its_head(tmp_path):
    torch.manual_seed(1)
    save_file(build_model("test_vit", num_classes=1000).backbone.state_dict(), tmp_path / "weights.safetensors")
    keys = class_list("imagenet-1k")
    few = Hierarchy(["entity", keys[7], keys[3]], [[], [0], [0]])
    teacher = load_teacher("timm:test_vit", few, weights=tmp_path / "weights.safetensors")
    assert told(teacher, few) == [keys[7], keys[3]]
    assert teacher(grey(size=160)).shape == (2, 2)
    assert head_classes(21841) == class_list("imagenet-21k")
    with pytest.raises(ModelError, match=r"7 outputs, and the class lists that are known have 1000 \(imagenet-1k\)"):
        head_classes(7)


@pytest.mark.parametrize("size", [32, 33, 47])
def test_slim_network_gives_what_tensorflow_gave(size):
    golden = np.load(SLIM.with_name("golden.npz"))
    network = load_slim(SLIM)
    x = torch.from_numpy(golden[f"pictures_{size}"].transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        np.testing.assert_allclose(network.forward_features(x), golden[f"features_{size}"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(network(x), golden[f"logits_{size}"], rtol=1e-4, atol=1e-4)


def test_slim_checkpoint_is_a_teacher_restricted_to_the_categories_kept(zoo, tmp_path):
    classes = keys_file(tmp_path, "/m/0", "cat", "/m/1", "rose", "puppy", "/m/2")
    (tmp_path / "kept").mkdir()
    kept = keys_file(tmp_path / "kept", "rose", "cat")
    teacher = load_teacher(SLIM, zoo, class_file=classes, categories=kept, size=47)
    assert told(teacher, zoo) == ["rose", "cat"]
    x = torch.randint(0, 256, (2, 3, 47, 47), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.sigmoid(load_slim(SLIM)(x / 127.5 - 1))[:, [3, 1]]
    np.testing.assert_allclose(teacher(x), expected, atol=1e-5)


def slim_variables():
    from mlimages.models import TensorFlowCheckpoint

    source = TensorFlowCheckpoint(SLIM)
    return {name: np.asarray(source[name]) for name in source.variables}


def test_slim_checkpoint_that_lacks_variables_names_them(tmp_path):
    variables = slim_variables()
    del variables["resnet_v1_tiny/block1/unit_2/bottleneck_v1/conv2/weights"]
    variables["resnet_v1_tiny/logits/weights"] = np.zeros((1, 1, 8, 6), np.float32)
    write_bundle(tmp_path / "model.ckpt", variables)
    with pytest.raises(
        FormatError,
        match=r"1 missing: resnet_v1_tiny/block1/unit_2/bottleneck_v1/conv2/weights; 1 of another shape: "
        r"resnet_v1_tiny/logits/weights is \[1, 1, 8, 6\] for \[1, 1, 32, 6\]",
    ):
        load_slim(tmp_path / "model.ckpt")
    write_bundle(tmp_path / "other.ckpt", {"a/b": np.zeros(3, np.float32)})
    with pytest.raises(FormatError, match="no variables of a slim ResNet-v1, expected names such as"):
        load_slim(tmp_path / "other.ckpt")


def test_slim_network_below_another_scope_is_found(tmp_path):
    write_bundle(tmp_path / "model.ckpt", {f"tower/{name}": value for name, value in slim_variables().items()})
    assert load_slim(tmp_path / "model.ckpt").card.num_classes == 6


def test_published_tensorflow_checkpoint_is_a_teacher(zoo, tmp_path, monkeypatch):
    from mlimages.models import Architecture
    from mlimages.models.networks import checkpoint

    prefix = Path(__file__).parents[1] / "networks" / "data" / "tiny" / "model.ckpt"
    small = Architecture(blocks=(2, 1, 1, 1), widths=(8, 8, 16, 24), stem=4)
    monkeypatch.setattr(checkpoint, "_nearest", lambda _: ("resnet-mlimages", small))
    classes = keys_file(tmp_path, "cat", "/m/0", "rose", "/m/1", "/m/2")
    teacher = load_teacher(prefix, zoo, class_file=classes, size=64)
    assert told(teacher, zoo) == ["cat", "rose"]
    assert teacher(grey(size=64)).shape == (2, 2)
    with pytest.raises(FormatError, match="found 1 keys, expected 5, one an output"):
        load_teacher(prefix, zoo, class_file=keys_file(tmp_path, "cat"))


def test_function_is_a_teacher_as_an_onnx_session_would_be(zoo):
    def run(pictures):
        assert pictures.dtype == np.float32
        assert pictures.shape == (2, 3, 32, 32)
        return np.stack([pictures.mean((1, 2, 3)), np.ones(2)], axis=1)

    preprocessing = Preprocessing(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    teacher = Teacher.from_function(run, zoo, classes=["cat", "dog"], preprocessing=preprocessing)
    assert told(teacher, zoo) == ["dog", "cat"]
    np.testing.assert_allclose(teacher(grey()), [[1, 128 / 255]] * 2, atol=1e-6)
    assert teacher.identity["model"].endswith("run")


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "ourteacher.py").write_text(
        "import numpy as np\n"
        "from mlimages import Hierarchy\n"
        "from mlimages.models import Teacher\n"
        "def half(pictures):\n    return np.full((len(pictures), 2), 0.5)\n"
        "made = Teacher.from_function(half, Hierarchy(['a', 'b'], [[], []]), classes=['a', 'b'])\n"
        "number = 3\n"
    )
    (tmp_path / "broken_teacher.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("ourteacher", None)


def test_function_and_teacher_of_a_module_load(module, zoo, tmp_path):
    teacher = load_teacher("python:ourteacher:half", zoo, class_file=keys_file(tmp_path, "cat", "dog"))
    assert teacher(grey()).tolist() == [[0.5, 0.5]] * 2
    pair = Hierarchy(["a", "b"], [[], []])
    assert told(load_teacher("python:ourteacher:made", pair), pair) == ["a", "b"]
    with pytest.raises(ModelError, match="is a teacher of another hierarchy"):
        load_teacher("python:ourteacher:made", zoo)
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        load_teacher("python:broken_teacher:x", zoo)


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("python:ourteacher", {}, ModelError, "found python:ourteacher, expected python:MODULE:NAME"),
        ("python:ourteacher:number", {}, ModelError, "found int, expected a Teacher or a callable"),
        ("python:ourteacher:half", {}, ModelError, "give a class file, one key a column"),
        ("python:ourteacher:made", {"size": 3}, ModelError, "size: no option of python:ourteacher:made"),
        ("python:noteacher:x", {}, ModelError, "no module named noteacher; is its folder in PYTHONPATH"),
        ("timm:resnet5O", {}, ModelError, "unknown model 'resnet5O'"),
        ("timm:test_vit", {"weights": "nowhere"}, DataNotFoundError, "nowhere: no such file; expected weights of"),
        ("nowhere.safetensors", {}, DataNotFoundError, "no such file; expected a .safetensors file, a Tensor"),
        ("x.safetensors", {"weights": "y"}, ModelError, "weights: no option of x.safetensors"),
    ],
)
def test_what_is_no_teacher_is_refused(module, zoo, source, options, error, message):
    with pytest.raises(error, match=message):
        load_teacher(source, zoo, **options)


def test_damaged_timm_weights_are_named(zoo, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    (tmp_path / "weights.pth").write_bytes(b"nothing")
    classes = keys_file(tmp_path, "cat")
    for name in ("weights.safetensors", "weights.pth"):
        with pytest.raises(FormatError, match=rf"{name}: no weights of test_vit"):
            load_teacher("timm:test_vit", zoo, class_file=classes, weights=tmp_path / name)


# classes --------------------------------------------------------------------------------------------------------------


def test_classes_of_one_category_add_up_where_they_exclude_each_other(zoo):
    given = np.float32([[0.2, 0.3, 0.4], [0.6, 0.1, 0.3]])
    options = {"classes": ["a", "b", "c"], "mapping": {"a": 5, "b": 0, "c": 5}}
    assert told(Teacher.from_function(lambda _: given, zoo, **options), zoo) == ["dog", "cat"]
    apart = Teacher.from_function(lambda _: given, zoo, **options)
    np.testing.assert_allclose(apart(grey()), [[0.3, 0.4], [0.1, 0.6]])
    disjoint = Teacher.from_function(lambda _: given, zoo, **options, disjoint=True)
    np.testing.assert_allclose(disjoint(grey()), [[0.3, 0.6], [0.1, 0.9]], rtol=1e-6)


def test_nothing_in_common_with_the_hierarchy_is_an_error(zoo):
    with pytest.raises(ModelError, match="none of the 2 classes, such as 'a', 'b', is a category of the hierarchy"):
        Outputs.of(["a", "b"], zoo)
    with pytest.raises(ModelError, match="1 of 2 categories are no output of the network, the first is 'dog'"):
        Outputs.of(["cat", "b"], zoo, kept=["cat", "dog"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\n\ncat\n", r"keys\.txt:3: found 'cat' again, first in line 1"),
        ("cat\ndog,Dog\n", r"keys\.txt:2: found 'dog,Dog', expected one key"),
        ("\n", r"keys\.txt: found no key"),
        ("cat\nunicorn\n", r"keys\.txt:2: found 'unicorn', expected a key of one of the 10 categories"),
    ],
)
def test_file_of_keys_that_makes_no_sense_names_the_line(zoo, tmp_path, text, message):
    (tmp_path / "keys.txt").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_category_keys(tmp_path / "keys.txt", zoo)


def test_file_of_keys_is_read_in_order(tmp_path):
    assert read_keys(keys_file(tmp_path, "rose", "", "cat")) == ["rose", "cat"]


def test_class_file_of_another_length_is_an_error(zoo, tmp_path):
    save_model(build_model("test_resnet", num_classes=10), tmp_path / "model.safetensors", hierarchy=zoo)
    with pytest.raises(FormatError, match=r"keys\.txt: found 1 keys, expected 10, one an output"):
        load_teacher(tmp_path / "model.safetensors", zoo, class_file=keys_file(tmp_path, "cat"))
