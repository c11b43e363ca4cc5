"""Packed images found by name: those of an annotation table that was made without them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import TableError
from mlimages.images.packed.reading import PackedImages
from mlimages.images.picture import PictureError
from mlimages.storage.arrow import readonly, text_of
from mlimages.storage.nameskernels import hash_names


class PackedByName:
    """The packed images of the rows of a table, in the order of that table; picklable.

    Names are compared by a hash of 64 bits: two of 10 million collide with a probability below 1e-5.

    Parameters
    ----------
    packed : PackedImages
        Where they are, in any order and among others.
    names : iterable of pyarrow.StringArray
        The names of the table's rows; 8 bytes of each are kept.

    Raises
    ------
    TableError
        Where not one of them is among the packed images.
    """

    def __init__(self, packed: PackedImages, names: Iterable[pa.StringArray]) -> None:
        self.packed = packed
        there = _hashes(batch.column(0).field("path") for batch in packed.batches(columns=["image.path"], rows=1 << 16))
        wanted = _hashes(names)
        order = np.argsort(there, kind="stable")
        at = order[np.searchsorted(there, wanted, sorter=order).clip(max=len(order) - 1)] if len(order) else order
        found = there[at] == wanted if len(order) else np.zeros(len(wanted), bool)
        if not found.any():
            raise TableError(f"{packed.folder}: holds none of the {len(wanted):,} images of the table, by their names")
        self._rows = np.where(found, at, -1)

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


def _hashes(columns: Iterable[Any]) -> NDArray[np.uint64]:
    """A hash of every name, uint64 [n]."""
    hashed = [np.empty(0, np.uint64)]
    for column in columns:
        text, offsets = text_of(column)
        hashed.append(np.empty(len(column), np.uint64))
        hash_names(readonly(text), readonly(np.ascontiguousarray(offsets)), hashed[-1])
    return np.concatenate(hashed)
