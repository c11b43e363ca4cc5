"""The compiled kernels, loaded at once: compiled on the first run, read from numba's cache later."""

from __future__ import annotations

import logging
import time
from functools import cache
from importlib import import_module

_LOG = logging.getLogger("mlimages")


@cache
def load_kernels(*names: str) -> float:
    """Load modules of kernels by their full `names`; return the seconds it took.

    Where they had to be compiled, that is logged: it happens once for an installation, not once for a run.
    """
    start = time.perf_counter()
    modules = [import_module(name) for name in names]
    seconds = time.perf_counter() - start
    kernels = [each for module in modules for each in vars(module).values() if hasattr(each, "stats")]
    if any(kernel.stats.cache_misses for kernel in kernels):
        _LOG.info("compiled the kernels in %.1f s, once: later runs load them from a cache", seconds)
    return seconds
