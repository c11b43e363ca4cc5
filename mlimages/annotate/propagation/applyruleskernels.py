"""Compiled rules: a propagated batch in, the rows with what co-occurrence rules add out."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.labels.columns import LabelArrays
from mlimages.storage.signatures import FLOATS, INDICES, INDPTR, compiled

COOCCURRENCE = np.uint8(2)


def _signature(label: nb.types.Type) -> object:
    rows = nb.types.NamedTuple([nb.int32[::1], label[::1], nb.float32[::1], nb.uint8[::1]], LabelArrays)
    csr = nb.types.Tuple((INDPTR, INDICES))
    return nb.types.UniTuple(nb.int64, 2)(rows, INDPTR, csr, FLOATS, nb.boolean, nb.boolean, rows)


@compiled(_signature(nb.int16), _signature(nb.int32))
def apply_rules(rows, rules, brought_rows, rule_confidences, keep_largest, write, out):  # type: ignore[no-untyped-def]
    """Add to every row what the rules of its present labels bring.

    The rules of category i are ``rules[i]`` to ``rules[i + 1]``. What rule r brings is row r of the CSR `brought_rows`
    (row pointers and indices), its target first; it brings nothing where any of these is verified absent. Only labels
    that were in the row before have rules, and they stay as they are. Returns the entries of the output and how many
    times a verified absence stopped a rule. Without `write` only the first entry of the output arrays is touched, if
    there is one.
    """
    offsets, labels, confidences, origins = rows
    brought, brought_indices = brought_rows
    out_offsets, out_labels, out_confidences, out_origins = out
    categories = len(rules) - 1
    seen_in = np.full(categories, -1, np.int32)
    place = np.empty(categories, np.int32)
    stopped = 0
    end = 0
    if write:
        out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        for i in range(first, last):
            label = labels[i]
            seen_in[label] = row
            place[label] = i - last  # below 0: was in the row before
            if write:
                out_labels[end] = label
                out_confidences[end] = confidences[i]
                out_origins[end] = origins[i]
            end += 1
        for i in range(first, last):
            if not confidences[i] > 0:
                continue
            for rule in range(rules[labels[i]], rules[labels[i] + 1]):
                start, stop = brought[rule], brought[rule + 1]
                refused = False
                for k in range(start, stop):
                    label = brought_indices[k]
                    if seen_in[label] == row and place[label] < 0 and not confidences[last + place[label]] > 0:
                        refused = True
                        break
                if refused:
                    stopped += 1
                    continue
                for k in range(start, stop):
                    label = brought_indices[k]
                    if seen_in[label] != row:
                        seen_in[label] = row
                        place[label] = end
                        if write:
                            out_labels[end] = label
                            out_confidences[end] = rule_confidences[rule]
                            out_origins[end] = COOCCURRENCE
                        end += 1
                    elif write and keep_largest and place[label] >= 0:
                        at = place[label]
                        if rule_confidences[rule] > out_confidences[at]:
                            out_confidences[at] = rule_confidences[rule]
        if write:
            out_offsets[row + 1] = end
    return end, stopped
