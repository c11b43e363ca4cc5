"""Compiled loops of grouping hashes: a counting sort into buckets, and a union-find over positions."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _key(value: Any, shifts: Any, widths: Any) -> Any:  # pragma: no cover - compiled
    """The bits of some blocks, given by where they begin and how wide they are, one after another."""
    key = np.uint64(0)
    one = np.uint64(1)
    for i in range(len(shifts)):
        key = (key << widths[i]) | ((value >> shifts[i]) & ((one << widths[i]) - one))
    return key


@numba.njit(cache=True, nogil=True)
def bucket_sort(
    values: Any, shifts: Any, widths: Any, starts: Any, hashes: Any, positions: Any
) -> None:  # pragma: no cover - compiled
    """Fill `hashes` and `positions` bucket by bucket, and `starts` [buckets + 1] with the start of each."""
    for i in range(len(values)):
        starts[_key(values[i], shifts, widths)] += 1
    total = 0
    for bucket in range(len(starts)):
        starts[bucket], total = total, total + starts[bucket]
    for i in range(len(values)):
        bucket = _key(values[i], shifts, widths)
        at = starts[bucket]
        hashes[at] = values[i]
        positions[at] = i
        starts[bucket] = at + 1
    for bucket in range(len(starts) - 1, 0, -1):  # each start has moved to its end: move them back
        starts[bucket] = starts[bucket - 1]
    starts[0] = 0


@numba.njit(cache=True, nogil=True)
def _bits_set(value: Any) -> Any:  # pragma: no cover - compiled
    """Number of bits set, written so that LLVM compiles it to the POPCNT instruction."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (value * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
def _find(root: Any, i: Any) -> Any:  # pragma: no cover - compiled
    """The root of an item, halving the path to it."""
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@numba.njit(cache=True, nogil=True)
def _unite(root: Any, i: Any, j: Any) -> None:  # pragma: no cover - compiled
    """Join the groups of two items; the lesser root becomes the root of both."""
    i, j = _find(root, i), _find(root, j)
    if i < j:
        root[j] = i
    elif j < i:
        root[i] = j


@numba.njit(cache=True, nogil=True)
def join_near(starts: Any, hashes: Any, positions: Any, threshold: int, root: Any) -> None:  # pragma: no cover
    """Join the hashes of each bucket that differ in at most `threshold` bits."""
    limit = np.uint64(threshold)
    for bucket in range(len(starts) - 1):
        start, stop = starts[bucket], starts[bucket + 1]
        for i in range(start, stop - 1):
            value = hashes[i]
            for j in range(i + 1, stop):
                if _bits_set(value ^ hashes[j]) <= limit:
                    _unite(root, positions[i], positions[j])


@numba.njit(cache=True, nogil=True)
def join(grouping: Any, root: Any) -> None:  # pragma: no cover - compiled
    """Join each item to the first of its group in `grouping`."""
    for i in range(len(grouping)):
        _unite(root, i, grouping[i])


@numba.njit(cache=True, nogil=True)
def flatten(root: Any) -> None:  # pragma: no cover - compiled
    """Point every item to its root directly; a root is the least of its group, so one pass in order is enough."""
    for i in range(len(root)):
        root[i] = root[root[i]]
