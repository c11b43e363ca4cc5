"""Bytes to a checked picture: decoded once, bounded, known by its content and not by its header, then stored."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlimages.images.downloading.name import EXTENSIONS
from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.reason import Reason
from mlimages.images.picture import BROKEN

if TYPE_CHECKING:
    import PIL.Image

# Flickr answers 200 with this PNG ("This photo is no longer available") for pictures that are gone: its size in bytes
# and its MD5, as the ImageNet URL downloaders have long published them.
_FLICKR_UNAVAILABLE = (2051, "880a7a58e05d3e83797f27573bb6d35c")

_SMALL_BYTES = 1 << 16
_SMALL_PIXELS = 1 << 18


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a body: `reason` is None where a picture was kept, and then `name` is its file."""

    reason: str | None
    bytes: int | None
    name: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    sha256: str | None = None


def keep_image(body: bytes | Path, stem: str, *, folder: Path, partial: Path, options: DownloadOptions) -> Verdict:
    """Check a body, resize it where asked, and store it as `stem` with the extension of its format.

    Parameters
    ----------
    body : bytes or Path
        What arrived; a file is moved.
    stem : str
        Name below `folder`, without extension.
    folder, partial : Path
        Where pictures are stored, and a folder on the same file system where they are written first.
    options : DownloadOptions
        `max_pixels`, `placeholders`, `resize` and `quality` are used.

    Returns
    -------
    Verdict
        Size, format, mode and SHA-256 are those of the file stored.
    """
    from PIL import Image, UnidentifiedImageError

    size = len(body) if isinstance(body, bytes) else body.stat().st_size
    digest = _digest(body)
    if digest in options.placeholders or _is_flickr_placeholder(body, size):
        return Verdict(Reason.PLACEHOLDER, size, sha256=digest)
    with _opened(body) as file:
        try:
            # only these: other plug-ins run programs, or are seldom looked after
            image = Image.open(file, formats=list(EXTENSIONS))
        except UnidentifiedImageError:
            return Verdict(Reason.NOT_AN_IMAGE, size)
        except BROKEN as error:
            return Verdict(_word(error), size)
        with image:
            reason = _flaw(image, options.max_pixels)
            if reason is not None:
                return Verdict(reason, size, width=image.width, height=image.height)
            kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG, with a second view behind it
            width, height, mode = image.width, image.height, image.mode
            if options.resize is not None:
                body, (width, height) = _resized(image, options.resize, options.quality)
                size, digest, kind, mode = len(body), _digest(body), "JPEG", "RGB"
    name = stem + EXTENSIONS[kind]
    _store(body, folder / name, partial)
    return Verdict(None, size, name, width, height, kind, mode, digest)


def is_small(body: bytes) -> bool:
    """Whether a body is checked within a few milliseconds: by its header, as a small file may be a large picture."""
    from PIL import Image

    if len(body) > _SMALL_BYTES:
        return False
    try:
        with Image.open(io.BytesIO(body), formats=list(EXTENSIONS)) as image:
            return image.width * image.height <= _SMALL_PIXELS
    except BROKEN:
        return True  # it ends there


def _flaw(image: PIL.Image.Image, max_pixels: int) -> Reason | None:
    """Decode an opened image; say what is wrong with it."""
    if image.width * image.height > max_pixels:
        return Reason.TOO_MANY_PIXELS
    try:
        if image.format != "MPO" and getattr(image, "is_animated", False):
            return Reason.ANIMATED
        image.load()
    except BROKEN as error:
        return _word(error)
    return None


def _word(error: Exception) -> Reason:
    return Reason.TRUNCATED if "truncated" in str(error).lower() else Reason.DAMAGED


def _resized(image: PIL.Image.Image, shorter: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    """A JPEG, upright, without alpha (on white), its shorter side at most `shorter` pixels."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("LA", "PA", "RGBA") or "transparency" in upright.info:
        alpha = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", alpha.size, "white"), alpha)
    picture = upright.convert("RGB")
    scale = shorter / min(picture.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue(), picture.size


def _digest(body: bytes | Path) -> str:
    if isinstance(body, bytes):
        return hashlib.sha256(body).hexdigest()
    with body.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_flickr_placeholder(body: bytes | Path, size: int) -> bool:
    known, digest = _FLICKR_UNAVAILABLE
    if size != known or not isinstance(body, bytes):
        return False
    return hashlib.md5(body, usedforsecurity=False).hexdigest() == digest


def _opened(body: bytes | Path) -> BinaryIO:
    return io.BytesIO(body) if isinstance(body, bytes) else body.open("rb")


def _store(body: bytes | Path, path: Path, partial: Path) -> None:
    """Write under a temporary name, then rename: whoever sees the file sees all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(body, Path):
        body.replace(path)
        return
    temporary = partial / f"image-{os.getpid()}-{threading.get_native_id()}"
    temporary.write_bytes(body)
    temporary.replace(path)


@contextmanager
def pillow_settings() -> Iterator[None]:
    """Let Pillow refuse nothing by size, since we do, nor warn of each odd picture among millions."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
