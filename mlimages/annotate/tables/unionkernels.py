"""Compiled union of the rows of one image."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import BYTES, FLOATS, INDICES, INDPTR, OFFSETS, compiled

_ROWS = nb.types.Tuple((OFFSETS, INDICES, FLOATS, BYTES))
_CSR = nb.types.Tuple((INDPTR, INDICES))
_OUT = nb.types.Tuple((nb.int32[::1], nb.int32[::1], nb.float32[::1], nb.uint8[::1]))

_GIVEN, _DESCENDANT = np.uint8(0), np.uint8(3)


@compiled(nb.int64(_ROWS, _ROWS, INDPTR, _CSR, nb.boolean, _OUT))
def unite(rows, more, more_of, closure_rows, keep_largest, out):  # type: ignore[no-untyped-def]
    """Add to every row the labels of further rows; return how many verified absences a present label beat.

    `rows`, `more` and `out` hold offsets, labels, confidences and origins, `closure_rows` the row pointers and indices
    of the ancestors. Row i is joined by the rows ``more_of[i]`` to ``more_of[i + 1]`` of `more`. Labels are below the
    number of categories, and the outputs are as long as both inputs together.
    """
    offsets, labels, confidences, origins = rows
    more_offsets, more_labels, more_confidences, more_origins = more
    closure, ancestors = closure_rows
    out_offsets, out_labels, out_confidences, out_origins = out
    categories = len(closure) - 1
    seen_in = np.full(categories, -1, np.int64)
    beaten_in = np.full(categories, -1, np.int64)
    place = np.empty(categories, np.int64)
    conflicts = 0
    end = 0
    out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        begin = end
        any_beaten = False
        for i in range(offsets[row], offsets[row + 1]):
            label = labels[i]
            seen_in[label] = row
            place[label] = end
            out_labels[end] = label
            out_confidences[end] = confidences[i]
            out_origins[end] = origins[i]
            end += 1
        for other in range(more_of[row], more_of[row + 1]):
            for i in range(more_offsets[other], more_offsets[other + 1]):
                label, confidence, origin = more_labels[i], more_confidences[i], more_origins[i]
                if seen_in[label] != row:
                    seen_in[label] = row
                    place[label] = end
                    out_labels[end] = label
                    out_confidences[end] = confidence
                    out_origins[end] = origin
                    end += 1
                    continue
                at = place[label]
                if (confidence > 0) != (out_confidences[at] > 0):
                    conflicts += 1
                    absent = out_origins[at] if confidence > 0 else origin
                    if absent != _DESCENDANT:
                        beaten_in[label] = row
                        any_beaten = True
                    if confidence > 0:  # a present label beats an absent one
                        out_confidences[at] = confidence
                        out_origins[at] = origin
                    continue
                if keep_largest and confidence > out_confidences[at]:
                    out_confidences[at] = confidence
                if origin == _GIVEN or (confidence == 0 and out_origins[at] == _DESCENDANT):
                    out_origins[at] = origin
        if any_beaten:  # what flowed down from a beaten absence goes with it, unless another absence implies it too
            kept = begin
            for i in range(begin, end):
                label = out_labels[i]
                lost = False
                if out_confidences[i] == 0 and out_origins[i] == _DESCENDANT:
                    for k in range(closure[label], closure[label + 1]):
                        above = ancestors[k]
                        if beaten_in[above] == row:
                            lost = True
                        elif seen_in[above] == row:
                            at = place[above]
                            if out_confidences[at] == 0 and out_origins[at] != _DESCENDANT:
                                lost = False
                                break
                if not lost:
                    place[label] = kept
                    out_labels[kept] = label
                    out_confidences[kept] = out_confidences[i]
                    out_origins[kept] = out_origins[i]
                    kept += 1
                else:
                    seen_in[label] = -1
            end = kept
        out_offsets[row + 1] = end
    return conflicts
