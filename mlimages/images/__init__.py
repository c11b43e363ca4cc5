"""The pixels: from a list of images to bytes that sit beside their labels."""

from __future__ import annotations

from mlimages.images.download import DownloadProgress, download
from mlimages.images.options import DownloadOptions

__all__ = ["DownloadOptions", "DownloadProgress", "download"]
