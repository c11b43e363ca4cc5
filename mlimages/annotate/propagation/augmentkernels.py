"""Compiled propagation: a batch of rows in, the rows with what their labels bring out.

Numba checks no bounds, so `measure` validates every label and sizes the output before `expand` writes any.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.labels.columns import LabelArrays
from mlimages.storage.signatures import BYTES, FLOATS, INDICES, INDPTR, OFFSETS, compiled

GIVEN, ANCESTOR, DESCENDANT = np.uint8(0), np.uint8(1), np.uint8(3)
BAD_LABEL, BAD_CONFIDENCE = 1, 2


@compiled(nb.types.UniTuple(nb.int64, 3)(OFFSETS, INDICES, FLOATS, INDPTR, INDPTR, INDPTR))
def measure(offsets, labels, confidences, certain, uncertain, absent):  # type: ignore[no-untyped-def]
    """Check every label and bound the output.

    Returns the most entries that `expand` can write, or -1, then what is wrong (BAD_LABEL or BAD_CONFIDENCE) and at
    which entry.
    """
    categories = len(certain) - 1
    bound = 0
    for i in range(offsets[0], offsets[len(offsets) - 1]):
        label, confidence = labels[i], confidences[i]
        if label < 0 or label >= categories:
            return -1, BAD_LABEL, i
        if not 0 <= confidence <= 1:  # false for NaN as well
            return -1, BAD_CONFIDENCE, i
        bound += 1
        if confidence == 1:
            bound += certain[label + 1] - certain[label]
        elif confidence > 0:
            bound += uncertain[label + 1] - uncertain[label]
        else:
            bound += absent[label + 1] - absent[label]
    return bound, 0, 0


def _signature(label: nb.types.Type) -> object:
    given = nb.types.Tuple((OFFSETS, INDICES, FLOATS, BYTES))
    csr = nb.types.Tuple((INDPTR, INDICES))
    out = nb.types.NamedTuple([nb.int32[::1], label[::1], nb.float32[::1], nb.uint8[::1]], LabelArrays)
    return nb.int64(given, csr, csr, csr, nb.boolean, out)


@compiled(_signature(nb.int16), _signature(nb.int32))
def expand(given, certain_rows, uncertain_rows, absent_rows, keep_largest, out):  # type: ignore[no-untyped-def]
    """Write every row with what its labels bring; return how many verified absences a present label beat.

    `given` holds offsets, labels, confidences and origins (none: all are given); what a certain, an uncertain and an
    absent label brings is a CSR each, as row pointers and indices. Labels are taken in row order, each followed by what
    it brings; what is already in the row keeps its place. The last row that a category was seen in is noted for each
    category, so no row is ever sorted or cleared.
    """
    offsets, labels, confidences, origins = given
    certain, certain_indices = certain_rows
    uncertain, uncertain_indices = uncertain_rows
    absent, absent_indices = absent_rows
    out_offsets, out_labels, out_confidences, out_origins = out
    categories = len(certain) - 1
    seen_in = np.full(categories, -1, np.int32)
    place = np.empty(categories, np.int32)
    conflicts = 0
    end = 0
    out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        for i in range(start, stop):
            label, confidence = labels[i], confidences[i]
            origin = origins[i] if len(origins) else GIVEN
            if seen_in[label] != row:
                seen_in[label] = row
                place[label] = end
                out_labels[end] = label
                out_confidences[end] = confidence
                out_origins[end] = origin
                end += 1
            else:
                at = place[label]
                if (confidence > 0) != (out_confidences[at] > 0):
                    conflicts += 1
                    if confidence > 0:  # a present label beats an absent one
                        out_confidences[at] = confidence
                        out_origins[at] = origin
                else:
                    if keep_largest and confidence > out_confidences[at]:
                        out_confidences[at] = confidence
                    out_origins[at] = origin
            if confidence == 0:
                continue
            if confidence == 1:
                first, last, above = certain[label], certain[label + 1], certain_indices
            else:
                first, last, above = uncertain[label], uncertain[label + 1], uncertain_indices
            for k in range(first, last):
                ancestor = above[k]
                if seen_in[ancestor] != row:
                    seen_in[ancestor] = row
                    place[ancestor] = end
                    out_labels[end] = ancestor
                    out_confidences[end] = confidence
                    out_origins[end] = ANCESTOR
                    end += 1
                    continue
                at = place[ancestor]
                if out_confidences[at] == 0:
                    conflicts += 1
                    out_confidences[at] = confidence
                    out_origins[at] = ANCESTOR
                elif keep_largest and confidence > out_confidences[at]:
                    out_confidences[at] = confidence
        for i in range(start, stop):  # once all that is present is known
            label = labels[i]
            if confidences[i] > 0 or out_confidences[place[label]] > 0:
                continue
            for k in range(absent[label], absent[label + 1]):
                below = absent_indices[k]
                if seen_in[below] != row:
                    seen_in[below] = row
                    place[below] = end
                    out_labels[end] = below
                    out_confidences[end] = 0
                    out_origins[end] = DESCENDANT
                    end += 1
        out_offsets[row + 1] = end
    return conflicts
