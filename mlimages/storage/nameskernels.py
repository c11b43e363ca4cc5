"""Compiled work on names and keys: hashes of Arrow text, and hash tables over them."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import BYTES, INDICES, INDPTR, OFFSETS, compiled, readonly_array

_HASHES = readonly_array(nb.uint64, 2)
_SLOTS = readonly_array(nb.int32)

#: Odd 64-bit constants of the two hashes of a name: those of splitmix64 and of murmur3's finalizer.
_P1, _P2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)

#: The bits of a hash that choose its slot begin here: the lower ones are much alike within a bucket of rows.
_SLOT_SHIFT = np.uint64(20)


@compiled(nb.uint64(BYTES, nb.int64, nb.int64))
def hash_key(data, start, stop):  # type: ignore[no-untyped-def]
    """FNV-1a, 64 bits (Fowler, Noll and Vo)."""
    value = np.uint64(14695981039346656037)
    for i in range(start, stop):
        value = (value ^ np.uint64(data[i])) * np.uint64(1099511628211)
    return value ^ (value >> np.uint64(32))


@compiled(nb.void(BYTES, INDPTR, nb.int32[::1]))
def fill_slots(keys, key_offsets, slots):  # type: ignore[no-untyped-def]
    """Enter every key into an open-addressing table; `slots` is -1 everywhere and its length a power of two."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(key_offsets) - 1):
        slot = hash_key(keys, key_offsets[i], key_offsets[i + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = i


@compiled(nb.int64(BYTES, nb.int64, nb.int64, BYTES, INDPTR, INDICES))
def find_key(data, start, stop, keys, key_offsets, slots):  # type: ignore[no-untyped-def]
    """Index of the key in ``[start, stop)``, or -1."""
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


@compiled(nb.uint64(nb.uint64))
def _mixed(h):  # type: ignore[no-untyped-def]
    """Murmur3's 64-bit finalizer: every bit of the input reaches every bit of the output."""
    h = (h ^ (h >> np.uint64(33))) * _M1
    h = (h ^ (h >> np.uint64(33))) * _M2
    return h ^ (h >> np.uint64(33))


@compiled(nb.void(BYTES, OFFSETS, nb.uint64[:, ::1]))
def hash_names(data, offsets, out):  # type: ignore[no-untyped-def]
    """Write two independent 64-bit hashes of every name; name i is ``data[offsets[i]:offsets[i + 1]]``."""
    one, eight = np.uint64(1), np.uint64(8)
    for row in range(len(offsets) - 1):
        at, stop = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        first = (stop - at) * _P1
        second = (stop - at) + _P2
        while at < stop:
            word = np.uint64(0)
            if stop - at >= eight:  # eight bytes that the compiler fetches as one word
                for byte in range(8):
                    word |= np.uint64(data[at + np.uint64(byte)]) << np.uint64(8 * byte)
                at += eight
            else:
                shift = np.uint64(0)
                while at < stop:
                    word |= np.uint64(data[at]) << shift
                    shift += eight
                    at += one
            first = _mixed(first ^ word)
            second = (second ^ (word * _P1)) * _P2
            second ^= second >> np.uint64(29)
        out[row, 0] = first
        out[row, 1] = _mixed(second)


@compiled(nb.int64(_HASHES, nb.int32[::1]))
def fill_index(hashes, slots):  # type: ignore[no-untyped-def]
    """Enter the rows of `hashes`, of equal ones the first, into an open-addressing table.

    `slots` is -1 everywhere, its length a power of two above the number of rows. Returns the first row with the
    hashes of an earlier one, or -1.
    """
    mask = np.uint64(len(slots) - 1)
    repeated = -1
    for row in range(len(hashes)):
        at = (hashes[row, 0] >> _SLOT_SHIFT) & mask
        while slots[at] >= 0:
            other = slots[at]
            if hashes[other, 0] == hashes[row, 0] and hashes[other, 1] == hashes[row, 1]:
                if repeated < 0:
                    repeated = row
                break
            at = (at + np.uint64(1)) & mask
        else:
            slots[at] = row
    return repeated


@compiled(nb.void(_HASHES, _HASHES, _SLOTS, nb.int32[::1]))
def find_in_index(wanted, hashes, slots, found):  # type: ignore[no-untyped-def]
    """Write for each row of `wanted` the row of `hashes`, entered in `slots`, that has the same two; -1 for none."""
    mask = np.uint64(len(slots) - 1)
    for row in range(len(wanted)):
        found[row] = -1
        at = (wanted[row, 0] >> _SLOT_SHIFT) & mask
        while slots[at] >= 0:
            other = slots[at]
            if hashes[other, 0] == wanted[row, 0] and hashes[other, 1] == wanted[row, 1]:
                found[row] = other
                break
            at = (at + np.uint64(1)) & mask
