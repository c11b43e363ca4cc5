"""From downloaded bytes to a stored image: named by its URL, checked by decoding within bounds, resized where asked."""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from mlimages.images.downloading.options import DownloadOptions
from mlimages.images.downloading.reason import Reason
from mlimages.images.picture import BROKEN
from mlimages.storage.imagefiles import FORMATS

if TYPE_CHECKING:
    import PIL.Image

#: Flickr answers 200 with this PNG ("This photo is no longer available") for images that are gone: its size in bytes
#: and its MD5, as the ImageNet URL downloaders have long published them.
FLICKR_UNAVAILABLE = (2051, "880a7a58e05d3e83797f27573bb6d35c")

_SMALL_BYTES = 1 << 16
_SMALL_PIXELS = 1 << 18

_READABLE = 48  # characters of the URL's own file name that are kept
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one body: `reason` is None where an image was kept, and then `name` is its file."""

    reason: str | None
    bytes: int | None
    name: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    sha256: str | None = None


def stem_of(url: str) -> str:
    """Folder and file name, without a suffix, of the image at `url`.

    The file name is the readable part of the URL's last path segment, followed by the first 128 bits of the SHA-256 of
    the whole URL, so that different URLs get different names. The folder is the first two digits of the hash, since
    file systems are slow with millions of files in one folder. At most 84 characters of ``A-Za-z0-9_-``, which every
    file system accepts.

    Examples
    --------
    >>> stem_of("https://example.org/a/b/cat.jpg?size=o")
    '98/cat-982665a766e90b1aa31c40279ab5fa29'
    >>> stem_of("https://example.org/../../etc/passwd")
    '53/passwd-53c1db3755db9ae9490a75bee2a6a3e0'
    """
    digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    last = unquote(re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/").rpartition("/")[2])
    body = last.rpartition(".")[0] or last
    readable = _UNSAFE.sub("-", body[: 4 * _READABLE])[:_READABLE].strip("-_")
    return f"{digest[:2]}/{readable}-{digest}" if readable else f"{digest[:2]}/{digest}"


def keep_image(
    body: bytes | Path,
    stem: str,
    *,
    folder: Path,
    partial: Path,
    options: DownloadOptions,
    unavailable: tuple[int, str] = FLICKR_UNAVAILABLE,
) -> Verdict:
    """Check a body, resize it where asked, and store it as `stem` with the suffix of its format.

    Parameters
    ----------
    body : bytes or Path
        What arrived; a file is moved.
    stem : str
        Name below `folder`, without a suffix: see :func:`stem_of`.
    folder, partial : Path
        Where images are stored, and a folder on the same file system where they are written first.
    options : DownloadOptions
        `max_pixels`, `placeholders`, `resize` and `quality` are used.
    unavailable : tuple of int and str
        Size in bytes and MD5 of the body that a host sends in place of a missing image.

    Returns
    -------
    Verdict
        Size, format, mode and SHA-256 are those of the file stored.
    """
    from PIL import Image, UnidentifiedImageError

    size = len(body) if isinstance(body, bytes) else body.stat().st_size
    digest = _digest(body)
    if digest in options.placeholders or _is_unavailable(body, size, unavailable):
        return Verdict(Reason.PLACEHOLDER, size, sha256=digest)
    with _opened(body) as file:
        try:
            image = Image.open(file, formats=list(FORMATS))
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
    name = stem + FORMATS[kind][0]
    _store(body, folder / name, partial)
    return Verdict(None, size, name, width, height, kind, mode, digest)


def is_small(body: bytes) -> bool:
    """Whether a body can be checked within a few milliseconds, by its header: a small file may be a large image."""
    from PIL import Image

    if len(body) > _SMALL_BYTES:
        return False
    try:
        with Image.open(io.BytesIO(body), formats=list(FORMATS)) as image:
            return image.width * image.height <= _SMALL_PIXELS
    except BROKEN:
        return True  # the check ends at the header


def _flaw(image: PIL.Image.Image, max_pixels: int) -> Reason | None:
    """Decode an opened image; return the reason to reject it, or None."""
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
    """Encode as an upright JPEG on white, its shorter side at most `shorter` pixels; return its bytes and size."""
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


def _is_unavailable(body: bytes | Path, size: int, unavailable: tuple[int, str]) -> bool:
    known, digest = unavailable
    if size != known or not isinstance(body, bytes):
        return False
    return hashlib.md5(body, usedforsecurity=False).hexdigest() == digest


def _opened(body: bytes | Path) -> BinaryIO:
    return io.BytesIO(body) if isinstance(body, bytes) else body.open("rb")


def _store(body: bytes | Path, path: Path, partial: Path) -> None:
    """Write under a temporary name, then rename, so that readers only ever see whole files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(body, Path):
        body.replace(path)
        return
    temporary = partial / f"image-{os.getpid()}-{threading.get_native_id()}"
    temporary.write_bytes(body)
    temporary.replace(path)


@contextmanager
def pillow_settings() -> Iterator[None]:
    """Disable Pillow's size limit, since `max_pixels` replaces it, and its warnings about single images."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
