"""The pixels: from a list of images to bytes that sit beside their labels.

``download`` is imported at once, as it is a function and the module that holds it: whoever imported the module first
would find the module under the function's name. The other names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlimages.images.download import DownloadProgress, download
from mlimages.images.options import DownloadOptions

if TYPE_CHECKING:
    from mlimages.images.duplicates import find_duplicates
    from mlimages.images.export import export_tfrecord
    from mlimages.images.fingerprint import fingerprint_images
    from mlimages.images.imagenet import extract
    from mlimages.images.merge import merge_duplicates
    from mlimages.images.packed import PackedImages, read
    from mlimages.images.packer import pack
    from mlimages.images.store import Row, write_shards

_HOME = {  # public name: the module that holds it
    "PackedImages": "packed",
    "Row": "store",
    "export_tfrecord": "export",
    "extract": "imagenet",
    "find_duplicates": "duplicates",
    "fingerprint_images": "fingerprint",
    "merge_duplicates": "merge",
    "pack": "packer",
    "read": "packed",
    "write_shards": "store",
}

__all__ = [
    "DownloadOptions",
    "DownloadProgress",
    "PackedImages",
    "Row",
    "download",
    "export_tfrecord",
    "extract",
    "find_duplicates",
    "fingerprint_images",
    "merge_duplicates",
    "pack",
    "read",
    "write_shards",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"mlimages.images.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mlimages.images' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
