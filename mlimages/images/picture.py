"""Decoding of images from untrusted bytes, and encoding as JPEG."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, cast

from mlimages.errors import MlimagesError, first_line, import_extra
from mlimages.storage.imagefiles import FORMATS

if TYPE_CHECKING:
    from PIL import Image

#: Quality of a JPEG converted from another format, as in the published shards.
JPEG_QUALITY = 100


#: What Pillow raises on malformed bytes.
BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, MemoryError,
    ZeroDivisionError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


class PictureError(MlimagesError, ValueError):
    """Bytes that cannot be decoded as an image."""


def decode(data: bytes, *, least_side: int | None = None) -> Image.Image:
    """Decode an image: all its pixels, of an animation the first frame.

    Parameters
    ----------
    data : bytes
        The encoded image.
    least_side : int, optional
        A JPEG whose shorter side is at least twice this, in pixels, is decoded at a half, a quarter or an eighth of its
        size, with a shorter side of at least this, which is several times as fast. Other formats keep their size.

    Returns
    -------
    PIL.Image.Image
        In mode RGB, or RGBA where there is transparency; 16-bit grey is scaled to 8 bits.

    Raises
    ------
    PictureError
        If the bytes are not an image, or are a damaged one or one of more than 179 million pixels.
    """
    image = _opened(data)
    with image:
        try:
            if least_side is not None and image.format == "JPEG" and image.mode in ("RGB", "L"):
                image.draft(image.mode, _drafted(image.size, least_side))
            image.load()
            return _eight_bits(image)
        except BROKEN as error:
            raise PictureError(f"damaged {image.format} ({first_line(error)})") from error


def probe(data: bytes) -> tuple[str, int, int]:
    """Format (``JPEG``, ``PNG``, ...), width and height in pixels of an image, from its header.

    Raises
    ------
    PictureError
        If the bytes are not an image.
    """
    with _opened(data) as image:
        return "JPEG" if image.format == "MPO" else str(image.format), image.width, image.height


def to_jpeg(data: bytes) -> bytes:
    """Encode an image as an RGB JPEG of quality 100, without transparency, as the published shards were made.

    Raises
    ------
    PictureError
        Where it cannot be decoded.
    """
    out = io.BytesIO()
    decode(data).convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def _opened(data: bytes) -> Image.Image:
    image_module = import_extra("PIL.Image", extra="images")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about single images among millions
            return cast("Image.Image", image_module.open(io.BytesIO(data), formats=list(FORMATS)))
    except image_module.UnidentifiedImageError:
        raise PictureError(
            f"found {data[:8]!r}..., {len(data)} bytes, expected a {', '.join(FORMATS)} picture"
        ) from None
    except (*BROKEN, image_module.DecompressionBombError) as error:
        raise PictureError(first_line(error)) from error


def _drafted(size: tuple[int, int], least_side: int) -> tuple[int, int]:
    """The size to request of Pillow, which scales by the largest power of two that keeps both sides as long."""
    scale = max(1, min(size) // max(1, least_side))
    return size[0] // scale, size[1] // scale


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which the conversion would clip
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")
