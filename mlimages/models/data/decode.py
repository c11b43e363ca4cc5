"""Files of pictures as a tensor: read, decoded, prepared, the broken ones named."""

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
_MOST_PIXELS = 1 << 24  # beyond, Pillow's own limits decide


def load_pictures(
    read: Sequence[Callable[[], bytes]], preprocess: Preprocess, *, seeds: Sequence[int]
) -> tuple[Tensor, dict[int, str]]:
    """Read, decode and prepare pictures.

    Parameters
    ----------
    read : sequence of callable
        Each gives the bytes of a file, or raises what a broken one does.
    preprocess : Preprocess
    seeds : sequence of int
        Of torch's generator, for each picture.

    Returns
    -------
    uint8 tensor [B, 3, size, size]
        Black where a picture is broken.
    dict of int to str
        Position and reason of each that is broken.
    """
    whole = torch.empty((len(read), 3, preprocess.size, preprocess.size), dtype=torch.uint8)
    if get_worker_info() is not None:
        # still empty; torch would copy it there full, to hand it to the process that trains
        whole.share_memory_()  # type: ignore[no-untyped-call]
    rooms = whole.numpy()
    broken: dict[int, str] = {}
    generator = torch.default_generator
    with torch.random.fork_rng(devices=[]):  # the draws of a network must not depend on who loads
        for position, (read_one, seed) in enumerate(zip(read, seeds, strict=True)):
            generator.manual_seed(seed)  # torch.manual_seed asks every kind of device, which takes longer
            try:
                preprocess.change(decode_pixels(read_one(), least_side=preprocess.least_side), rooms[position])
            except (PictureError, OSError) as error:
                broken[position] = str(error)
                rooms[position] = 0
    return whole, broken


def decode_pixels(data: bytes, *, least_side: int) -> Pixels:
    """Decode a picture to pixels, uint32 [H, W]: see :mod:`mlimages.models.data.pixels`.

    JPEGs in colour take the short way, without Pillow; what does not decode there without complaint, Pillow may still
    read, and its errors are the ones that tell.

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
    """What torch's generator starts from for one picture in one epoch."""
    # splitmix64's constants: neighbouring rows and epochs get seeds that are far apart
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + row * 0x94D049BB133111EB) % (1 << 64)
    return (mixed ^ (mixed >> 31)) % (1 << 63)


def opaque(picture: Image.Image) -> Image.Image:
    """In RGB; where it is transparent, white shines through, as on a page."""
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
