"""Pictures made ready for a network: as published for training and for evaluation.

All give uint8 tensors [3, size, size]; a network's own mean and spread are applied on its device, where it is cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F  # noqa: N812, torchvision's own way

from mlimages.errors import ModelError
from mlimages.models.card import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

_BRIGHTNESS = 32  # of 255, added
_HUE = 0.2
_LEAST, _GREATEST = 0.5, 1.5  # factors of saturation and contrast
_DEGREES = 45.0
_CENTRAL = 0.8  # of height and width, for evaluation
_NARROWEST, _WIDEST = 0.75, 1.33  # width over height of random crops


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From RGB, a uint8 tensor [3, H, W] or a Pillow picture, to a uint8 tensor [3, size, size].

    Attributes
    ----------
    change : callable
        What is done.
    least_side : int
        How long the shorter side of a picture must be for this not to enlarge anything: a greater JPEG need not be
        decoded in full.
    """

    change: Callable[[Tensor], Tensor]
    least_side: int

    def __call__(self, picture: Tensor | Image) -> Tensor:
        """Prepare a picture."""
        return self.change(picture if isinstance(picture, Tensor) else F.pil_to_tensor(picture))


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
    size = size or preprocessing.size
    crop = v2.Compose(
        [
            v2.RandomResizedCrop(
                size,
                scale=(least_area, 1.0),
                ratio=(_NARROWEST, _WIDEST),
                interpolation=v2.InterpolationMode(preprocessing.interpolation),
            ),
            v2.RandomHorizontalFlip(),
        ]
    )
    return Preprocess(partial(_train, crop), math.ceil(size / math.sqrt(least_area * _NARROWEST)))


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
        return Preprocess(partial(_central, size, interpolation), math.ceil(size / _CENTRAL))
    if crop == "classifier":
        shorter = round(size * 256 / 224)
        resize = v2.Resize(shorter, interpolation=interpolation)
        return Preprocess(partial(_classifier, v2.Compose([resize, v2.CenterCrop(size)])), shorter)
    raise ModelError(f"crop is {crop!r}: expected central or classifier")


def normalised(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """What a network takes: float32 [B, 3, H, W] of uint8 [B, 3, H, W], on the device where they are."""
    mean, std = (
        torch.tensor(values, device=pictures.device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (pictures / 255 - mean) / std


def _central(size: int, interpolation: v2.InterpolationMode, picture: Tensor) -> Tensor:
    height, width = (max(1, round(side * _CENTRAL)) for side in picture.shape[1:])
    middle = F.center_crop(picture, [height, width])
    tensor: Tensor = F.resize(middle, [size, size], interpolation=interpolation)
    return tensor


def _classifier(crop: v2.Transform, picture: Tensor) -> Tensor:
    tensor: Tensor = crop(picture)
    return tensor


def _train(crop: v2.Transform, picture: Tensor) -> Tensor:
    cropped: Tensor = crop(picture)
    fate = int(torch.randint(3, ()))
    if fate == 0:
        # TensorFlow's own rotation took the nearest pixel and left the corners black
        turned = F.rotate(cropped, _uniform(-_DEGREES, _DEGREES), interpolation=v2.InterpolationMode.NEAREST)
        return _contrast(_hue(_saturation(_brightness(turned))))
    if fate == 1:
        return _hue(_saturation(_contrast(_brightness(cropped))))
    return cropped


def _brightness(picture: Tensor) -> Tensor:
    shift = round(_uniform(-_BRIGHTNESS, _BRIGHTNESS))  # added, as TensorFlow does; torchvision would multiply
    return (picture.to(torch.int16) + shift).clamp(0, 255).to(torch.uint8)


def _saturation(picture: Tensor) -> Tensor:
    changed: Tensor = F.adjust_saturation(picture, _uniform(_LEAST, _GREATEST))
    return changed


def _hue(picture: Tensor) -> Tensor:
    shown = F.to_pil_image(picture)  # whose hue takes half the time of a tensor's
    changed: Tensor = F.pil_to_tensor(F.adjust_hue(shown, _uniform(-_HUE, _HUE)))
    return changed


def _contrast(picture: Tensor) -> Tensor:
    changed: Tensor = F.adjust_contrast(picture, _uniform(_LEAST, _GREATEST))
    return changed


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
