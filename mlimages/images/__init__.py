"""Images: downloading, extracting, deduplicating, packing beside their labels, and exporting them.

Names are imported on first use, since some need a compiler or an extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.images.downloading.download import DownloadProgress, download
    from mlimages.images.downloading.options import DownloadOptions
    from mlimages.images.duplicates.fingerprints import fingerprint_images
    from mlimages.images.duplicates.groups import find_duplicates
    from mlimages.images.duplicates.merge import merge_duplicates
    from mlimages.images.imagenet import extract
    from mlimages.images.packed.packing import pack
    from mlimages.images.packed.reading import PackedImages, read
    from mlimages.images.packed.writing import Row, write_shards
    from mlimages.images.tfrecord.export import export_tfrecord

_HOME = {  # public name: the module that holds it
    "DownloadOptions": "downloading.options",
    "DownloadProgress": "downloading.download",
    "PackedImages": "packed.reading",
    "Row": "packed.writing",
    "download": "downloading.download",
    "export_tfrecord": "tfrecord.export",
    "extract": "imagenet",
    "find_duplicates": "duplicates.groups",
    "fingerprint_images": "duplicates.fingerprints",
    "merge_duplicates": "duplicates.merge",
    "pack": "packed.packing",
    "read": "packed.reading",
    "write_shards": "packed.writing",
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
