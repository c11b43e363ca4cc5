"""How kernels are compiled, and the types of the read-only arrays that they take."""

from __future__ import annotations

from typing import Any

import numba as nb


def compiled(*signatures: Any) -> Any:
    """A decorator: compile for these signatures, once per installation; the interpreter lock is released."""
    return nb.njit(list(signatures), cache=True, nogil=True)


def readonly_array(kind: nb.types.Type, dimensions: int = 1) -> nb.types.Array:
    """A read-only C-contiguous array with entries of a type."""
    return nb.types.Array(kind, dimensions, "C", readonly=True)


BYTES = readonly_array(nb.uint8)
FLOATS = readonly_array(nb.float32)
#: Where rows of a list column begin, and entries such as labels.
OFFSETS = INDICES = readonly_array(nb.int32)
#: Row pointers of a CSR.
INDPTR = readonly_array(nb.int64)
