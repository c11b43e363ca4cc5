"""``mlimages build``: all steps of the published method, from label lists to the final tables."""

from __future__ import annotations

from mlimages.build.config import BuildConfig
from mlimages.build.pipeline import build

__all__ = ["BuildConfig", "build"]
