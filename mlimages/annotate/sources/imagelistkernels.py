"""Compiled parsing of image lists: the bytes of a file in, Arrow buffers out.

Numba checks no bounds: a line holds at most as many labels as tabs, and all names together are shorter than the text,
so what :func:`~mlimages.annotate.sources.lineskernels.scan` counted sizes the buffers. `parse` reads no byte outside
``[start, stop)``.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.sources.lines import LONGEST_NAME
from mlimages.annotate.sources.lineskernels import (
    COLON,
    LINE_FEED,
    RETURN,
    TAB,
    copy,
    is_utf8,
    note,
    parse_number,
)
from mlimages.annotate.sources.source import RowBuffers
from mlimages.storage.nameskernels import find_key
from mlimages.storage.signatures import BYTES, INDICES, INDPTR, compiled

_KEYS = nb.types.Tuple((BYTES, INDPTR, INDICES))
_ROWS = nb.types.NamedTuple([nb.uint8[::1], nb.int32[::1], nb.int32[::1], nb.int32[::1]], RowBuffers)

# what can be wrong with a line
EMPTY_LINE, NO_TAB, EMPTY_NAME, BAD_NAME, LONG_NAME, BAD_UTF8, UNKNOWN_LABEL, OUT_OF_RANGE, BAD_CONFIDENCE, OUTSIDE = (
    range(1, 11)
)


@compiled(nb.types.Tuple((nb.int64, nb.uint8))(BYTES, nb.int64, nb.int64))
def end_of_name(data, start, stop):  # type: ignore[no-untyped-def]
    """Where the first control character stands, but for a carriage return before a line end; all bytes or-ed.

    Indices are unsigned: for signed ones Numba looks whether they are negative, which keeps the compiler from making
    vector code.
    """
    at, end = np.uint64(start), np.uint64(stop)
    high = np.uint8(0)
    while at + np.uint64(16) <= end:
        control = False
        block = np.uint8(0)
        for k in range(16):
            byte = data[at + np.uint64(k)]
            control |= byte < 32
            block |= byte
        if control:
            break
        high |= block
        at += np.uint64(16)
    while at < end and (data[at] >= 32 or data[at] == RETURN):
        if data[at] == RETURN and at + np.uint64(1) < end and data[at + np.uint64(1)] != LINE_FEED:
            break
        high |= data[at]
        at += np.uint64(1)
    return np.int64(at), high


@compiled(
    nb.types.UniTuple(nb.int64, 4)(
        *(BYTES, nb.int64, nb.int64, nb.int64, _KEYS),
        *(_ROWS, nb.float32[::1], nb.int64[:, ::1]),
    )
)
def parse(data, start, stop, categories, keys, out, confidences, bad):  # type: ignore[no-untyped-def]
    """Parse the lines of ``data[start:stop]``; labels are indices below `categories`, or `keys`.

    `keys` is a KeyTable as a plain tuple: its arrays are writable once they were pickled, and only in plain tuples does
    Numba take these as read-only.

    A bad line is noted in `bad` and leaves no trace in the buffers `out` and `confidences`. The parse ends where `bad`
    is full.

    Returns the good rows, their labels, the bytes of their names, and the bad lines.
    """
    key_text, key_offsets, slots = keys  # once: within the loop it would cost 4 %
    names, name_offsets, offsets, labels = out
    rows = entries = text = wrong = line = 0
    name_offsets[0] = 0
    offsets[0] = 0
    at = start
    while at < stop:
        first = at
        problem = token = token_end = 0
        name_start = text
        at, high = end_of_name(data, at, stop)
        if at < stop and data[at] != TAB and data[at] != LINE_FEED:
            problem, token, token_end = BAD_NAME, at, at + 1
        if problem:
            pass
        elif at == stop or data[at] == LINE_FEED:
            token, token_end = first, at
            problem = NO_TAB
            if at == first or (at == first + 1 and data[first] == RETURN):
                problem = EMPTY_LINE
        elif at == first:
            problem, token, token_end = EMPTY_NAME, first, first + 1
        elif at - first > LONGEST_NAME:
            problem, token, token_end = LONG_NAME, first, at
        elif high >= 128 and not is_utf8(data, first, at):
            problem, token, token_end = BAD_UTF8, first, at
        if problem == 0:
            copy(data, first, names, text, at - first)
            text += at - first
        row_entries = entries
        while problem == 0 and at < stop and data[at] == TAB:
            at += 1
            token = at
            index = np.int64(0)
            while at < stop and 48 <= data[at] <= 57:
                index = min(index * 10 + (data[at] - 48), np.int64(1) << 40)
                at += 1
            end_of_digits = at
            confidence = 1.0
            # `:1` and `:0.8` are nearly all there is; both end before a tab or a line feed
            if (
                end_of_digits > token
                and at + 2 < stop
                and data[at] == COLON
                and data[at + 1] == 49
                and 9 <= data[at + 2] < 11
            ):
                at += 2
                token_end = at
            elif (
                end_of_digits > token
                and at + 4 < stop
                and (data[at] == COLON and data[at + 1] == 48 and data[at + 2] == 46)
                and (48 <= data[at + 3] <= 57 and 9 <= data[at + 4] < 11)
            ):
                confidence = (data[at + 3] - 48) / 10.0
                at += 4
                token_end = at
            else:
                colon = np.int64(-1)
                while at < stop and data[at] != TAB and data[at] != LINE_FEED:
                    if data[at] == COLON:
                        colon = at
                    at += 1
                token_end = at
                if at > token and data[at - 1] == RETURN and (at == stop or data[at] == LINE_FEED):
                    token_end -= 1
                label_end = colon if colon >= 0 else token_end
                if colon >= 0:
                    confidence = parse_number(data, colon + 1, token_end)
                if end_of_digits != label_end or end_of_digits == token:
                    index = find_key(data, token, label_end, key_text, key_offsets, slots)
                    if (index < 0 or confidence < 0) and colon >= 0:  # a key may hold a colon itself
                        whole = find_key(data, token, token_end, key_text, key_offsets, slots)
                        if whole >= 0:
                            index, confidence = whole, 1.0
                    if index < 0:
                        problem = UNKNOWN_LABEL
                if problem == 0 and confidence < 0:
                    problem = BAD_CONFIDENCE
                elif problem == 0 and (confidence > 1 or (confidence > 0 and np.float32(confidence) == 0)):
                    problem = OUTSIDE  # so small a confidence would turn into a verified absence
            if problem == 0 and index >= categories:
                problem = OUT_OF_RANGE
            if problem:
                break
            labels[entries] = index
            confidences[entries] = confidence
            entries += 1
        if problem:
            while at < stop and data[at] != LINE_FEED:
                at += 1
            entries = row_entries
            text = name_start
            wrong += 1
            if note(bad, wrong - 1, line, first, at, problem, token, token_end):
                break
        else:
            rows += 1
            name_offsets[rows] = text
            offsets[rows] = entries
        at += 1  # past the line feed
        line += 1
    return rows, entries, text, wrong
