"""Compiled counting of labels."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import BYTES, FLOATS, INDICES, INDPTR, OFFSETS, compiled, readonly_array


@compiled(
    *[
        nb.void(
            *(OFFSETS, readonly_array(kind), FLOATS, BYTES, INDPTR, INDICES),
            *(nb.int64[:, ::1], nb.int64[::1], nb.int64[::1], nb.int64[::1]),
        )
        for kind in (nb.int16, nb.int32)
    ]
)
def count(  # type: ignore[no-untyped-def]
    offsets, labels, confidences, origins, parents, parent_indices, by_origin, absent, subtree, histogram
):
    """Count the labels of every row.

    Adds to `by_origin` [origins, n] the labels, present or not, to `absent` [n] the verified absent ones, to `subtree`
    [n] the rows in which a category or one below it is present, to `histogram` [m] the rows by their number of present
    labels, the last entry taking all from there up. Labels are below n, origins below the rows of `by_origin`.
    """
    categories = len(parents) - 1
    reached_in = np.full(categories, -1, np.int64)
    waiting = np.empty(categories, np.int32)
    last = len(histogram) - 1
    for row in range(len(offsets) - 1):
        present = 0
        for i in range(offsets[row], offsets[row + 1]):
            label = labels[i]
            by_origin[origins[i], label] += 1
            if not confidences[i] > 0:
                absent[label] += 1
                continue
            present += 1
            if reached_in[label] == row:
                continue
            reached_in[label] = row
            subtree[label] += 1
            waiting[0] = label
            left = 1
            while left:
                left -= 1
                each = waiting[left]
                for k in range(parents[each], parents[each + 1]):
                    above = parent_indices[k]
                    if reached_in[above] != row:
                        reached_in[above] = row
                        subtree[above] += 1
                        waiting[left] = above
                        left += 1
        histogram[min(present, last)] += 1
