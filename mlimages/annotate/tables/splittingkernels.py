"""Compiled iterative stratification over sparse labels.

K. Sechidis, G. Tsoumakas and I. Vlahavas: On the Stratification of Multi-Label Data. ECML PKDD 2011, algorithm 1.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import INDPTR, compiled, readonly_array

_ROWS = readonly_array(nb.int32)


@compiled(*[nb.void(INDPTR, readonly_array(kind), _ROWS, INDPTR, nb.int32[::1]) for kind in (nb.int16, nb.int32)])
def invert(offsets, labels, order, label_offsets, rows_of):  # type: ignore[no-untyped-def]
    """List the rows of every label, taken in `order`: those of label l at ``label_offsets[l]``."""
    cursor = label_offsets[:-1].copy()
    for row in order:
        for i in range(offsets[row], offsets[row + 1]):
            label = labels[i]
            rows_of[cursor[label]] = row
            cursor[label] += 1


@compiled(
    *[
        nb.void(
            *(INDPTR, readonly_array(kind), _ROWS, INDPTR, _ROWS),
            *(nb.float64[:, ::1], nb.int64[::1], nb.uint64, nb.boolean[::1]),
        )
        for kind in (nb.int16, nb.int32)
    ]
)
def stratify(  # type: ignore[no-untyped-def]
    offsets, labels, order, label_offsets, rows_of, desired, size, seed, chosen
):
    """Assign every row to the first or the second subset; true in `chosen` for the first.

    The label of which the fewest rows are left is assigned first. Each of its rows goes to the subset that still wants
    most rows of it, then to the one that wants most rows in all, then to one at random. `desired` [2, labels] and
    `size` [2] are what the subsets want, and count down; unlike in the paper a subset that has all its rows takes no
    more, so that sizes come out exact. `order` is that of the rows without labels.
    """
    categories = len(label_offsets) - 1
    left = np.empty(categories, np.int64)
    for label in range(categories):
        left[label] = label_offsets[label + 1] - label_offsets[label]
    dealt = np.zeros(len(offsets) - 1, np.bool_)
    state = seed
    while True:
        rarest = -1
        for label in range(categories):
            if left[label] > 0 and (rarest < 0 or left[label] < left[rarest]):
                rarest = label
        if rarest < 0:
            break
        for k in range(label_offsets[rarest], label_offsets[rarest + 1]):
            row = rows_of[k]
            if dealt[row]:
                continue
            difference = desired[0, rarest] - desired[1, rarest]
            if difference == 0:
                difference = np.float64(size[0] - size[1])
            if difference == 0:
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)  # Knuth's MMIX
                difference = 1.0 if state >> np.uint64(63) else -1.0
            to = 0 if difference > 0 else 1
            if size[to] == 0:
                to = 1 - to
            dealt[row] = True
            chosen[row] = to == 0
            size[to] -= 1
            for i in range(offsets[row], offsets[row + 1]):
                desired[to, labels[i]] -= 1
                left[labels[i]] -= 1
    for row in order:
        if not dealt[row]:
            to = 0 if size[0] > 0 else 1
            chosen[row] = to == 0
            size[to] -= 1
