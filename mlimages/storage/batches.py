"""Batches cut anew: to a number of rows, and into parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

#: Rows of a batch, and so of a row group: 131,072 read at random nearly as fast as 32,768, and compress better.
BATCH_ROWS = 131_072
#: Rows of a part where the input is no file and has no bytes to count.
PART_ROWS = 8 * BATCH_ROWS


def rebatched(batches: Iterable[pa.RecordBatch], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows`, the last one smaller: small ones make small row groups, which read slowly."""
    for pieces in cut_into_parts(batches, rows):
        yield pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)


def cut_into_parts(batches: Iterable[pa.RecordBatch], rows: int = PART_ROWS) -> Iterator[list[pa.RecordBatch]]:
    """The same rows in groups of batches of `rows` together, the last one smaller; batches are cut where need be.

    Examples
    --------
    >>> batch = pa.record_batch({"row": [0, 1, 2]})
    >>> [[piece.num_rows for piece in part] for part in cut_into_parts([batch, batch, batch], rows=4)]
    [[3, 1], [2, 2], [1]]
    """
    kept: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            yield [*kept, batch.slice(0, rows - count)]
            batch = batch.slice(rows - count)
            kept, count = [], 0
        if batch.num_rows:
            kept.append(batch)
            count += batch.num_rows
    if kept:
        yield kept
