"""Rows in batches."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mlimages.storage.batches import rebatched


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 0, 7], [4, 8], [11, 1]])
def test_rows_are_cut_anew_whatever_they_were_cut_into(sizes: list[int]) -> None:
    whole = pa.record_batch({"row": list(range(12))})
    given = [whole.slice(sum(sizes[:i]), size) for i, size in enumerate(sizes)]
    made = list(rebatched(given, rows=5))
    assert [batch.num_rows for batch in made] == [5, 5, 2]
    assert pa.concat_batches(made).equals(whole)


def test_no_rows_make_no_batch() -> None:
    assert list(rebatched([pa.record_batch({"row": pa.array([], pa.int64())})])) == []
