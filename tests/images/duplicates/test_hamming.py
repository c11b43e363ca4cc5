"""Grouping hashes by Hamming distance, against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from mlimages.errors import MlimagesError
from mlimages.images.duplicates.hamming import equal_groups, join_groups, near_groups


def _all_pairs(hashes: np.ndarray, threshold: int) -> np.ndarray:
    """The same grouping, by comparing each with each."""
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= threshold
    _, component = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(near), directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component]


@pytest.mark.parametrize("threshold", [0, 1, 2, 3, 4, 7, 10, 16])
def test_near_groups_are_those_of_all_pairs(threshold: int) -> None:
    random = np.random.default_rng(threshold)
    hashes = random.integers(0, 2**64, 300, dtype=np.uint64)
    for start in (100, 200):  # copies that differ in 0 to threshold + 2 bits, and copies of the copies
        flips = random.random((100, 64)).argsort(axis=1) < random.integers(0, threshold + 3, (100, 1))
        mask = (flips * (np.uint64(1) << np.arange(64, dtype=np.uint64))).sum(axis=1, dtype=np.uint64)
        hashes[start : start + 100] = hashes[start - 100 : start] ^ mask
    hashes = random.permutation(hashes)
    found = near_groups(hashes, threshold=threshold)
    assert found.tolist() == _all_pairs(hashes, threshold).tolist()
    assert 0 < (found != np.arange(300)).sum() < 300


def test_near_groups_chain_over_a_hash_between() -> None:
    hashes = np.array([0b0000, 0b1111, 0b0011, 1 << 63], np.uint64)
    assert near_groups(hashes, threshold=2).tolist() == [0, 0, 0, 0]
    assert near_groups(hashes[[0, 1, 3]], threshold=2).tolist() == [0, 1, 0]
    assert near_groups(hashes, threshold=0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("bits", [0, 12, 13, 31, 32, 63])
def test_near_groups_find_a_change_in_any_block(bits: int) -> None:
    hashes = np.array([0x0123456789ABCDEF, 0x0123456789ABCDEF ^ (1 << bits)], np.uint64)
    assert near_groups(hashes, threshold=1).tolist() == [0, 0]


@pytest.mark.parametrize("hashes", [[], [5], [5, 5, 5]])
def test_near_groups_of_few_or_equal_hashes(hashes: list[int]) -> None:
    assert near_groups(np.array(hashes, np.uint64), threshold=4).tolist() == [0] * len(hashes)


@pytest.mark.parametrize("threshold", [-1, 17])
def test_near_groups_refuses_a_threshold_out_of_range(threshold: int) -> None:
    with pytest.raises(MlimagesError, match=rf"found the threshold {threshold}, expected .* 0 to 16"):
        near_groups(np.zeros(2, np.uint64), threshold=threshold)


def test_equal_groups_compare_both_halves() -> None:
    high = np.array([9, 1, 9, 9, 1], np.uint64)
    low = np.array([4, 4, 5, 4, 4], np.uint64)
    assert equal_groups(high, low).tolist() == [0, 1, 2, 0, 1]
    assert equal_groups(high[:0], low[:0]).tolist() == []


def test_join_groups_chains_over_both() -> None:
    assert join_groups(np.array([0, 1, 1, 3, 3]), np.array([0, 1, 0, 3, 4])).tolist() == [0, 0, 0, 3, 3]
