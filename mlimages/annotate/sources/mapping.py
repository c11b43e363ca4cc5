"""Strings that compiled code looks up by their bytes: the keys of a hierarchy, the labels of a mapping."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, UnknownCategoryError
from mlimages.hierarchy import Hierarchy
from mlimages.hierarchy.text import read_utf8
from mlimages.storage.arrow import offsets_of, readonly


class KeyTable(NamedTuple):
    """An open-addressing hash table for :func:`mlimages.storage.nameskernels.find_key`."""

    keys: NDArray[np.uint8]  # the strings, one after another
    offsets: NDArray[np.int64]  # [n + 1]: where each begins
    slots: NDArray[np.int32]  # number of a string, or -1; the length is a power of two, at least 2 n

    @classmethod
    def of(cls, keys: Iterable[str]) -> KeyTable:
        """Enter strings, each of which occurs once."""
        from mlimages.storage import nameskernels as kernels

        encoded = [key.encode() for key in keys]
        offsets = offsets_of([len(key) for key in encoded], np.int64)
        text = np.frombuffer(b"".join(encoded), np.uint8)
        slots = np.full(1 << (2 * len(encoded)).bit_length(), -1, np.int32)
        kernels.fill_slots(text, offsets, slots)
        return cls(text, readonly(offsets), readonly(slots))


class LabelTable(NamedTuple):
    """Labels as a hash table over bytes, and the category of each."""

    keys: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    slots: NDArray[np.int32]
    categories: NDArray[np.int32]

    @classmethod
    def of(cls, hierarchy: Hierarchy, mapping: str | os.PathLike[str] | None) -> LabelTable:
        """The keys of a hierarchy, or the labels that a mapping file maps to them."""
        if mapping is None:
            labels, categories = list(hierarchy.keys), list(range(len(hierarchy)))
        else:
            found = read_mapping(mapping, hierarchy)
            labels, categories = list(found), list(found.values())
        return cls(*KeyTable.of(labels), readonly(np.array(categories, np.int32)))


def read_mapping(path: str | os.PathLike[str], hierarchy: Hierarchy) -> dict[str, int]:
    """Read a CSV that maps labels to keys of a hierarchy; return the index of each label's category.

    Raises
    ------
    FormatError
        For a row of other than two columns, an unknown key, a label with two keys, and a file without rows.
    """
    found: dict[str, int] = {}
    rows = csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True)

    def wrong(reason: str) -> FormatError:
        return FormatError(reason, path=path, line=rows.line_num)

    try:
        for row in rows:
            if not row or (rows.line_num == 1 and row == ["label", "key"]):
                continue
            if len(row) != 2 or not row[0] or not row[1]:
                raise wrong(f"found {','.join(row)[:80]!r}, expected a label and a key (/m/0bt9lr,n02084071)")
            try:
                index = hierarchy.index(row[1])
            except UnknownCategoryError as error:
                raise wrong(f"the label {row[0]!r}: {error}") from None
            if found.setdefault(row[0], index) != index:
                first = hierarchy.keys[found[row[0]]]
                raise wrong(f"the label {row[0]!r} has a second key {row[1]!r}, first {first!r}")
    except csv.Error as error:
        raise wrong(f"no CSV ({error})") from None
    if not found:
        raise FormatError("found no row, expected labels and keys (/m/0bt9lr,n02084071)", path=path)
    return found
