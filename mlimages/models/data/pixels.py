"""Pixels as 32-bit numbers, and as tensors of three channels that are views of the same memory.

A pixel takes four bytes: red (the lowest), green, blue and an unused one. As one number it is moved at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pixels of an image, uint32 [H, W].
Pixels: TypeAlias = NDArray[np.uint32]


def pixels_of_bytes(values: NDArray[Any]) -> Pixels:
    """View bytes uint8 [H, W, 4] as pixels uint32 [H, W]."""
    return values.view(np.uint32).reshape(values.shape[:2])


def pixels_of_picture(picture: Image) -> Pixels:
    """Pixels uint32 [H, W] of a Pillow image, converted to RGB."""
    return pixels_of_bytes(np.array(picture.convert("RGB").convert("RGBX")))


def pixels_of_tensor(picture: Tensor) -> Pixels:
    """Copy a uint8 tensor [3, H, W] to pixels uint32 [H, W]."""
    values = np.zeros((*picture.shape[1:], 4), np.uint8)
    values[..., :3] = picture.permute(1, 2, 0).numpy()
    return pixels_of_bytes(values)


def tensor_of_pixels(pixels: Pixels) -> Tensor:
    """View pixels uint32 [H, W] as a uint8 tensor [3, H, W]."""
    return torch.from_numpy(pixels.view(np.uint8).reshape(*pixels.shape, 4))[..., :3].permute(2, 0, 1)
