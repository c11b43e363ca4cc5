"""Preprocessing of images for a network, as published for training and for evaluation.

Everything here yields uint8 tensors [3, size, size], except :func:`normalised`, which applies mean and standard
deviation of a network on its device, where that is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F  # noqa: N812, torchvision's own way

from mlimages.errors import ModelError
from mlimages.models.data.pixels import Pixels, pixels_of_picture, pixels_of_tensor, tensor_of_pixels
from mlimages.models.data.preprocesskernels import contrast_last, contrast_second, planes, resized_crop, turn
from mlimages.models.networks.card import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

_BRIGHTNESS = (-32, 32)  # of 255, added
_HUE = (-0.2, 0.2)  # turns
_FACTOR = (0.5, 1.5)  # of saturation and contrast
_DEGREES = (-45, 45)
_CENTRAL = 0.8  # of height and width, for evaluation
_NARROWEST, _WIDEST = 0.75, 1.33  # width over height of random crops
_TRIES = 10  # of a random crop, before the central one is taken


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From an RGB image, a uint8 tensor [3, H, W] or a Pillow image, to a uint8 tensor [3, size, size].

    Attributes
    ----------
    change : callable
        Takes pixels, uint32 [H, W], and an array uint8 [3, size, size] that it fills. :func:`on_tensors` makes one of a
        transform of tensors.
    size : int
        Height and width of the result, in pixels.
    least_side : int
        The shorter side, in pixels, from which on nothing is enlarged: a larger JPEG need not be decoded at full size.
    """

    change: Callable[[Pixels, NDArray[np.uint8]], None]
    size: int
    least_side: int

    def __call__(self, picture: Tensor | Image) -> Tensor:
        """Preprocess an image."""
        pixels = pixels_of_tensor(picture) if isinstance(picture, Tensor) else pixels_of_picture(picture)
        out = torch.empty((3, self.size, self.size), dtype=torch.uint8)
        self.change(pixels, out.numpy())
        return out


def on_tensors(transform: Callable[[Tensor], Tensor]) -> Callable[[Pixels, NDArray[np.uint8]], None]:
    """A `change` of :class:`Preprocess` that applies a transform of uint8 tensors [3, H, W]."""
    return partial(_on_tensors, transform)


def _on_tensors(transform: Callable[[Tensor], Tensor], pixels: Pixels, out: NDArray[np.uint8]) -> None:
    torch.from_numpy(out).copy_(transform(tensor_of_pixels(pixels)))


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A random part of an image, resized to a square and flipped with probability 0.5.

    The part has at least the fraction `least_area` of the image. Equivalent to torchvision's RandomResizedCrop and
    RandomHorizontalFlip, with all random numbers drawn at once.
    """

    size: int
    interpolation: v2.InterpolationMode
    least_area: float

    def __call__(self, pixels: Pixels, out: NDArray[np.uint8]) -> None:
        """Crop, resize and perhaps flip pixels uint32 [H, W] into `out` uint8 [3, size, size]."""
        planes(self.square(pixels), out)

    def square(self, pixels: Pixels) -> Pixels:
        """Crop, resize and perhaps flip to pixels uint32 [size, size]."""
        flip, *draws = torch.rand(1 + 4 * _TRIES, dtype=torch.float64).tolist()
        height, width = pixels.shape
        window = self.window(height, width, draws)
        return resized(pixels, window, size=self.size, interpolation=self.interpolation, flip=flip < 0.5)

    def window(self, height: int, width: int, draws: list[float]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random window, from 40 `draws` from [0, 1)."""
        logs = math.log(_NARROWEST), math.log(_WIDEST)
        for at in range(0, 4 * _TRIES, 4):
            area = height * width * between(self.least_area, 1.0, draws[at])
            aspect = math.exp(between(*logs, draws[at + 1]))
            high, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < high <= height and 0 < wide <= width:
                return int(draws[at + 2] * (height - high + 1)), int(draws[at + 3] * (width - wide + 1)), high, wide
        high = min(height, max(1, round(width / _NARROWEST)))
        wide = min(width, max(1, round(height * _WIDEST)))
        return (height - high) // 2, (width - wide) // 2, high, wide


def training(preprocessing: Preprocessing, *, size: int | None = None, least_area: float = 0.7) -> Preprocess:
    """The published preprocessing for training: crop, flip, and one of three augmentations with equal probability.

    A random crop of at least `least_area` of the image, with an aspect ratio of 0.75 to 1.33, is resized and flipped
    with probability 0.5. Then it is (0) rotated by up to 45 degrees, and jittered in brightness, saturation, hue and
    contrast in this order; or (1) jittered in brightness, contrast, saturation and hue; or (2) left as it is.

    Random numbers come from torch's global generator.

    Parameters
    ----------
    preprocessing : Preprocessing
        That of the network, whose size and interpolation are used.
    size : int, optional
        Height and width in pixels, instead of the network's.
    least_area : float, optional
        0.7 in pre-training; 0.05 where the network is then fine-tuned on ImageNet.
    """
    crop = RandomCrop(size or preprocessing.size, v2.InterpolationMode(preprocessing.interpolation), least_area)
    return Preprocess(partial(_train, crop), crop.size, math.ceil(crop.size / math.sqrt(least_area * _NARROWEST)))


def evaluation(preprocessing: Preprocessing, *, size: int | None = None, crop: str = "central") -> Preprocess:
    """The preprocessing of the published evaluation, or of the published classifier.

    Parameters
    ----------
    preprocessing : Preprocessing
        That of the network, whose size and interpolation are used.
    size : int, optional
        Height and width in pixels, instead of the network's.
    crop : {"central", "classifier"}
        ``central`` resizes the central 0.8 of height and width to a square; ``classifier`` resizes the shorter side to
        256 for a size of 224, in proportion for others, and takes the central square.

    Raises
    ------
    ModelError
        For another crop.
    """
    size = size or preprocessing.size
    interpolation = v2.InterpolationMode(preprocessing.interpolation)
    if crop == "central":
        return Preprocess(partial(_central, size, interpolation), size, math.ceil(size / _CENTRAL))
    if crop == "classifier":
        shorter = round(size * 256 / 224)
        resize = v2.Resize(shorter, interpolation=interpolation)
        return Preprocess(on_tensors(v2.Compose([resize, v2.CenterCrop(size)])), size, shorter)
    raise ModelError(f"crop is {crop!r}: expected central or classifier")


def normalised(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The input of a network, float32 [B, 3, H, W], from uint8 [B, 3, H, W], on the same device."""
    mean, std = (
        torch.tensor(values, device=pictures.device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (pictures / 255 - mean) / std


def _central(size: int, interpolation: v2.InterpolationMode, pixels: Pixels, out: NDArray[np.uint8]) -> None:
    height, width = pixels.shape
    high, wide = max(1, round(height * _CENTRAL)), max(1, round(width * _CENTRAL))
    # rounded as torchvision's center_crop does
    window = (round((height - high) / 2), round((width - wide) / 2), high, wide)
    planes(resized(pixels, window, size=size, interpolation=interpolation), out)


def _train(crop: RandomCrop, pixels: Pixels, out: NDArray[np.uint8]) -> None:
    square = crop.square(pixels)
    fate, *draws = torch.rand(6, dtype=torch.float64).tolist()
    if fate >= 2 / 3:
        planes(square, out)
        return
    angle, shift, saturation, hue, contrast = (
        between(low, high, draw)
        for (low, high), draw in zip((_DEGREES, _BRIGHTNESS, _FACTOR, _HUE, _FACTOR), draws, strict=True)
    )
    if fate < 1 / 3:
        # TensorFlow's own rotation took the nearest pixel and left the corners black
        turn(square, math.radians(angle), out)
        contrast_last(out, round(shift), saturation, hue, contrast)
    else:
        planes(square, out)
        contrast_second(out, round(shift), contrast, saturation, hue)


def resized(
    pixels: Pixels,
    window: tuple[int, int, int, int],
    *,
    size: int,
    interpolation: v2.InterpolationMode,
    flip: bool = False,
) -> Pixels:
    """Resize a window of an image to a square and perhaps flip it, as torchvision does to within rounding.

    Parameters
    ----------
    pixels : uint32 array [H, W]
    window : tuple of int
        Top, left, height and width in pixels, within the image.
    size : int
        Height and width of the square.
    interpolation : InterpolationMode
        Bilinear is compiled and takes about half the time; others are torchvision's.
    flip : bool, optional
        Whether left and right are exchanged.

    Returns
    -------
    uint32 array [size, size]
    """
    if interpolation is v2.InterpolationMode.BILINEAR:
        square = np.empty((size, size), np.uint32)
        resized_crop(pixels, *window, flip, square)
        return square
    tensor = F.resized_crop(tensor_of_pixels(pixels), *window, [size, size], interpolation=interpolation)
    return pixels_of_tensor(F.hflip(tensor) if flip else tensor)


def between(low: float, high: float, draw: float) -> float:
    """Map a `draw` from [0, 1) linearly to [low, high)."""
    return low + (high - low) * draw
