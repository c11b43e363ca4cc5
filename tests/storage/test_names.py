"""The same image by its name: exactly and out of core, or by hash in memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlimages.storage.names import FirstRows, NameIndex, hash_names

BATCHES = st.lists(st.lists(st.text("ab", max_size=3), max_size=6), max_size=6)


def names_array(names: list[str]) -> pa.StringArray:
    return pa.array(names, pa.string())


def all_alike(names: pa.StringArray) -> NDArray[np.uint64]:
    return np.full((len(names), 2), 7, np.uint64)


@settings(max_examples=50, deadline=None)
@given(BATCHES)
def test_first_rows_agree_with_a_dictionary(batches: list[list[str]]) -> None:
    arrays = [names_array(batch) for batch in batches]
    with TemporaryDirectory() as folder, FirstRows(Path(folder)) as rows:
        for array in arrays:
            rows.add(array)
        found = rows.find(lambda: arrays)
        names = [name for batch in batches for name in batch]
        first = {name: names.index(name) for name in names}
        expected = [first[name] for name in names]
        assert (list(range(len(names))) if found is None else found.tolist()) == expected
        assert (found is None) == (len(first) == len(names))


@pytest.mark.parametrize(("names", "first"), [(["x", "y", "z"], None), (["x", "y", "x"], [0, 1, 0])])
def test_equal_hashes_of_different_names_are_no_duplicates(
    names: list[str], first: list[int] | None, tmp_path: Path
) -> None:
    array = names_array(names)
    with FirstRows(tmp_path, hashed=all_alike) as rows:
        rows.add(array)
        found = rows.find(lambda: [array])
        assert (None if found is None else found.tolist()) == first


@settings(max_examples=50, deadline=None)
@given(BATCHES, st.lists(st.text("ab", max_size=3), max_size=6))
def test_an_index_agrees_with_a_dictionary(batches: list[list[str]], wanted: list[str]) -> None:
    names = [name for batch in batches for name in batch]
    index = NameIndex(hash_names(names_array(names)))
    assert index.find(hash_names(names_array(wanted))).tolist() == [
        names.index(name) if name in names else -1 for name in wanted
    ]
    repeated = [row for row, name in enumerate(names) if name in names[:row]]
    assert index.repeated == (repeated[0] if repeated else -1)


def test_names_hash_alike_wherever_their_array_begins() -> None:
    names = names_array([f"{'x' * (i % 20)}{i}" for i in range(100)])
    hashes = hash_names(names)
    assert np.array_equal(hash_names(names.slice(37, 20)), hashes[37:57])
    assert np.array_equal(hash_names(names_array(names.slice(37, 20).to_pylist())), hashes[37:57])
    assert len(np.unique(hashes[:, 0])) == len(np.unique(hashes[:, 1])) == 100
