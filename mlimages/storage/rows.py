"""Rows of a table by their numbers, on disk or in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mlimages.errors import MlimagesError
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.checks import check_memory, validate
from mlimages.storage.part import PartReader
from mlimages.storage.table import ImageTable


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows of a table on disk, and which of its columns to read."""

    table: ImageTable
    columns: Sequence[str]

    def __len__(self) -> int:
        return len(self.table)

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """The rows ``[start, stop)``; of the row groups only those that hold any."""
        first = 0
        for number, part in enumerate(self.table.manifest.parts):
            if first < stop and start < first + part.rows:
                with self.table.open_part(number) as reader:
                    yield from self._read_part(reader, max(0, start - first), min(part.rows, stop - first))
            first += part.rows

    def _read_part(self, reader: PartReader, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        sizes = reader.group_rows
        ends = np.cumsum(sizes)
        groups = [i for i, (end, size) in enumerate(zip(ends, sizes, strict=True)) if end - size < stop and start < end]
        if not groups:
            return
        at = int(ends[groups[0]] - sizes[groups[0]])
        # whoever counts has a thread for each core: more of them, one per column, would only compete with these
        for batch in reader.batches(self.columns, groups=groups, use_threads=False):
            kept = batch.slice(max(0, start - at), max(0, min(batch.num_rows, stop - at) - max(0, start - at)))
            at += batch.num_rows
            if kept.num_rows:
                yield kept


@dataclass(frozen=True, slots=True)
class MemoryRows:
    """Rows of a table in memory, checked when they are read, and which of its columns to read."""

    table: pa.Table
    columns: Sequence[str]

    def __len__(self) -> int:
        rows: int = self.table.num_rows
        return rows

    @property
    def _labels(self) -> pa.DataType:
        """The type of labels as it is where that needs no copy."""
        narrow = "labels" in self.table.column_names and self.table.schema.field("labels").type == pa.list_(pa.int16())
        return pa.int16() if narrow else pa.int32()

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """The rows ``[start, stop)``, in the types of a table; a LabelError for invalid rows."""
        for batch in self.table.slice(start, stop - start).to_batches(max_chunksize=BATCH_ROWS):
            validate(batch)
            yield check_memory(batch, self.columns, labels=self._labels)


#: A table whose rows can be read from any number to any other, by several threads at once.
Rows = StoredRows | MemoryRows


def rows_of(source: Any, columns: Sequence[str]) -> Rows:
    """The rows of an open table, a DataFrame, a pyarrow Table or a RecordBatch."""
    if isinstance(source, ImageTable):
        return StoredRows(source, columns)
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    elif hasattr(source, "columns") and hasattr(source, "index"):  # a DataFrame, without importing pandas to ask
        source = pa.Table.from_pandas(source, preserve_index=False)
    if not isinstance(source, pa.Table):
        raise MlimagesError(
            f"found a {type(source).__name__}, expected a table's path, a DataFrame, a pyarrow Table or RecordBatch"
        )
    return MemoryRows(source.select([name for name in source.column_names if name in columns]), columns)
