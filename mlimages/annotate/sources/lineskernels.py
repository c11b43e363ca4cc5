"""Compiled reading of lines: batches of them, and the numbers and names that stand in them.

Numba checks no bounds, so :func:`scan` counts lines and tabs before any buffer is made.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from mlimages.storage.signatures import BYTES, compiled

TAB, LINE_FEED, RETURN, COLON = 9, 10, 13, 58
_BLOCK = 4096
_POWERS = np.array([10.0**k for k in range(23)])


@compiled(nb.types.UniTuple(nb.int64, 3)(BYTES, nb.int64, nb.int64, nb.int64, nb.int64))
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


@compiled(nb.float64(BYTES, nb.int64, nb.int64))
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


@compiled(nb.boolean(BYTES, nb.int64, nb.int64))
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


@compiled(nb.void(BYTES, nb.int64, nb.uint8[::1], nb.int64, nb.int64))
def copy(source, start, target, to, count):  # type: ignore[no-untyped-def]
    """Copy bytes; indices are unsigned, so that the compiler makes vector code."""
    first, place = np.uint64(start), np.uint64(to)
    for k in range(np.uint64(count)):
        target[place + k] = source[first + k]


@compiled(nb.boolean(nb.int64[:, ::1], nb.int64, nb.int64, nb.int64, nb.int64, nb.int64, nb.int64, nb.int64))
def note(bad, row, line, first, last, problem, token, token_end):  # type: ignore[no-untyped-def]
    """Note a bad line in a row of `bad`, int64 [rows, 6]; return whether that was the last row, and parsing ends.

    `line` counts from 0 within the batch; ``[first, last)`` are its bytes, and ``[token, token_end)`` those in which
    the problem is.
    """
    for k, value in enumerate((line, first, last, problem, token, token_end)):
        bad[row, k] = value
    return row + 1 == len(bad)
