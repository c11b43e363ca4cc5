"""The name of a picture: a function of its URL alone, safe on every file system."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
"""The formats that are kept, as Pillow calls them, and the file-name extension of each."""

_READABLE = 48  # characters of the URL's own file name that are kept
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def stem_of(url: str) -> str:
    """Folder and file name, without extension, of the picture at `url`.

    The file name is what is readable of the URL's last path part, and the first 128 bits of the SHA-256 of the whole
    URL: two URLs never share it, however alike they are. The folder is the first two digits of the hash, since file
    systems do not like seventeen million files in one folder. At most 84 characters of ``A-Za-z0-9_-``.

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
