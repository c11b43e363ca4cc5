"""Strings that compiled code looks up by their bytes: the keys of a hierarchy, the labels of a mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.annotate.augment import readonly


class KeyTable(NamedTuple):
    """A hash table, open-addressing, for :func:`mlimages.annotate.listkernels.find_key`.

    Parameters
    ----------
    keys : uint8 array
        The strings, one after another.
    offsets : int64 array [n + 1]
        Where each begins.
    slots : int32 array
        The number of a string, or -1; a power of two at least twice n.
    """

    keys: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    slots: NDArray[np.int32]

    @classmethod
    def of(cls, keys: Iterable[str]) -> KeyTable:
        """Enter strings, which must differ."""
        from mlimages.annotate import listkernels as kernels

        encoded = [key.encode() for key in keys]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(key) for key in encoded], out=offsets[1:])
        text = np.frombuffer(b"".join(encoded), np.uint8)
        slots = np.full(1 << (2 * len(encoded)).bit_length(), -1, np.int32)
        kernels.fill_slots(text, offsets, slots)
        return cls(text, readonly(offsets), readonly(slots))
