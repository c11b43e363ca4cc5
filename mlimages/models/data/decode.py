"""From the bytes of images to one tensor: read, decode, preprocess, report broken ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from mlimages.errors import import_extra
from mlimages.images.picture import PictureError, decode
from mlimages.models.data.pixels import Pixels, pixels_of_bytes, pixels_of_picture

if TYPE_CHECKING:
    from mlimages.models.data.preprocess import Preprocess

_JPEG = b"\xff\xd8\xff"
_MOST_PIXELS = 1 << 24  # above, Pillow's own limits apply


def load_pictures(
    read: Sequence[Callable[[], bytes]], preprocess: Preprocess, *, seeds: Sequence[int]
) -> tuple[Tensor, dict[int, str]]:
    """Read, decode and preprocess images.

    Parameters
    ----------
    read : sequence of callable
        Each returns the bytes of an image, or raises a PictureError or OSError where it is broken.
    preprocess : Preprocess
    seeds : sequence of int
        Seeds of torch's generator, one per image.

    Returns
    -------
    uint8 tensor [B, 3, size, size]
        Black where an image is broken.
    dict of int to str
        Position and reason of each broken image.
    """
    whole = torch.empty((len(read), 3, preprocess.size, preprocess.size), dtype=torch.uint8)
    if get_worker_info() is not None:
        # while it is empty; torch would copy the full tensor there to pass it to the training process
        whole.share_memory_()  # type: ignore[no-untyped-call]
    rooms = whole.numpy()
    broken: dict[int, str] = {}
    generator = torch.default_generator
    with torch.random.fork_rng(devices=[]):  # draws of the network must not depend on what loads
        for position, (read_one, seed) in enumerate(zip(read, seeds, strict=True)):
            generator.manual_seed(seed)  # torch.manual_seed also seeds all devices, which takes longer
            try:
                preprocess.change(decode_pixels(read_one(), least_side=preprocess.least_side), rooms[position])
            except (PictureError, OSError) as error:
                broken[position] = str(error)
                rooms[position] = 0
    return whole, broken


def decode_pixels(data: bytes, *, least_side: int) -> Pixels:
    """Decode an image to pixels, uint32 [H, W]: see :mod:`mlimages.models.data.pixels`.

    Colour JPEGs are decoded without Pillow, which is faster. Pillow decodes the others, and JPEGs that the fast decoder
    refuses; its error messages are the better ones.

    Parameters
    ----------
    data : bytes
    least_side : int
        See :func:`mlimages.images.picture.decode`.

    Raises
    ------
    PictureError
        Where it cannot be decoded.
    """
    if data.startswith(_JPEG):
        simplejpeg = _simplejpeg()
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(data)
            if space == "YCbCr" and height * width <= _MOST_PIXELS:
                least = least_side if min(height, width) >= 2 * least_side else 0  # 0: in full
                return pixels_of_bytes(simplejpeg.decode_jpeg(data, "RGBX", min_height=least, min_width=least))
        except ValueError:
            pass
    return pixels_of_picture(opaque(decode(data, least_side=least_side)))


@cache
def _simplejpeg() -> Any:
    return import_extra("simplejpeg", extra="train")


def picture_seed(seed: int, epoch: int, row: int) -> int:
    """The seed of torch's generator for one image in one epoch, below 2**63."""
    # splitmix64's constants, so that neighbouring rows and epochs get unrelated seeds
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + row * 0x94D049BB133111EB) % (1 << 64)
    return (mixed ^ (mixed >> 31)) % (1 << 63)


def opaque(picture: Image.Image) -> Image.Image:
    """The image in RGB, transparent parts on white."""
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
