"""Compiled work on the names of images: hashes of Arrow text."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.sources.imagelistkernels import hash_key

_BYTES = nb.types.Array(nb.uint8, 1, "C", readonly=True)
_OFFSETS = nb.types.Array(nb.int32, 1, "C", readonly=True)

#: 2**64 divided by the golden ratio: multiplying by it spreads all bits of a hash into the upper ones (Knuth).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@nb.njit([nb.void(_BYTES, _OFFSETS, nb.uint64[::1])], cache=True, nogil=True)
def hash_names(data, offsets, out):  # type: ignore[no-untyped-def]
    """The 64-bit hash of every name; name i is ``data[offsets[i]:offsets[i + 1]]``."""
    for i in range(len(offsets) - 1):
        out[i] = hash_key(data, offsets[i], offsets[i + 1]) * _GOLDEN
