"""The ResNet-v1 of TensorFlow's slim library and its checkpoints, such as Google's Open Images V2 teacher.

Built like ``resnet_v1.py`` and ``resnet_utils.py`` of tf_slim: He et al. 2016, "Deep residual learning for image
recognition", with two differences that matter for weights. The stride of a block is in its *last* unit. And strided 3x3
and 7x7 convolutions pad by ``(kernel - 1) / 2`` on each side whatever the size of the image, while the pooling after
the first convolution pads as TensorFlow's SAME does, at the bottom and right first.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812, torch's own way

from mlimages.errors import FormatError
from mlimages.models.networks.card import ModelCard, Preprocessing
from mlimages.models.networks.checkpoint import BATCH_NORM, compare_shapes, load_state
from mlimages.models.networks.tfcheckpoint import TensorFlowCheckpoint

#: Units of each block.
SLIM_BLOCKS = {
    "resnet_v1_50": (3, 4, 6, 3),
    "resnet_v1_101": (3, 4, 23, 3),
    "resnet_v1_152": (3, 8, 36, 3),
}

_DEPTHS = (64, 128, 256, 512)  # channels of the inner convolutions of each block; outputs have four times as many
_STRIDES = (2, 2, 2, 1)
_EPSILON = 1e-5
_BLOCK_UNIT = re.compile(r"(?P<scope>(?:.*/)?resnet_v1_\w+)/block(?P<block>\d+)/unit_(?P<unit>\d+)/bottleneck_v1/")
# other variables of a training run: slots of optimizers, averages
_SLOT = re.compile(r".*/(Momentum|RMSProp(_\d)?|Adam(_\d)?|Adagrad|ExponentialMovingAverage)$")
# slim's evaluation takes the central 0.875 of an image at this size, in [-1, 1]; the release states neither
_PREPROCESSING = Preprocessing(size=299)


class SlimResNet(nn.Module):
    """ResNet-v1 with bottlenecks, as tf_slim builds it.

    `blocks` is the number of units of each of the four blocks, and `depths` the channels of their inner convolutions,
    64 to 512 in all published ones.
    """

    def __init__(self, card: ModelCard, *, blocks: tuple[int, ...], depths: tuple[int, ...] = _DEPTHS) -> None:
        super().__init__()
        self.card = card
        self.conv1 = _Convolution(3, depths[0], kernel=7, stride=2)
        self.blocks = nn.ModuleList()
        inputs = depths[0]
        for units, depth, stride in zip(blocks, depths, _STRIDES, strict=True):
            block = []
            for unit in range(units):
                block.append(SlimBottleneck(inputs, depth, stride=stride if unit == units - 1 else 1))
                inputs = 4 * depth
            self.blocks.append(nn.Sequential(*block))
        self.num_features = inputs
        self.logits = nn.Linear(inputs, card.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of images float32 [B, 3, H, W], normalised by `card.preprocessing`."""
        logits: Tensor = self.logits(self.forward_features(x))
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Features [B, num_features], slim's ``pool5``."""
        x = _pooled(torch.relu(self.conv1(x)))  # [B, 64, H/4, W/4], rounded up
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3))


class SlimBottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolution, each with batch norm, added to a shortcut before the last ReLU.

    `depth` is the number of channels of the inner convolutions; the output has 4 `depth`.
    """

    def __init__(self, inputs: int, depth: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut = None if inputs == 4 * depth else _Convolution(inputs, 4 * depth, kernel=1, stride=stride)
        self.conv1 = _Convolution(inputs, depth, kernel=1)
        self.conv2 = _Convolution(depth, depth, kernel=3, stride=stride)
        self.conv3 = _Convolution(depth, 4 * depth, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """From [B, inputs, H, W] to [B, 4 depth, H/stride, W/stride], rounded up."""
        # slim's "subsample" is a 1x1 max-pooling
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.shortcut is None else self.shortcut(x)
        residual = self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(x)))))
        return torch.relu(shortcut + residual)


class _Convolution(nn.Module):
    """A convolution without bias, and its batch norm."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        # slim's conv2d_same, which for odd kernels pads equally on both sides, strided or not
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON, momentum=1 - 0.997)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.bn(self.conv(x))
        return normed


def _pooled(x: Tensor) -> Tensor:
    """3x3 max-pooling with stride 2, padded as TensorFlow's SAME: by 1 after an even size, by 1 around an odd one."""
    after_height, after_width = 1, 1
    before_height, before_width = x.shape[2] % 2, x.shape[3] % 2
    padded = F.pad(x, (before_width, after_width, before_height, after_height), value=-torch.inf)
    return F.max_pool2d(padded, 3, stride=2)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def slim_scope(checkpoint: TensorFlowCheckpoint) -> str | None:
    """The scope of a slim ResNet-v1 in a checkpoint, such as ``resnet_v1_101``; None where there is none."""
    scopes = {match["scope"] for name in checkpoint.variables if (match := _BLOCK_UNIT.match(name))}
    return min(scopes, key=len) if scopes else None


def load_slim(prefix: str | os.PathLike[str]) -> SlimResNet:
    """Load a slim ResNet-v1 from a TensorFlow V2 checkpoint, in evaluation mode.

    Parameters
    ----------
    prefix : path-like
        The path of the checkpoint before ``.index``.

    Raises
    ------
    FormatError
        Where it holds no such network, or variables are missing or of another shape; the message lists them.
    """
    source = TensorFlowCheckpoint(prefix)
    scope = slim_scope(source)
    if scope is None:
        raise FormatError(
            "found no variables of a slim ResNet-v1, expected names such as "
            "resnet_v1_101/block1/unit_1/bottleneck_v1/conv1/weights",
            path=source.index_path,
        )
    shapes = {
        name: variable.shape
        for name, variable in source.variables.items()
        if name.startswith(f"{scope}/") and not _SLOT.fullmatch(name)
    }
    model = _empty(scope, shapes)
    names, tensors = _names(model, scope), model.state_dict()
    expected = {theirs: _their_shape(ours, tensors[ours]) for ours, theirs in names.items()}
    compare_shapes(expected, shapes, path=Path(source.index_path))
    state = {ours: _as_ours(ours, source[theirs]) for ours, theirs in names.items()}
    load_state(model, state)
    return model.eval()


def _empty(scope: str, shapes: dict[str, tuple[int, ...]]) -> SlimResNet:
    """A new network as names and sizes of variables imply it; a comparison later finds what does not fit."""
    units = {
        (int(match["block"]), int(match["unit"])) for name in shapes if (match := _BLOCK_UNIT.match(name)) is not None
    }
    name = scope.rpartition("/")[2]
    blocks = SLIM_BLOCKS.get(name) or tuple(
        max([1, *(unit for block, unit in units if block == number)]) for number in range(1, len(_DEPTHS) + 1)
    )
    depths = tuple(
        _last(shapes, f"{scope}/block{number}/unit_1/bottleneck_v1/conv1/weights", depth)
        for number, depth in enumerate(_DEPTHS, start=1)
    )
    classes = _last(shapes, f"{scope}/logits/biases", 1)
    return SlimResNet(
        ModelCard(name=name, num_classes=classes, preprocessing=_PREPROCESSING), blocks=blocks, depths=depths
    )


def _last(shapes: dict[str, tuple[int, ...]], name: str, default: int) -> int:
    shape = shapes.get(name, ())
    return shape[-1] if shape and shape[-1] else default


def _names(model: SlimResNet, scope: str) -> dict[str, str]:
    """The variable of each tensor of the model, except for counters of batches."""
    names = {"logits.weight": f"{scope}/logits/weights", "logits.bias": f"{scope}/logits/biases"}
    for path, module in model.named_modules():
        if not isinstance(module, _Convolution):
            continue
        parts = path.split(".")
        if parts[0] == "blocks":
            block, unit, convolution = int(parts[1]) + 1, int(parts[2]) + 1, parts[3]
            theirs = f"{scope}/block{block}/unit_{unit}/bottleneck_v1/{convolution}"
        else:
            theirs = f"{scope}/{path}"
        names[f"{path}.conv.weight"] = f"{theirs}/weights"
        for here, there in BATCH_NORM.items():
            names[f"{path}.bn.{here}"] = f"{theirs}/BatchNorm/{there}"
    return names


def _their_shape(name: str, tensor: Tensor) -> tuple[int, ...]:
    if name == "logits.weight":
        return (1, 1, tensor.shape[1], tensor.shape[0])  # slim's last layer is a 1x1 convolution
    if tensor.ndim == 4:
        outputs, inputs, height, width = tensor.shape
        return (height, width, inputs, outputs)
    return tuple(tensor.shape)


def _as_ours(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
    if values.ndim == 4:
        values = values.transpose(3, 2, 0, 1)
        if name == "logits.weight":
            values = values[:, :, 0, 0]
    return torch.from_numpy(np.array(values, np.float32, order="C"))
