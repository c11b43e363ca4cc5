"""Compiled judgement of rules: the labels they would add to each image, compared with the true labels."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import FLOATS, INDICES, INDPTR, OFFSETS, compiled

_ROWS = nb.types.Tuple((OFFSETS, INDICES, FLOATS))
_CSR = nb.types.Tuple((INDPTR, INDICES))

RIGHT, WRONG, UNKNOWN = 0, 1, 2


@compiled(nb.int64(_ROWS, _ROWS, nb.boolean, INDPTR, _CSR, INDICES, nb.boolean[::1], nb.int64[:, ::1]))
def judge(rows, true_rows, apart, rules, brought_rows, ranks, reached, verdicts):  # type: ignore[no-untyped-def]
    """Judge what rules add to every row by the row of the same number that holds the truth.

    `rows` and `true_rows` hold offsets, labels and confidences. The rules of category i are ``rules[i]`` to
    ``rules[i + 1]``; rule r brings row r of the CSR `brought_rows` (row pointers and indices) and has the strength
    ``ranks[r]``. A label counts once in a row, at its greatest strength: `verdicts` [3, strengths] is told whether the
    truth has it, denies it, or does not say. Where both tables are `apart`, a label that the row has is not added;
    where they are one, rules are judged by what else is there. Returns how many present labels of the truth could be
    added at all: those of `reached` [n] categories, without those that a row has where the tables are apart.
    """
    offsets, labels, confidences = rows
    true_offsets, true_labels, true_confidences = true_rows
    brought, brought_indices = brought_rows
    categories = len(rules) - 1
    has = np.full(categories, -1, np.int32)
    truth_of = np.full(categories, -1, np.int32)
    truth = np.zeros(categories, np.uint8)
    added_to = np.full(categories, -1, np.int32)
    strength = np.empty(categories, np.int32)
    added = np.empty(categories, np.int32)
    could = 0
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            has[labels[i]] = row
        for i in range(true_offsets[row], true_offsets[row + 1]):
            label = true_labels[i]
            truth_of[label] = row
            truth[label] = RIGHT if true_confidences[i] > 0 else WRONG
            if truth[label] == RIGHT and reached[label] and not (apart and has[label] == row):
                could += 1
        count = 0
        for i in range(offsets[row], offsets[row + 1]):
            if not confidences[i] > 0:
                continue
            for rule in range(rules[labels[i]], rules[labels[i] + 1]):
                for k in range(brought[rule], brought[rule + 1]):
                    label = brought_indices[k]
                    if apart and has[label] == row:
                        continue
                    if added_to[label] != row:
                        added_to[label] = row
                        strength[label] = ranks[rule]
                        added[count] = label
                        count += 1
                    elif ranks[rule] > strength[label]:
                        strength[label] = ranks[rule]
        for k in range(count):
            label = added[k]
            verdict = truth[label] if truth_of[label] == row else np.uint8(UNKNOWN)
            verdicts[verdict, strength[label]] += 1
    return could
