"""Pictures made ready for a network: as published for training and for evaluation.

All give uint8 tensors [3, size, size]; a network's own mean and spread are applied on its device, where it is cheap.
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
_TRIES = 10  # of a random crop, before the middle is taken


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From RGB, a uint8 tensor [3, H, W] or a Pillow picture, to a uint8 tensor [3, size, size].

    Attributes
    ----------
    change : callable
        What is done: it takes pixels, uint32 [H, W], and an array uint8 [3, size, size] that it fills. Transforms of
        tensors are turned into such by :func:`on_tensors`.
    size : int
        Height and width of the outcome.
    least_side : int
        How long the shorter side of a picture must be for this not to enlarge anything: a greater JPEG need not be
        decoded in full.
    """

    change: Callable[[Pixels, NDArray[np.uint8]], None]
    size: int
    least_side: int

    def __call__(self, picture: Tensor | Image) -> Tensor:
        """Prepare a picture."""
        pixels = pixels_of_tensor(picture) if isinstance(picture, Tensor) else pixels_of_picture(picture)
        out = torch.empty((3, self.size, self.size), dtype=torch.uint8)
        self.change(pixels, out.numpy())
        return out


def on_tensors(transform: Callable[[Tensor], Tensor]) -> Callable[[Pixels, NDArray[np.uint8]], None]:
    """What `transform` makes of tensors [3, H, W], as a change of :class:`Preprocess`."""
    return partial(_on_tensors, transform)


def _on_tensors(transform: Callable[[Tensor], Tensor], pixels: Pixels, out: NDArray[np.uint8]) -> None:
    torch.from_numpy(out).copy_(transform(tensor_of_pixels(pixels)))


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A random part of a picture, resized to a square and flipped in half of the cases.

    What torchvision's RandomResizedCrop and RandomHorizontalFlip do, with all draws made at once.

    Attributes
    ----------
    size : int
        Height and width of the square.
    interpolation : InterpolationMode
    least_area : float
        The least part of the area.
    """

    size: int
    interpolation: v2.InterpolationMode
    least_area: float

    def __call__(self, pixels: Pixels, out: NDArray[np.uint8]) -> None:
        """Crop, resize and perhaps flip pixels [H, W] into `out` [3, size, size]."""
        planes(self.square(pixels), out)

    def square(self, pixels: Pixels) -> Pixels:
        """The same as pixels [size, size]."""
        flip, *draws = torch.rand(1 + 4 * _TRIES, dtype=torch.float64).tolist()
        height, width = pixels.shape
        window = self.window(height, width, draws)
        return resized(pixels, window, size=self.size, interpolation=self.interpolation, flip=flip < 0.5)

    def window(self, height: int, width: int, draws: list[float]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a part of a picture, from 40 `draws` from [0, 1)."""
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
    """What the published training did to a picture: crop, flip, and one of three fates drawn evenly.

    A random crop of at least `least_area` of the picture, 0.75 to 1.33 as wide as high, is resized and flipped in half
    of the cases. Then: fate 0 turns it by up to 45 degrees and jitters brightness, saturation, hue, contrast in that
    order; fate 1 jitters brightness, contrast, saturation, hue; fate 2 does neither.

    Draws come from torch's global generator: who seeds it, repeats them.

    Parameters
    ----------
    preprocessing : Preprocessing
        The network's; its size and interpolation are used.
    size : int, optional
        Another size than the network's.
    least_area : float, optional
        0.7 in pre-training; 0.05 where the network is then fine-tuned on ImageNet.
    """
    crop = RandomCrop(size or preprocessing.size, v2.InterpolationMode(preprocessing.interpolation), least_area)
    return Preprocess(partial(_train, crop), crop.size, math.ceil(crop.size / math.sqrt(least_area * _NARROWEST)))


def evaluation(preprocessing: Preprocessing, *, size: int | None = None, crop: str = "central") -> Preprocess:
    """What the published evaluation, or the published classifier, did to a picture.

    Parameters
    ----------
    preprocessing : Preprocessing
        The network's; its size and interpolation are used.
    size : int, optional
        Another size than the network's.
    crop : {"central", "classifier"}
        ``central`` takes the middle 0.8 of height and of width and resizes it, whatever its aspect; ``classifier``
        resizes the shorter side to 256 for 224 (in proportion for other sizes) and takes the middle square.

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
    """What a network takes: float32 [B, 3, H, W] of uint8 [B, 3, H, W], on the device where they are."""
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
    """A window of a picture as a square, perhaps flipped: what torchvision makes of it, to within rounding.

    Parameters
    ----------
    pixels : uint32 array [H, W]
    window : tuple of int
        Top, left, height and width, within the picture.
    size : int
        Height and width of the square.
    interpolation : InterpolationMode
        Bilinear is compiled, in about half the time; others are torchvision's own.
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
    """Where a `draw` from [0, 1) falls from `low` to `high`."""
    return low + (high - low) * draw
