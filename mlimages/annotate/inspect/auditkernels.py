"""Compiled checks of labels against a hierarchy."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import FLOATS, INDICES, INDPTR, OFFSETS, compiled

#: What can be wrong with a label, in the order of `mlimages.annotate.inspect.audit.PROBLEMS`.
UNKNOWN, BAD_CONFIDENCE, DUPLICATED, NOT_CLOSED, ABSENT_ANCESTOR, NOT_MONOTONE = range(6)
KINDS = 6


@nb.njit(cache=True, nogil=True)
def _note(problem, row, label, other, entry, counts, flags, examples, used):  # type: ignore[no-untyped-def]
    counts[problem, 1] += 1
    flags[problem] = True
    most = examples.shape[1]
    if used[problem] < most:
        at = used[problem]
        examples[problem, at, 0] = row
        examples[problem, at, 1] = label
        examples[problem, at, 2] = other
        examples[problem, at, 3] = entry
        used[problem] = at + 1


@compiled(
    nb.void(
        *(OFFSETS, INDICES, FLOATS, INDPTR, INDICES),
        *(nb.int64[:, ::1], nb.int64[:, :, ::1], nb.int64[::1]),
    )
)
def check(offsets, labels, confidences, closure, ancestors, counts, examples, used):  # type: ignore[no-untyped-def]
    """Check every row.

    Adds rows and labels with each problem to `counts` [KINDS, 2]. Of each problem the first are noted in `examples`
    [KINDS, most, 4] as (row, label, the other label concerned or -1, entry), `used` [KINDS] of them so far.
    A label that occurs twice in a row counts with its greater confidence.
    """
    categories = len(closure) - 1
    seen_in = np.full(categories, -1, np.int64)
    confidence_of = np.empty(categories, np.float32)
    above_in = np.full(categories, -1, np.int64)  # the row in which a category was found less confident than another
    below = np.empty(categories, np.int32)  # that other one
    flags = np.zeros(KINDS, np.bool_)
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        flags[:] = False
        for i in range(start, stop):
            label, confidence = labels[i], confidences[i]
            if not 0 <= confidence <= 1:
                _note(BAD_CONFIDENCE, row, label, -1, i, counts, flags, examples, used)
            if label < 0 or label >= categories:
                _note(UNKNOWN, row, label, -1, i, counts, flags, examples, used)
            elif seen_in[label] == row:
                _note(DUPLICATED, row, label, -1, i, counts, flags, examples, used)
                if confidence > confidence_of[label]:
                    confidence_of[label] = confidence
            else:
                seen_in[label] = row
                confidence_of[label] = confidence
        for i in range(start, stop):
            label = labels[i]
            if label < 0 or label >= categories or seen_in[label] != row:
                continue
            seen_in[label] = -2 - row  # done: its second mention is not looked at
            confidence = confidence_of[label]
            if not confidence > 0:
                continue
            missing = absent = np.int64(-1)
            for k in range(closure[label], closure[label + 1]):
                ancestor = ancestors[k]
                if seen_in[ancestor] != row and seen_in[ancestor] != -2 - row:
                    if missing < 0:
                        missing = ancestor
                elif confidence_of[ancestor] == 0:
                    if absent < 0:
                        absent = ancestor
                elif confidence_of[ancestor] < confidence:
                    if above_in[ancestor] != row:
                        above_in[ancestor] = row
                        below[ancestor] = label
                    elif confidence > confidence_of[below[ancestor]]:
                        below[ancestor] = label
            if missing >= 0:
                _note(NOT_CLOSED, row, label, missing, i, counts, flags, examples, used)
            if absent >= 0:
                _note(ABSENT_ANCESTOR, row, label, absent, i, counts, flags, examples, used)
        for i in range(start, stop):
            label = labels[i]
            if 0 <= label < categories and above_in[label] == row:
                above_in[label] = -1  # counted once
                _note(NOT_MONOTONE, row, label, below[label], i, counts, flags, examples, used)
        for problem in range(KINDS):
            counts[problem, 0] += flags[problem]
