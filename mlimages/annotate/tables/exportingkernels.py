"""Compiled writing of image lists: Arrow buffers in, text out."""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.annotate.sources.lineskernels import COLON, LINE_FEED, TAB
from mlimages.storage.signatures import BYTES, INDICES, OFFSETS, compiled

_TEXTS = nb.types.Tuple((BYTES, OFFSETS))
_ROWS = nb.types.Tuple((BYTES, OFFSETS, OFFSETS, INDICES))


@compiled(nb.types.UniTuple(nb.int64, 2)(_ROWS, _TEXTS, INDICES, _TEXTS))
def measure(rows, label_texts, codes, code_texts):  # type: ignore[no-untyped-def]
    """Bytes that `write` will write, and the first row whose name no list can hold, or -1."""
    names, name_offsets, offsets, labels = rows
    label_offsets, code_offsets = label_texts[1], code_texts[1]
    size = np.int64(0)
    for row in range(len(offsets) - 1):
        start, stop = name_offsets[row], name_offsets[row + 1]
        if start == stop:
            return size, row
        for k in range(start, stop):
            if names[k] < 32:
                return size, row
        if offsets[row] == offsets[row + 1]:
            continue
        size += stop - start + 1
        for i in range(offsets[row], offsets[row + 1]):
            label, code = labels[i], codes[i]
            size += label_offsets[label + 1] - label_offsets[label] + 2 + code_offsets[code + 1] - code_offsets[code]
    return size, -1


@compiled(nb.int64(_ROWS, _TEXTS, INDICES, _TEXTS, nb.uint8[::1]))
def write(rows, label_texts, codes, code_texts, out):  # type: ignore[no-untyped-def]
    """Write every row that has labels as a line; return how many have none.

    `rows` holds the names and where they begin, then offsets and labels. Label l is written as the l-th of the
    `label_texts`, the confidence of entry i as number ``codes[i]`` of the `code_texts`. `out` is as long as `measure`
    says.
    """
    names, name_offsets, offsets, labels = rows
    label_text, label_offsets = label_texts
    code_text, code_offsets = code_texts
    at = np.uint64(0)
    empty = 0
    one = np.uint64(1)
    for row in range(len(offsets) - 1):
        if offsets[row] == offsets[row + 1]:
            empty += 1
            continue
        for k in range(name_offsets[row], name_offsets[row + 1]):
            out[at] = names[k]
            at += one
        for i in range(offsets[row], offsets[row + 1]):
            out[at] = TAB
            at += one
            label, code = labels[i], codes[i]
            for k in range(label_offsets[label], label_offsets[label + 1]):
                out[at] = label_text[k]
                at += one
            out[at] = COLON
            at += one
            for k in range(code_offsets[code], code_offsets[code + 1]):
                out[at] = code_text[k]
                at += one
        out[at] = LINE_FEED
        at += one
    return empty
