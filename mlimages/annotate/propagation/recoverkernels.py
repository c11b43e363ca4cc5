"""Compiled recovery of given labels: propagation, run backwards."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import FLOATS, INDICES, INDPTR, OFFSETS, compiled


@compiled(
    nb.int64(
        *(nb.int64, nb.int64, nb.int64, nb.float32, FLOATS, nb.int64, nb.int64, INDICES),
        *(nb.int32[::1], nb.boolean),
    )
)
def follows(begin, at, end, confidence, confidences, first, last, above, place, keep_largest):  # type: ignore[no-untyped-def]
    """How many entries from `at` on a label brings if it brings ``above[first:last]``; -1 where others stand there.

    What stands before `at` in the row (from `begin`) was there already and is not brought. `place` holds the entry of
    each category of the row, -1 for the others. With `keep_largest` a later label may have raised what was brought.
    """
    brought = 0
    for k in range(first, last):
        entry = place[above[k]]
        if begin <= entry < at:
            continue
        if entry != at + brought or entry >= end:
            return -1
        if confidences[entry] != confidence and not (keep_largest and confidences[entry] > confidence):
            return -1
        brought += 1
    return brought


_GIVEN = nb.types.Tuple((OFFSETS, INDICES, FLOATS))
_CSR = nb.types.Tuple((INDPTR, INDICES))
_OUT = nb.types.Tuple((nb.int32[::1], nb.int32[::1], nb.float32[::1]))


@compiled(nb.int64(_GIVEN, _CSR, _CSR, _CSR, nb.boolean, _OUT))
def recover(rows, certain_rows, uncertain_rows, absent_rows, keep_largest, out):  # type: ignore[no-untyped-def]
    """Write the given labels of every row; return the row in which a label stands twice, or -1.

    `rows` and `out` hold offsets, labels and confidences; what labels bring is as for
    :func:`mlimages.annotate.propagation.augmentkernels.expand`. At most two labels are written for each that was read:
    once as given, once to raise its confidence.
    """
    offsets, labels, confidences = rows
    certain, certain_indices = certain_rows
    uncertain, uncertain_indices = uncertain_rows
    absent, absent_indices = absent_rows
    out_offsets, out_labels, out_confidences = out
    categories = len(certain) - 1
    place = np.full(categories, -1, np.int32)
    reached = np.zeros(categories, np.float32)
    end = 0
    out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        for i in range(start, stop):
            if place[labels[i]] >= 0:
                return row
            place[labels[i]] = i
            reached[labels[i]] = 0
        for i in range(start, stop):  # what an absence brought is marked, and passed over below
            if confidences[i] == 0 and place[labels[i]] >= 0:
                for k in range(absent[labels[i]], absent[labels[i] + 1]):
                    below = place[absent_indices[k]]
                    if below >= start and confidences[below] == 0:
                        reached[labels[below]] = -1
        at = start
        while at < stop:
            label, confidence = labels[at], confidences[at]
            if confidence == 0:
                if reached[label] == 0:
                    out_labels[end], out_confidences[end] = label, confidence
                    end += 1
                at += 1
                continue
            source = label
            bounds, above = uncertain, uncertain_indices
            if confidence == 1:
                bounds, above = certain, certain_indices
            first, last = bounds[label], bounds[label + 1]
            brought = follows(start, at + 1, stop, confidence, confidences, first, last, above, place, keep_largest)
            if brought >= 0:
                brought += 1
            else:
                i = at - 1  # a label before this one may have been given again
                while i >= start and brought <= 0:
                    if confidences[i] > 0:
                        other = labels[i]
                        first, last = bounds[other], bounds[other + 1]
                        brought = follows(
                            start, at, stop, confidence, confidences, first, last, above, place, keep_largest
                        )
                        if brought > 0:
                            source = other
                    i -= 1
                if brought <= 0:  # the rules cannot make this row: the label stands for itself
                    brought = 1
            out_labels[end], out_confidences[end] = source, confidence
            end += 1
            if keep_largest:
                reached[source] = max(reached[source], confidence)
                for k in range(bounds[source], bounds[source + 1]):
                    reached[above[k]] = max(reached[above[k]], confidence)
            at += brought
        if keep_largest:
            for i in range(start, stop):
                if confidences[i] > reached[labels[i]] >= 0:
                    out_labels[end], out_confidences[end] = labels[i], confidences[i]
                    end += 1
        for i in range(start, stop):
            place[labels[i]] = -1
        out_offsets[row + 1] = end
    return -1
