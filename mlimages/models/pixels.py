"""Pictures as tensors of three channels, and their pixels as whole numbers for compiled kernels, without copying.

A pixel takes four bytes: red, green, blue and one of no meaning. Its number of 32 bits, red the lowest byte, is one
thing to move; a tensor of the three channels is a view of the same memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlimages.models.cropkernels import planes

if TYPE_CHECKING:
    from PIL.Image import Image


def tensor_of(pixels: NDArray[Any]) -> Tensor:
    """A uint8 tensor [3, H, W] that is a view of pixels, uint32 [H, W] or uint8 [H, W, 4]."""
    return torch.from_numpy(pixels.view(np.uint8).reshape(*pixels.shape[:2], 4))[..., :3].permute(2, 0, 1)


def tensor_of_picture(picture: Image) -> Tensor:
    """A uint8 tensor [3, H, W] of a Pillow picture, in RGB."""
    return tensor_of(np.array(picture.convert("RGB").convert("RGBX")))


def pixels_of(picture: Tensor) -> NDArray[np.uint32]:
    """The pixels [H, W] of a uint8 tensor [3, H, W]: a view where it is one of such pixels, a copy otherwise."""
    _, height, width = picture.shape
    if _is_of_pixels(picture):
        whole = picture.as_strided((height, width, 4), (4 * width, 4, 1))
    else:
        whole = torch.zeros((height, width, 4), dtype=torch.uint8)
        whole[..., :3] = picture.permute(1, 2, 0)
    return whole.numpy().view(np.uint32).reshape(height, width)


def planar(picture: Tensor) -> Tensor:
    """The same uint8 picture [3, H, W], channel after channel in memory."""
    return (
        write(picture, torch.empty(picture.shape, dtype=torch.uint8))
        if _is_of_pixels(picture)
        else picture.contiguous()
    )


def write(picture: Tensor, out: Tensor) -> Tensor:
    """Copy a uint8 picture [3, H, W] into `out`, of the same shape and channel after channel in memory."""
    if _is_of_pixels(picture):
        planes(pixels_of(picture), out.numpy())
    else:
        out.copy_(picture)
    return out


def _is_of_pixels(picture: Tensor) -> bool:
    """Whether a tensor is a view of pixels, the last one's fourth byte included."""
    _, height, width = picture.shape
    end = picture.storage_offset() + 4 * height * width
    return (
        picture.stride() == (1, 4 * width, 4)
        and picture.data_ptr() % 4 == 0
        and picture.untyped_storage().nbytes() >= end
    )
