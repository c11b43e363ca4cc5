"""Types of the read-only arrays that compiled kernels take."""

from __future__ import annotations

import numba as nb


def readonly_array(kind: nb.types.Type, dimensions: int = 1) -> nb.types.Array:
    """A read-only C-contiguous array with entries of a type."""
    return nb.types.Array(kind, dimensions, "C", readonly=True)


BYTES = readonly_array(nb.uint8)
FLOATS = readonly_array(nb.float32)
#: Where rows of a list column begin, and entries such as labels.
OFFSETS = INDICES = readonly_array(nb.int32)
#: Row pointers of a CSR.
INDPTR = readonly_array(nb.int64)
