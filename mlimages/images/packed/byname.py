"""Packed images found by name: those of an annotation table that was made without them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import TableError
from mlimages.images.packed.reading import PackedImages
from mlimages.images.picture import PictureError
from mlimages.storage.names import NameIndex, hash_names


class PackedByName:
    """The packed images of the rows of a table, in the order of that table; picklable.

    Names are found by a :class:`~mlimages.storage.names.NameIndex`, so by a hash of 128 bits.

    Parameters
    ----------
    packed : PackedImages
        The packed images; they may hold others too, in any order.
    names : iterable of pyarrow.StringArray
        The names of the table's rows; 4 bytes of each are kept.

    Raises
    ------
    TableError
        If none of them is among the packed images.
    """

    def __init__(self, packed: PackedImages, names: Iterable[pa.StringArray]) -> None:
        self.packed = packed
        there = _hashes(batch.column(0).field("path") for batch in packed.batches(columns=["image.path"], rows=1 << 16))
        wanted = _hashes(names)
        self._rows = NameIndex(there).find(wanted)
        if not (self._rows >= 0).any():
            raise TableError(f"{packed.folder}: holds none of the {len(wanted):,} images of the table, by their names")

    def image(self, row: int, name: str) -> bytes:
        """The bytes of the image of a row of the table.

        Raises
        ------
        PictureError
            Where it is not among the packed images.
        """
        at = int(self._rows[row])
        if at < 0:
            raise PictureError(f"{name}: not among the packed images of {self.packed.folder}")
        return self.packed.image(at)


def _hashes(columns: Iterable[pa.StringArray]) -> NDArray[np.uint64]:
    """Hashes of every name, uint64 [n, 2]."""
    return np.concatenate([np.empty((0, 2), np.uint64), *(hash_names(column) for column in columns)])
