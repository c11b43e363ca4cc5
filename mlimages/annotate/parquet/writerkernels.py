"""Compiled pieces of Parquet pages: levels, lengths and dictionary codes.

Formats: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import BYTES, FLOATS, OFFSETS, compiled

#: Slots of the hash table of `confidence_codes`, and how many distinct values one byte can code.
_SLOTS, CODES = 1024, 256


@compiled(nb.int64(OFFSETS))
def count_empty(offsets):  # type: ignore[no-untyped-def]
    """Rows without an entry."""
    empty = 0
    for row in range(len(offsets) - 1):
        empty += offsets[row] == offsets[row + 1]
    return empty


@compiled(nb.void(OFFSETS, nb.uint8[::1], nb.uint8[::1]))
def write_levels(offsets, repetition, definition):  # type: ignore[no-untyped-def]
    """Pack the levels of a list column, lowest bit first; an empty row takes one slot.

    `repetition` (1 bit a slot: 0 opens a row) and `definition` (2 bits a slot: 3 an entry, 1 an empty list) must be
    zero and long enough for the slots: entries plus empty rows. `definition` may have length 0 where no row is empty.
    """
    slot = 0
    for row in range(len(offsets) - 1):
        count = offsets[row + 1] - offsets[row]
        if len(definition):
            for k in range(max(count, 1)):
                at = slot + k
                definition[at >> 2] |= np.uint8((3 if count else 1) << ((at & 3) << 1))
        for at in range(slot + 1, slot + count):
            repetition[at >> 3] |= np.uint8(1 << (at & 7))
        slot += max(count, 1)


@compiled(nb.int64(FLOATS, nb.uint8[::1], nb.float32[::1]))
def confidence_codes(values, codes, distinct):  # type: ignore[no-untyped-def]
    """Number the distinct values in order of appearance; -1 where there are more than a byte can code.

    Fills `codes` [m], one a value, and `distinct` [CODES]; returns how many distinct values there are.
    """
    table = np.full(_SLOTS, -1, np.int16)
    bits = values.view(np.uint32)
    seen = 0
    last_bits = np.uint32(0)
    last_code = np.int16(-1)
    for i in range(len(values)):
        if last_code >= 0 and bits[i] == last_bits:  # confidences come in runs
            codes[i] = last_code
            continue
        slot = ((np.int64(bits[i]) * 2654435761) >> 22) & (_SLOTS - 1)  # Fibonacci hashing
        while table[slot] >= 0 and distinct[table[slot]] != values[i]:
            slot = (slot + 1) & (_SLOTS - 1)
        if table[slot] < 0:
            if seen == CODES:
                return -1
            table[slot] = seen
            distinct[seen] = values[i]
            seen += 1
        last_bits, last_code = bits[i], table[slot]
        codes[i] = last_code
    return seen


@compiled(nb.void(BYTES, nb.int64, nb.uint8[::1]))
def pack_codes(codes, width, out):  # type: ignore[no-untyped-def]
    """Pack codes with `width` bits each (1, 2, 4 or 8), lowest first; `out` must be zero and long enough."""
    per_byte = 8 // width
    whole = len(codes) // per_byte
    for i in range(whole):
        byte = 0
        for k in range(per_byte):
            byte |= codes[i * per_byte + k] << (k * width)
        out[i] = byte
    for k in range(len(codes) - whole * per_byte):
        out[whole] |= codes[whole * per_byte + k] << (k * width)


@compiled(nb.int64(nb.uint8[::1], nb.int64, nb.uint64))
def _varint(out, at, value):  # type: ignore[no-untyped-def]
    while value >= np.uint64(128):
        out[at] = np.uint8(value & np.uint64(127)) | np.uint8(128)
        value >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(value)
    return at + 1


@compiled(nb.int64(OFFSETS, nb.uint8[::1]))
def write_lengths(offsets, out):  # type: ignore[no-untyped-def]
    """Write the row lengths as DELTA_BINARY_PACKED (blocks of 128, four miniblocks each); return the bytes written.

    `out` must hold 32 bytes and 5.2 bytes a row, rounded up to whole blocks of 128 rows.
    """
    rows = len(offsets) - 1
    at = _varint(out, 0, np.uint64(128))
    at = _varint(out, at, np.uint64(4))
    at = _varint(out, at, np.uint64(rows))
    first = offsets[1] - offsets[0] if rows else 0
    at = _varint(out, at, np.uint64(first) << np.uint64(1))
    deltas = np.zeros(128, np.int64)
    for block in range(1, rows, 128):
        count = min(128, rows - block)
        lowest = np.int64(1) << np.int64(40)
        for k in range(count):
            row = block + k
            deltas[k] = np.int64(offsets[row + 1] - offsets[row]) - np.int64(offsets[row] - offsets[row - 1])
            lowest = min(lowest, deltas[k])
        deltas[count:] = lowest
        at = _varint(out, at, np.uint64(lowest << 1) if lowest >= 0 else np.uint64((-lowest << 1) - 1))
        widths_at = at
        at += 4
        for mini in range(4):
            width = 0
            if mini * 32 < count:  # a miniblock without values has width 0 and no bytes
                largest = np.int64(0)
                for k in range(mini * 32, mini * 32 + 32):
                    largest = max(largest, deltas[k] - lowest)
                while largest >> width:
                    width += 1
                for k in range(mini * 32, mini * 32 + 32):
                    delta = np.uint64(deltas[k] - lowest)
                    bit = (k - mini * 32) * width
                    for b in range(width):
                        place = at + ((bit + b) >> 3)
                        if ((bit + b) & 7) == 0:
                            out[place] = 0
                        out[place] |= np.uint8(((delta >> np.uint64(b)) & np.uint64(1)) << np.uint64((bit + b) & 7))
                at += 4 * width
            out[widths_at + mini] = width
    return at
