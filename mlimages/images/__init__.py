"""The pixels: download, check and store the images that the labels are about."""

from __future__ import annotations

from mlimages.images.download import DownloadProgress, download
from mlimages.images.options import DownloadOptions

__all__ = ["DownloadOptions", "DownloadProgress", "download"]
