"""Compiled parsing of image lists: the bytes of a file in, Arrow buffers out.

Numba checks no bounds, so `scan` counts lines and tabs before any buffer is made: a line holds at most as many labels
as tabs, and all names together are shorter than the text. `parse` reads no byte outside ``[start, stop)``.
"""

from __future__ import annotations

import numba as nb
import numpy as np

_BYTES = nb.types.Array(nb.uint8, 1, "C", readonly=True)
_INDICES = nb.types.Array(nb.int32, 1, "C", readonly=True)
_INDPTR = nb.types.Array(nb.int64, 1, "C", readonly=True)

TAB, LINE_FEED, RETURN, COLON = 9, 10, 13, 58
#: A longer name is no name of an image: the list lost its line ends, or is no list.
LONGEST_NAME = 65_535

# what can be wrong with a line
EMPTY_LINE, NO_TAB, EMPTY_NAME, BAD_NAME, LONG_NAME, BAD_UTF8, UNKNOWN_LABEL, OUT_OF_RANGE, BAD_CONFIDENCE, OUTSIDE = (
    range(1, 11)
)

_BLOCK = 4096


@nb.njit([nb.types.UniTuple(nb.int64, 3)(_BYTES, nb.int64, nb.int64, nb.int64, nb.int64)], cache=True, nogil=True)
def scan(data, start, stop, most_lines, most_bytes):  # type: ignore[no-untyped-def]
    """Find where a batch of whole lines ends; return that, its lines and its tabs.

    The batch ends after `most_lines` lines, or after the line with which it reaches `most_bytes`.
    """
    lines = tabs = 0
    at = start
    while at < stop:
        end = min(at + _BLOCK, stop)
        block_lines = block_tabs = 0
        for i in range(at, end):  # without a branch: the compiler makes it vector code
            block_lines += data[i] == LINE_FEED
            block_tabs += data[i] == TAB
        if lines + block_lines < most_lines and end - start < most_bytes:
            lines += block_lines
            tabs += block_tabs
            at = end
            continue
        while at < stop:
            tabs += data[at] == TAB
            at += 1
            if data[at - 1] == LINE_FEED:
                lines += 1
                if lines == most_lines or at - start >= most_bytes:
                    return at, lines, tabs
    if stop > start and data[stop - 1] != LINE_FEED:
        lines += 1  # the last line of a file may lack its end
    return stop, lines, tabs


@nb.njit([nb.uint64(_BYTES, nb.int64, nb.int64)], cache=True, nogil=True)
def hash_key(data, start, stop):  # type: ignore[no-untyped-def]
    """FNV-1a, 64 bits (Fowler, Noll and Vo)."""
    value = np.uint64(14695981039346656037)
    for i in range(start, stop):
        value = (value ^ np.uint64(data[i])) * np.uint64(1099511628211)
    return value ^ (value >> np.uint64(32))


@nb.njit([nb.void(_BYTES, _INDPTR, nb.int32[::1])], cache=True, nogil=True)
def fill_slots(keys, key_offsets, slots):  # type: ignore[no-untyped-def]
    """Enter every key into an open-addressing table; `slots` is -1 everywhere and its length a power of two."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(key_offsets) - 1):
        slot = hash_key(keys, key_offsets[i], key_offsets[i + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = i


@nb.njit([nb.int64(_BYTES, nb.int64, nb.int64, _BYTES, _INDPTR, _INDICES)], cache=True, nogil=True)
def find_key(data, start, stop, keys, key_offsets, slots):  # type: ignore[no-untyped-def]
    """Index of the key that stands at ``[start, stop)``, or -1."""
    mask = np.uint64(len(slots) - 1)
    slot = hash_key(data, start, stop) & mask
    while slots[slot] >= 0:
        i = slots[slot]
        if key_offsets[i + 1] - key_offsets[i] == stop - start:
            same = True
            for k in range(stop - start):
                if keys[key_offsets[i] + k] != data[start + k]:
                    same = False
                    break
            if same:
                return i
        slot = (slot + np.uint64(1)) & mask
    return -1


_POWERS = np.array([10.0**k for k in range(23)])


@nb.njit([nb.float64(_BYTES, nb.int64, nb.int64)], cache=True, nogil=True)
def parse_number(data, start, stop):  # type: ignore[no-untyped-def]
    """A decimal number without a sign, such as ``1``, ``0.8`` or ``1e-1``; -1 where it is none.

    Up to 15 digits and 22 places it is the double nearest to the text.
    """
    mantissa = np.int64(0)
    digits = places = scale = 0
    at = start
    while at < stop and 48 <= data[at] <= 57:
        if mantissa < 100_000_000_000_000:
            mantissa = mantissa * 10 + (data[at] - 48)
        else:
            scale += 1
        digits += 1
        at += 1
    if at < stop and data[at] == 46:
        at += 1
        first = at
        while at < stop and 48 <= data[at] <= 57:
            if mantissa < 100_000_000_000_000:
                mantissa = mantissa * 10 + (data[at] - 48)
                places += 1
            at += 1
        if at == first:
            return -1.0
        digits += at - first
    if digits == 0:
        return -1.0
    if at < stop and (data[at] | 32) == 101:
        at += 1
        negative = False
        if at < stop and (data[at] == 43 or data[at] == 45):
            negative = data[at] == 45
            at += 1
        first = at
        exponent = 0
        while at < stop and 48 <= data[at] <= 57:
            exponent = min(exponent * 10 + (data[at] - 48), 9999)
            at += 1
        if at == first:
            return -1.0
        scale += -exponent if negative else exponent
    if at != stop:
        return -1.0
    scale -= places
    if scale >= 0:
        return np.inf if scale > 22 and mantissa else mantissa * _POWERS[min(scale, 22)]
    value = np.float64(mantissa)
    while scale < -22 and value > 0:
        value /= _POWERS[22]
        scale += 22
    return value / _POWERS[max(0, min(-scale, 22))]


@nb.njit([nb.boolean(_BYTES, nb.int64, nb.int64)], cache=True, nogil=True)
def is_utf8(data, start, stop):  # type: ignore[no-untyped-def]
    """Whether ``[start, stop)`` is well-formed UTF-8 (Unicode 15, table 3-7)."""
    at = start
    while at < stop:
        lead = data[at]
        at += 1
        if lead < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            low = 0xA0 if lead == 0xE0 else 0x80
            high = 0x9F if lead == 0xED else 0xBF
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            low = 0x90 if lead == 0xF0 else 0x80
            high = 0x8F if lead == 0xF4 else 0xBF
        else:
            return False
        if at + more > stop or not low <= data[at] <= high:
            return False
        for k in range(1, more):
            if not 0x80 <= data[at + k] <= 0xBF:
                return False
        at += more
    return True


@nb.njit([nb.types.Tuple((nb.int64, nb.uint8))(_BYTES, nb.int64, nb.int64)], cache=True, nogil=True)
def end_of_name(data, start, stop):  # type: ignore[no-untyped-def]
    """Where the first control character stands, but for a carriage return before a line end; all bytes or-ed.

    Indices are unsigned here and in `copy`: for signed ones Numba looks whether they are negative, which keeps the
    compiler from making vector code.
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


@nb.njit([nb.void(_BYTES, nb.int64, nb.uint8[::1], nb.int64, nb.int64)], cache=True, nogil=True)
def copy(source, start, target, to, count):  # type: ignore[no-untyped-def]
    """Copy bytes."""
    first, place = np.uint64(start), np.uint64(to)
    for k in range(np.uint64(count)):
        target[place + k] = source[first + k]


@nb.njit(
    [
        nb.types.UniTuple(nb.int64, 4)(
            *(_BYTES, nb.int64, nb.int64, nb.int64, nb.boolean),
            *(_BYTES, _INDPTR, _INDICES),
            *(nb.uint8[::1], nb.int32[::1], nb.int32[::1], nb.int32[::1], nb.float32[::1], nb.int64[:, ::1]),
        )
    ],
    cache=True,
    nogil=True,
)
def parse(  # type: ignore[no-untyped-def]
    data,
    start,
    stop,
    categories,
    skip_bad,
    keys,
    key_offsets,
    slots,
    names,
    name_offsets,
    offsets,
    labels,
    confidences,
    bad,
):
    """Parse the lines of ``data[start:stop]``.

    A bad line is noted in `bad` as (line within the batch, its first byte, the byte after it, what is wrong, first
    byte of the token, the byte after that) and leaves no trace in the buffers. Without `skip_bad` the first one ends
    the parse.

    Returns the good rows, their labels, the bytes of their names, and the bad lines.
    """
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
                    index = find_key(data, token, label_end, keys, key_offsets, slots)
                    if (index < 0 or confidence < 0) and colon >= 0:  # a key may hold a colon itself
                        whole = find_key(data, token, token_end, keys, key_offsets, slots)
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
            bad[wrong, 0] = line
            bad[wrong, 1] = first
            bad[wrong, 2] = at
            bad[wrong, 3] = problem
            bad[wrong, 4] = token
            bad[wrong, 5] = token_end
            wrong += 1
            entries = row_entries
            text = name_start
            if not skip_bad:
                break
        else:
            rows += 1
            name_offsets[rows] = text
            offsets[rows] = entries
        at += 1  # past the line feed
        line += 1
    return rows, entries, text, wrong
