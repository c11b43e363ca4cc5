"""Rows in batches: how many, and cut anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

#: Rows of a batch, and so of a row group: 131,072 read at random nearly as fast as 32,768, and compress better.
BATCH_ROWS = 131_072


#: Rows of a part where the input is no file and has no bytes to count.
PART_ROWS = 8 * BATCH_ROWS


def rebatched(batches: Iterable[pa.RecordBatch], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows`, the last one smaller: small ones make small row groups, which read slowly."""
    kept: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if batch.num_rows:
            kept.append(batch)
            count += batch.num_rows
        if count >= rows:
            whole = _joined(kept)
            for start in range(0, count - count % rows, rows):
                yield whole.slice(start, rows)
            kept, count = [whole.slice(count - count % rows)], count % rows
    if count:
        yield _joined(kept)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _grouped(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches cut and grouped into parts of `PART_ROWS`."""
    kept: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        while rows + batch.num_rows >= PART_ROWS:
            yield [*kept, batch.slice(0, PART_ROWS - rows)]
            batch = batch.slice(PART_ROWS - rows)
            kept, rows = [], 0
        if batch.num_rows:
            kept.append(batch)
            rows += batch.num_rows
    if kept:
        yield kept
