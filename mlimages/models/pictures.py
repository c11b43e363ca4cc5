"""Files of pictures as a tensor: read, decoded, prepared, the broken ones named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812, torchvision's own way

from mlimages.errors import import_extra
from mlimages.images.picture import PictureError, decode

if TYPE_CHECKING:
    from mlimages.models.preprocess import Preprocess

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
    uint8 tensor [B, 3, H, W]
        Black where a picture is broken.
    dict of int to str
        Position and reason of each that is broken.
    """
    pictures: list[Tensor | None] = []
    broken: dict[int, str] = {}
    generator = torch.default_generator
    with torch.random.fork_rng(devices=[]):  # the draws of a network must not depend on who loads
        for position, (read_one, seed) in enumerate(zip(read, seeds, strict=True)):
            generator.manual_seed(seed)  # torch.manual_seed asks every kind of device, which takes longer
            try:
                pictures.append(preprocess(decode_tensor(read_one(), least_side=preprocess.least_side)))
            except (PictureError, OSError) as error:
                pictures.append(None)
                broken[position] = str(error)
        shape = next((each for each in pictures if each is not None), None)
        if shape is None:
            shape = preprocess(torch.zeros((3, 64, 64), dtype=torch.uint8))
    whole = torch.zeros((len(pictures), *shape.shape), dtype=torch.uint8)
    for position, each in enumerate(pictures):
        if each is not None:
            whole[position] = each
    return whole, broken


def decode_tensor(data: bytes, *, least_side: int) -> Tensor:
    """Decode a picture to a uint8 tensor [3, H, W].

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
        simplejpeg = import_extra("simplejpeg", extra="train")
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(data)
            if space == "YCbCr" and height * width <= _MOST_PIXELS:
                least = least_side if min(height, width) >= 2 * least_side else 0  # 0: in full
                pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=least, min_width=least)
                return torch.from_numpy(pixels).permute(2, 0, 1)
        except ValueError:
            pass
    tensor: Tensor = F.pil_to_tensor(opaque(decode(data, least_side=least_side)))
    return tensor


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
