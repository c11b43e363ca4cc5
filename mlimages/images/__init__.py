"""The pixels: from a list of images to bytes that sit beside their labels.

``download`` is imported at once, as it is a function and the module that holds it: whoever imported the module first
would find the module under the function's name.
"""

from __future__ import annotations

from mlimages.images.download import DownloadProgress, download
from mlimages.images.options import DownloadOptions

__all__ = ["DownloadOptions", "DownloadProgress", "download"]
