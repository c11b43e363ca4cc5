"""Pixels as whole numbers of 32 bits, and as tensors of three channels that are views of the same memory.

A pixel takes four bytes: red, green, blue and one of no meaning. Its number, red the lowest byte, is one thing to move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pixels of a picture, uint32 [H, W].
Pixels: TypeAlias = NDArray[np.uint32]


def pixels_of_bytes(values: NDArray[Any]) -> Pixels:
    """Pixels [H, W] that are a view of bytes, uint8 [H, W, 4]."""
    return values.view(np.uint32).reshape(values.shape[:2])


def pixels_of_picture(picture: Image) -> Pixels:
    """Pixels [H, W] of a Pillow picture, in RGB."""
    return pixels_of_bytes(np.array(picture.convert("RGB").convert("RGBX")))


def pixels_of_tensor(picture: Tensor) -> Pixels:
    """Pixels [H, W] of a uint8 tensor [3, H, W], copied."""
    values = np.zeros((*picture.shape[1:], 4), np.uint8)
    values[..., :3] = picture.permute(1, 2, 0).numpy()
    return pixels_of_bytes(values)


def tensor_of_pixels(pixels: Pixels) -> Tensor:
    """A uint8 tensor [3, H, W] that is a view of pixels [H, W]."""
    return torch.from_numpy(pixels.view(np.uint8).reshape(*pixels.shape, 4))[..., :3].permute(2, 0, 1)
