"""Compiled work on names and keys: hashes of them, and hash tables that find a key by its bytes."""

from __future__ import annotations

import numba as nb
import numpy as np

_BYTES = nb.types.Array(nb.uint8, 1, "C", readonly=True)
_INDICES = nb.types.Array(nb.int32, 1, "C", readonly=True)
_INDPTR = nb.types.Array(nb.int64, 1, "C", readonly=True)

#: 2**64 divided by the golden ratio: multiplying by it spreads all bits of a hash into the upper ones (Knuth).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@nb.njit([nb.uint64(_BYTES, nb.int64, nb.int64)], cache=True, nogil=True)
def hash_key(data, start, stop):  # type: ignore[no-untyped-def]
    """FNV-1a, 64 bits (Fowler, Noll and Vo)."""
    value = np.uint64(14695981039346656037)
    for i in range(start, stop):
        value = (value ^ np.uint64(data[i])) * np.uint64(1099511628211)
    return value ^ (value >> np.uint64(32))


@nb.njit([nb.void(_BYTES, _INDPTR, nb.int32[::1])], cache=True, nogil=True)
def fill_slots(keys, key_offsets, slots):  # type: ignore[no-untyped-def]
    """Enter every key into an open-addressing table; `slots` is -1 everywhere and its length a power of two."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(key_offsets) - 1):
        slot = hash_key(keys, key_offsets[i], key_offsets[i + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = i


@nb.njit([nb.int64(_BYTES, nb.int64, nb.int64, _BYTES, _INDPTR, _INDICES)], cache=True, nogil=True)
def find_key(data, start, stop, keys, key_offsets, slots):  # type: ignore[no-untyped-def]
    """Index of the key that stands at ``[start, stop)``, or -1."""
    mask = np.uint64(len(slots) - 1)
    slot = hash_key(data, start, stop) & mask
    while slots[slot] >= 0:
        i = slots[slot]
        if key_offsets[i + 1] - key_offsets[i] == stop - start:
            same = True
            for k in range(stop - start):
                if keys[key_offsets[i] + k] != data[start + k]:
                    same = False
                    break
            if same:
                return i
        slot = (slot + np.uint64(1)) & mask
    return -1


@nb.njit([nb.void(_BYTES, _INDICES, nb.uint64[::1])], cache=True, nogil=True)
def hash_names(data, offsets, out):  # type: ignore[no-untyped-def]
    """The 64-bit hash of every name; name i is ``data[offsets[i]:offsets[i + 1]]``."""
    for i in range(len(offsets) - 1):
        out[i] = hash_key(data, offsets[i], offsets[i + 1]) * _GOLDEN
