"""The published ResNet: pre-activation bottlenecks, stride 2 in each stage, no pooling but the last."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mlimages.models.networks.card import Architecture, ModelCard

PUBLISHED = {
    "resnet50-mlimages": Architecture(blocks=(3, 4, 6, 3)),
    "resnet101-mlimages": Architecture(blocks=(3, 4, 23, 3)),
    "resnet152-mlimages": Architecture(blocks=(3, 8, 36, 3)),
}

_EPSILON = 1e-5
_MOMENTUM = 1 - 0.997  # torch gives the weight of the new batch, TensorFlow that of the old average
_TRUNCATED_STD = (
    0.87962566103423978  # of a standard normal truncated at 2 standard deviations, for which TensorFlow corrects
)


class PublishedResNet(nn.Module):
    """ResNet of the ML-Images release (Wu et al. 2019, after He et al. 2016, "Identity mappings in deep residual
    networks"), which differs from the common one in three respects: there is no max-pooling, so that all four stages
    begin with stride 2 (32 in total); the stride is in the 3x3 convolution; and the shortcut of the first block of a
    stage has its own batch norm and ReLU.

    Parameters
    ----------
    card : ModelCard
        With the `architecture` and the number of outputs.

    Attributes
    ----------
    card : ModelCard
    num_features : int
        2048 in the published widths.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        if card.architecture is None:
            raise ValueError("the card of a published network has an architecture")
        self.card = card
        shape = card.architecture
        self.num_features = shape.widths[-1]
        self.init_conv = _convolution(3, shape.stem, kernel=7, stride=2)
        self.stages = nn.ModuleList()
        inputs = shape.stem
        for blocks, width in zip(shape.blocks, shape.widths, strict=True):
            stage = [Bottleneck(inputs, width, stride=2, project=True)]
            stage += [Bottleneck(width, width, stride=1, project=False) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*stage))
            inputs = width
        self.final_bn = _batch_norm(inputs)
        self.logits = nn.Linear(inputs, card.num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights as TensorFlow's layers do: variance scaling (fan-in, truncated normal) in convolutions,
        Glorot uniform in the dense layer, zero biases.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                std = math.sqrt(1 / module.weight[0].numel()) / _TRUNCATED_STD
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of images float32 [B, 3, H, W], RGB in [-1, 1]."""
        logits: Tensor = self.logits(self.forward_features(x))
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Features [B, num_features] of images [B, 3, H, W]: the mean over the last feature map."""
        x = self.init_conv(x)  # [B, stem, H/2, W/2]
        for stage in self.stages:
            x = stage(x)  # [B, width, H/2, W/2] of the stage's own input
        return torch.relu(self.final_bn(x)).mean(dim=(2, 3))


class Bottleneck(nn.Module):
    """Batch norm, ReLU and convolution three times (1x1, 3x3 with the stride, 1x1), added to a shortcut.

    The inner convolutions have ``outputs // 4`` channels. With `project` the shortcut is batch norm, ReLU and a 1x1
    convolution with the stride rather than the input itself.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, project: bool) -> None:
        super().__init__()
        inner = outputs // 4
        self.project = project
        if project:
            self.shortcut_bn = _batch_norm(inputs)
            self.shortcut_conv = _convolution(inputs, outputs, kernel=1, stride=stride)
        self.bn1 = _batch_norm(inputs)
        self.conv1 = _convolution(inputs, inner, kernel=1)
        self.bn2 = _batch_norm(inner)
        self.conv2 = _convolution(inner, inner, kernel=3, stride=stride)
        self.bn3 = _batch_norm(inner)
        self.conv3 = _convolution(inner, outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """From [B, inputs, H, W] to [B, outputs, H/stride, W/stride], rounded up."""
        shortcut: Tensor = self.shortcut_conv(torch.relu(self.shortcut_bn(x))) if self.project else x
        x = self.conv1(torch.relu(self.bn1(x)))
        x = self.conv2(torch.relu(self.bn2(x)))
        x = self.conv3(torch.relu(self.bn3(x)))
        return x + shortcut


def _convolution(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Conv2d:
    # TensorFlow's SAME padding of a strided convolution depends on the size of its input; the published network pads by
    # (kernel - 1) / 2 on each side, strided or not
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)
