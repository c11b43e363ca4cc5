"""Joining two tables in different orders by the names of their images, out of core.

The rows of both are sorted into files by a hash of the name. Two rows with the same hash are in files of the same
number, which are joined in memory, one pair of files per thread.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.cooccurrence import paircounterkernels as kernels
from mlimages.annotate.cooccurrence.paircounter import PairCounter, Reduced
from mlimages.storage.arrow import offsets_of, readonly
from mlimages.storage.names import NameIndex, hash_names

#: Rows of a file, about; more where there would be too many files.
_BUCKET_ROWS = 1 << 18
_MOST_BUCKETS = 256


class Twice(Exception):  # noqa: N818  (not an error yet: the caller knows the name of the table)
    """The table of that number has several rows of one name; the row is one of them."""

    def __init__(self, table: int, row: int) -> None:
        super().__init__(table, row)
        self.table = table
        self.row = row


class NameJoin:
    """Collects rows of two tables and counts those whose images have the same name.

    Names are not kept; they are compared by hashes of 128 bits: two of 10 million names that differ have the same with
    a probability below 1e-24 (see :class:`~mlimages.storage.names.NameIndex`). Files take 36 bytes per row and 4 per
    label; `rows` is about the size of the larger table.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.buckets = max(1, min(_MOST_BUCKETS, -(-rows // _BUCKET_ROWS)))
        self._paths = [[folder / f"{table}-{bucket:03d}" for bucket in range(self.buckets)] for table in (0, 1)]
        self._locks = [threading.Lock(), threading.Lock()]
        self.rows = [0, 0]

    def add(self, table: int, images: pa.StringArray, reduced: Reduced, first_row: int) -> None:
        """Take rows of table 0 (the sources) or 1 (the targets), numbered there from `first_row` on."""
        rows = len(images)
        hashes = hash_names(images)
        row_starts, entry_starts = np.empty(self.buckets + 1, np.int64), np.empty(self.buckets + 1, np.int64)
        heads = np.empty((rows, 4), np.uint64)
        positions = np.empty(int(reduced.offsets[-1]), np.int32)
        offsets_in, positions_in = map(readonly, reduced)
        kernels.partition(hashes, first_row, offsets_in, positions_in, row_starts, entry_starts, heads, positions)
        with self._locks[table]:
            self.rows[table] += rows
            for bucket, path in enumerate(self._paths[table]):
                if row_starts[bucket] == row_starts[bucket + 1]:
                    continue
                with path.open("ab") as file:
                    file.write(heads[row_starts[bucket] : row_starts[bucket + 1]].data)
                with path.with_suffix(".labels").open("ab") as file:
                    file.write(positions[entry_starts[bucket] : entry_starts[bucket + 1]].data)

    def count(self, bucket: int, counter: PairCounter) -> int:
        """Join the rows of one pair of files and remove these; return how many had a partner.

        Raises :class:`Twice` where a name of the targets, or one of the sources that has a partner, has several rows.
        """
        (heads, sources), (others, targets) = (self._read(table, bucket) for table in (0, 1))
        index = NameIndex(others)
        match = index.find(heads)
        partners = match[match >= 0]
        if index.repeated >= 0:
            raise Twice(1, _first_repeated(others))
        if len(partners) and np.bincount(partners).max() > 1:
            raise Twice(0, _first_repeated(heads[match >= 0]))
        counter.add(sources, targets, match)
        return len(partners)

    def _read(self, table: int, bucket: int) -> tuple[NDArray[np.uint64], Reduced]:
        path = self._paths[table][bucket]
        if not path.exists():
            return np.empty((0, 4), np.uint64), Reduced(np.zeros(1, np.int32), np.empty(0, np.int32))
        labels = path.with_suffix(".labels")
        heads = np.fromfile(path, np.uint64).reshape(-1, 4)
        positions = np.fromfile(labels, np.int32)
        path.unlink()
        labels.unlink()
        return heads, Reduced(offsets_of(heads[:, 3].astype(np.int32)), positions)


def _first_repeated(heads: NDArray[np.uint64]) -> int:
    """Number of the first row that has the name of an earlier one, in the order of the table.

    Threads wrote the rows in any order: this names the same one always.
    """
    heads = heads[np.argsort(heads[:, 2])]
    return int(heads[NameIndex(heads).repeated, 2])
