"""Groups of 64-bit hashes that differ in few bits, without comparing all pairs.

Cut the 64 bits into m blocks. Two hashes that differ in at most t bits differ in at most t blocks, so they agree in
at least m - t of them (the pigeonhole principle): for each choice of m - t blocks, hashes that agree there fall into
one bucket, and only hashes of one bucket are compared (multi-index hashing; Norouzi, Punjani and Fleet 2012,
https://arxiv.org/abs/1307.2982). More blocks make more choices, each with longer keys and so smaller buckets; the
cheapest number for the count of hashes is computed.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mlimages.errors import MlimagesError

#: A greater distance would call unrelated pictures alike, and take for ever.
LARGEST_THRESHOLD = 16

_BITS = 64
_LONGEST_KEY = 24  # bits: 16 million buckets
_SORT_COST, _COMPARE_COST = 150.0, 1.0  # nanoseconds to put one hash into its bucket, and to compare one pair


def near_groups(hashes: NDArray[np.uint64], *, threshold: int) -> NDArray[np.int64]:
    """Group hashes: two that differ in at most `threshold` bits are in one group, and so is what they chain to.

    Parameters
    ----------
    hashes : uint64 array, shape (n,)
        Fewer than 2**32 of them.
    threshold : int
        The greatest Hamming distance within which two hashes are alike, 0 to 16.

    Returns
    -------
    int64 array, shape (n,)
        Of each hash, the position of the first hash of its group.

    Raises
    ------
    MlimagesError
        Where the threshold is out of range.

    Notes
    -----
    Exact: every pair within the threshold is found. Memory is about 50 bytes a hash. Time grows with the size of the
    buckets, so hashes of which very many agree in most bits are slow.

    Examples
    --------
    >>> near_groups(np.array([0b0000, 0b1111, 0b0001, 0b0111], np.uint64), threshold=1)
    array([0, 1, 0, 1])
    """
    if not 0 <= threshold <= LARGEST_THRESHOLD:
        raise MlimagesError(
            f"found the threshold {threshold}, expected the bits that may differ, 0 to {LARGEST_THRESHOLD}"
        )
    values, first, of_value = _distinct(hashes)
    root = np.arange(len(values), dtype=np.uint32)
    if threshold and len(values) > 1:
        blocks, kept = _layout(len(values), threshold)
        bounds = np.linspace(0, _BITS, blocks + 1).astype(np.int64)  # block i is the bits bounds[i] to bounds[i + 1]
        buckets = _Buckets(len(values))
        for chosen in combinations(range(blocks), kept):
            shifts, widths = bounds[list(chosen)], np.diff(bounds)[list(chosen)]
            buckets.fill(values, shifts, widths)
            _join_near(buckets.starts, buckets.hashes, buckets.positions, threshold, root)
    _flatten(root)
    # positions of distinct values ascend with the value, not with where it stood: the first of a group is a minimum
    first_of_root = np.full(len(values), len(hashes), np.int64)
    np.minimum.at(first_of_root, root, first)
    result: NDArray[np.int64] = first_of_root[root[of_value]]
    return result


def equal_groups(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Group 128-bit values, given as halves, that are equal: of each, the position of the first that equals it.

    Examples
    --------
    >>> equal_groups(np.array([7, 5, 7, 7], np.uint64), np.array([1, 1, 1, 2], np.uint64))
    array([0, 1, 0, 3])
    """
    order = np.lexsort((low, high))  # stable, so equal values keep their order
    same = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
    starts = np.concatenate([[True], ~same])[: len(order)]
    result = np.empty(len(high), np.int64)
    result[order] = order[starts][np.cumsum(starts) - 1]
    return result


def join_groups(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join two groupings: what is together in either is together in the result.

    Parameters
    ----------
    a, b : int64 array, shape (n,)
        Of each item, the position of the first of its group.

    Examples
    --------
    >>> join_groups(np.array([0, 0, 2, 3]), np.array([0, 1, 1, 3]))
    array([0, 0, 0, 3])
    """
    root = np.arange(len(a), dtype=np.uint32)
    for grouping in (a, b):
        _join(grouping, root)
    _flatten(root)
    return root.astype(np.int64)


def _distinct(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint32]]:
    """The distinct values, ascending; where each stands first; of each hash, which value it is.

    ``np.unique`` does the same in ten times the time on 17 million hashes.
    """
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.empty(len(hashes), bool)
    starts[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    of_value = np.empty(len(hashes), np.uint32)
    of_value[order] = np.cumsum(starts, dtype=np.int64) - 1
    return ordered[starts], order[starts], of_value


def _layout(count: int, threshold: int) -> tuple[int, int]:
    """How many blocks to cut, and how many of them make a key, for the least time."""

    def nanoseconds(kept: int) -> float:
        blocks = threshold + kept
        bits = min(_BITS * kept // blocks, _longest_key(count))
        buckets: int = 1 << bits
        return math.comb(blocks, kept) * count * (_SORT_COST + _COMPARE_COST * count / buckets / 2)

    kept = min(range(1, 7), key=nanoseconds)
    return threshold + kept, kept


def _longest_key(count: int) -> int:
    """Bits of a key: more buckets than hashes help nobody."""
    return min(count.bit_length(), _LONGEST_KEY)


class _Buckets:
    """Hashes sorted by key with one counting sort a key, in arrays that are allocated once."""

    def __init__(self, count: int) -> None:
        self.hashes = np.empty(count, np.uint64)
        self.positions = np.empty(count, np.uint32)
        self.starts = np.empty(0, np.int64)  # of each bucket; one more marks the end

    def fill(self, values: NDArray[np.uint64], shifts: NDArray[np.int64], widths: NDArray[np.int64]) -> None:
        widths = widths.copy()
        while widths.sum() > _longest_key(len(values)):  # a shorter key makes bigger buckets, which hold the same pairs
            widths[np.argmax(widths)] -= 1
        self.starts = np.zeros((1 << int(widths.sum())) + 1, np.int64)
        _bucket_sort(
            values, shifts.astype(np.uint64), widths.astype(np.uint64), self.starts, self.hashes, self.positions
        )


@numba.njit(cache=True, nogil=True)
def _key(value: Any, shifts: Any, widths: Any) -> Any:  # pragma: no cover - compiled
    key = np.uint64(0)
    one = np.uint64(1)
    for i in range(len(shifts)):
        key = (key << widths[i]) | ((value >> shifts[i]) & ((one << widths[i]) - one))
    return key


@numba.njit(cache=True, nogil=True)
def _bucket_sort(
    values: Any, shifts: Any, widths: Any, starts: Any, hashes: Any, positions: Any
) -> None:  # pragma: no cover - compiled
    """Fill `hashes` and `positions` bucket by bucket, and `starts` [buckets + 1] with where each begins."""
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
    """Population count, in the form that compilers turn into the instruction."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (value * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
def _find(root: Any, i: Any) -> Any:  # pragma: no cover - compiled
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@numba.njit(cache=True, nogil=True)
def _unite(root: Any, i: Any, j: Any) -> None:  # pragma: no cover - compiled
    i, j = _find(root, i), _find(root, j)
    if i < j:
        root[j] = i
    elif j < i:
        root[i] = j


@numba.njit(cache=True, nogil=True)
def _join_near(starts: Any, hashes: Any, positions: Any, threshold: int, root: Any) -> None:  # pragma: no cover
    limit = np.uint64(threshold)
    for bucket in range(len(starts) - 1):
        start, stop = starts[bucket], starts[bucket + 1]
        for i in range(start, stop - 1):
            value = hashes[i]
            for j in range(i + 1, stop):
                if _bits_set(value ^ hashes[j]) <= limit:
                    _unite(root, positions[i], positions[j])


@numba.njit(cache=True, nogil=True)
def _join(grouping: Any, root: Any) -> None:  # pragma: no cover - compiled
    for i in range(len(grouping)):
        _unite(root, i, grouping[i])


@numba.njit(cache=True, nogil=True)
def _flatten(root: Any) -> None:  # pragma: no cover - compiled
    """Let every item name its root itself; a root is the least of its group, so one pass in order is enough."""
    for i in range(len(root)):
        root[i] = root[root[i]]
