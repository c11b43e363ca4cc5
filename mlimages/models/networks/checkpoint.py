"""Weights in files: safetensors with a card, and the published TensorFlow checkpoints."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from mlimages.errors import DataNotFoundError, FormatError, ModelError, import_extra
from mlimages.models.networks.build import Network, build_from_card
from mlimages.models.networks.card import Architecture, ModelCard, Preprocessing
from mlimages.models.networks.resnet import PUBLISHED, PublishedResNet
from mlimages.models.networks.tfcheckpoint import TensorFlowCheckpoint
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy

# other variables of a training run: the step, the optimizer's slots, the two counters of the loss
_IGNORED = re.compile(r"global_step|.*/Momentum|Variable(_1)?")
_IMAGENET_CLASSES = 1000  # a published network with this many outputs has a softmax, one class per image
_MOST_LISTED = 100  # names of each kind in one message; a network of another kind differs in all variables
#: The tensors of a batch norm: torch's name and TensorFlow's.
BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_BLOCK = re.compile(r"stages_(\d+)_block_(\d+)/")


@dataclass(frozen=True, slots=True)
class _Source:
    """The source of a tensor: name and shape of the variable, and the permutation of its axes to torch's order."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


def load_model(path: str | os.PathLike[str], *, architecture: Architecture | None = None) -> Network:
    """Load a network, in evaluation mode.

    Parameters
    ----------
    path : path-like
        A safetensors file that :func:`save_model` wrote, or the prefix of a published TensorFlow checkpoint (with or
        without its ``.index``).
    architecture : Architecture, optional
        The shape of the network in a TensorFlow checkpoint; by default the published one that is nearest.

    Returns
    -------
    torch.nn.Module
        ``forward(x)`` gives the logits, ``forward_features(x)`` the features [B, 2048], of x float32 [B, 3, H, W]
        as `card.preprocessing` says: RGB in [-1, 1] for the published networks.

    Raises
    ------
    DataNotFoundError
        Where there is no such file.
    FormatError
        For a file that is damaged, of another kind, or whose variables do not make the network.
    """
    name = os.fspath(path)
    prefix = Path(name.removesuffix(".index"))
    if Path(f"{prefix}.index").is_file():
        return convert(prefix, architecture=architecture)
    card = read_card(name)
    safetensors = import_extra("safetensors.torch", extra="train")
    try:
        state = safetensors.load_file(name)
        model = build_from_card(card)
    except ModelError as error:
        raise FormatError(str(error), path=path) from error
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    compare_shapes(expected, {key: tuple(value.shape) for key, value in state.items()}, path=Path(name))
    model.load_state_dict(state)
    return model.eval()


def save_model(model: Network, path: str | os.PathLike[str], *, hierarchy: Hierarchy | None = None) -> None:
    """Write weights and card as safetensors, under a temporary name first, so that no partial file is left.

    Parameters
    ----------
    model : torch.nn.Module
        From :func:`build_model` or :func:`load_model`.
    path : path-like
        An existing file is replaced.
    hierarchy : Hierarchy, optional
        The categories of the outputs, written instead of those of the card.

    Raises
    ------
    ModelError
        For a hierarchy with another number of categories than the network has outputs.
    """
    safetensors = import_extra("safetensors.torch", extra="train")
    card = model.card
    if hierarchy is not None:
        card = replace(card, categories=hierarchy.keys, fingerprint=hierarchy.fingerprint)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as file:
        file.write(_ordered(safetensors.save(state, metadata=card.to_metadata())))


def _ordered(data: bytes) -> bytes:
    """A safetensors file with its metadata sorted by name; safetensors itself writes them in random order."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns tensors to 8 bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a safetensors file, without its weights.

    Raises
    ------
    DataNotFoundError
        Where there is no such file.
    FormatError
        For a file that is not safetensors, or that mlimages did not write.
    """
    if not Path(path).is_file():
        raise DataNotFoundError(
            f"{os.fspath(path)}: no such file; expected a .safetensors file or a TensorFlow checkpoint's path before "
            ".index"
        )
    safetensors = import_extra("safetensors", extra="train")
    try:
        with safetensors.safe_open(os.fspath(path), framework="np") as file:
            return ModelCard.from_metadata(file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise FormatError(f"not a safetensors file ({error}); expected what mlimages wrote", path=path) from error
    except ModelError as error:
        raise FormatError(str(error), path=path) from error


def load_card(path: str | os.PathLike[str]) -> ModelCard:
    """The card of a file that :func:`load_model` loads."""
    prefix = Path(os.fspath(path).removesuffix(".index"))
    return convert(prefix).card if Path(f"{prefix}.index").is_file() else read_card(path)


# TensorFlow -----------------------------------------------------------------------------------------------------------


def convert(prefix: str | os.PathLike[str], *, architecture: Architecture | None = None) -> PublishedResNet:
    """Convert a TensorFlow V2 checkpoint to a published network, in evaluation mode.

    Parameters
    ----------
    prefix : path-like
        The path of the checkpoint before ``.index``.
    architecture : Architecture, optional
        By default that of ResNet-50, 101 or 152, whichever has the nearest number of blocks. The number of outputs is
        that of the last bias in the checkpoint.

    Raises
    ------
    FormatError
        Where variables are missing, surplus or of another shape; the message lists them.
    """
    source = TensorFlowCheckpoint(prefix)
    shapes = {name: variable.shape for name, variable in source.variables.items() if not _IGNORED.fullmatch(name)}
    name, architecture = _nearest(shapes) if architecture is None else ("resnet-mlimages", architecture)
    bias = shapes.get("logits/dense/bias", ())
    card = ModelCard(
        name=name,
        num_classes=bias[0] if bias and bias[0] else 1,  # a missing bias is reported by the comparison
        preprocessing=Preprocessing(),
        architecture=architecture,
        activation="softmax" if bias == (_IMAGENET_CLASSES,) else "sigmoid",
    )
    mapping = _mapping(card)
    compare_shapes({each.name: each.shape for each in mapping.values()}, shapes, path=source.index_path)
    model = build_from_card(card)
    assert isinstance(model, PublishedResNet)
    state = {
        key: torch.from_numpy(np.ascontiguousarray(source[each.name].transpose(each.axes), np.float32))
        for key, each in mapping.items()
    }
    load_state(model, state)
    return model.eval()


def _nearest(shapes: dict[str, tuple[int, ...]]) -> tuple[str, Architecture]:
    """Name and architecture of the published network with the nearest number of blocks."""
    found = {match.groups() for name in shapes if (match := _BLOCK.match(name))}
    return min(PUBLISHED.items(), key=lambda item: abs(sum(item[1].blocks) - len(found)))


def _mapping(card: ModelCard) -> dict[str, _Source]:
    """The source of each tensor of a published network, except for counters of batches."""
    assert card.architecture is not None
    shape = card.architecture
    mapping = _from_convolution("init_conv", "init/init_conv", 7, 3, shape.stem)
    inputs = shape.stem
    for stage, (blocks, width) in enumerate(zip(shape.blocks, shape.widths, strict=True)):
        for block in range(blocks):
            ours, theirs, inner = f"stages.{stage}.{block}", f"stages_{stage}_block_{block}", width // 4
            if block == 0:
                mapping |= _from_batch_norm(f"{ours}.shortcut_bn", f"{theirs}/conv1_b1_bn", inputs)
                mapping |= _from_convolution(f"{ours}.shortcut_conv", f"{theirs}/conv1_b1", 1, inputs, width)
            for number, kernel, channels, outputs in (
                (1, 1, inputs, inner),
                (2, 3, inner, inner),
                (3, 1, inner, width),
            ):
                mapping |= _from_batch_norm(f"{ours}.bn{number}", f"{theirs}/conv{number}_b2_bn", channels)
                mapping |= _from_convolution(
                    f"{ours}.conv{number}", f"{theirs}/conv{number}_b2", kernel, channels, outputs
                )
            inputs = width
    mapping |= _from_batch_norm("final_bn", "global_pool/bn", inputs)
    mapping["logits.weight"] = _Source("logits/dense/kernel", (inputs, card.num_classes), (1, 0))
    mapping["logits.bias"] = _Source("logits/dense/bias", (card.num_classes,), (0,))
    return mapping


def _from_convolution(ours: str, theirs: str, kernel: int, inputs: int, outputs: int) -> dict[str, _Source]:
    shape = (kernel, kernel, inputs, outputs)  # HWIO there, OIHW here
    return {f"{ours}.weight": _Source(f"{theirs}/conv2d/kernel", shape, (3, 2, 0, 1))}


def _from_batch_norm(ours: str, theirs: str, channels: int) -> dict[str, _Source]:
    return {
        f"{ours}.{here}": _Source(f"{theirs}/batch_normalization/{there}", (channels,), (0,))
        for here, there in BATCH_NORM.items()
    }


def load_state(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load tensors of a TensorFlow checkpoint into a network; the counters of batches, which it lacks, are 0."""
    counters = [key for key in model.state_dict() if key.endswith("batches_tracked")]
    model.load_state_dict(state | {key: torch.zeros((), dtype=torch.int64) for key in counters})


def compare_shapes(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], *, path: Path) -> None:
    """Raise a FormatError that lists what is missing, surplus or of another shape."""
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    misshapen = [
        f"{name} is {list(found[name])} for {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    groups = {"missing": missing, "surplus": surplus, "of another shape": misshapen}
    if any(groups.values()):
        raise FormatError(
            "the variables do not make the network: "
            + "; ".join(f"{len(names)} {what}: {_listed(names)}" for what, names in groups.items() if names),
            path=path,
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
