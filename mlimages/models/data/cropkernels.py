"""Compiled cropping, resizing and flipping of a picture.

Pixels come as numbers of 32 bits: red in the lowest byte, then green, blue, and one of no meaning; that is what JPEGs
are decoded to at no cost, and what can be moved about whole. Resizing is torchvision's antialiased bilinear one to
within what rounds otherwise: each pixel is a mean of those that it covers, first down, then across. Sixteen rows at a
time are made narrower column by column, so that both passes are means of long rows of bytes, which LLVM can vectorise;
rows of three channels are not, as its neighbours in a row are what a pixel is the mean of.
"""

from __future__ import annotations

import numba as nb
import numpy as np

_ROWS = 16  # made narrower together: 64 bytes a column, and the columns of a usual picture fit the nearest cache
_HALF = np.float32(0.5)
_UNSIGNED = np.uintp  # an index that cannot be negative needs no check, which would keep a loop from being vectorised


@nb.njit(cache=True, nogil=True)
def _values(pixels):  # type: ignore[no-untyped-def]
    """The bytes of `pixels` [H, W], in one row [4 H W]."""
    return pixels.view(np.uint8).reshape(-1)


@nb.njit(cache=True, nogil=True)
def _shares(length, size):  # type: ignore[no-untyped-def]
    """What share pixels of a side of `length` have in each one of a side of `size`.

    The first of those with a share [size], how many there are [size], and their shares float32 [size, most], of sum 1.
    """
    scale = length / size
    reach = max(scale, 1.0)
    starts, counts = np.empty(size, np.int64), np.empty(size, np.int64)
    shares = np.zeros((size, max(5, 2 * int(reach) + 3)), np.float32)
    for at in range(size):
        middle = scale * (at + 0.5)
        first, end = max(0, int(middle - reach + 0.5)), min(length, int(middle + reach + 0.5))
        total, count = 0.0, 1
        for one in range(end - first):
            share = max(0.0, 1.0 - abs(first + one + 0.5 - middle) / reach)
            shares[at, one] = share
            total += share
            if share > 0.0:
                count = one + 1
        for one in range(count):
            shares[at, one] /= total
        starts[at], counts[at] = first, count
    return starts, counts, shares


@nb.njit(cache=True, nogil=True, inline="always")
def _part(value, share):  # type: ignore[no-untyped-def]
    return np.float32(value) * share


@nb.njit(cache=True, nogil=True, fastmath={"contract"})  # a product and a sum at once, rounded once
def _means(values, stride, offset, length, wide, starts, counts, shares, sums, out):  # type: ignore[no-untyped-def]
    """Write weighted means of `length` rows of `values` into `out`, row after row, each `wide` bytes.

    Rows are `stride` bytes apart, the first at `offset`; `starts`, `counts` and `shares` are those of `_shares`. `sums`
    float32 [at least wide] is where many are added up.
    """
    first_row, apart, size = _UNSIGNED(offset), _UNSIGNED(stride), _UNSIGNED(wide)
    to = _UNSIGNED(0)
    for row in range(len(starts)):
        start, count = starts[row], counts[row]
        # where there are fewer, the others have no share, but must be there to be read
        p0 = first_row + _UNSIGNED(start) * apart
        p1 = first_row + _UNSIGNED(min(start + 1, length - 1)) * apart
        p2 = first_row + _UNSIGNED(min(start + 2, length - 1)) * apart
        p3 = first_row + _UNSIGNED(min(start + 3, length - 1)) * apart
        p4 = first_row + _UNSIGNED(min(start + 4, length - 1)) * apart
        s0, s1, s2, s3, s4 = shares[row, 0], shares[row, 1], shares[row, 2], shares[row, 3], shares[row, 4]
        if count <= 3:
            for at in range(size):
                mean = _HALF + _part(values[p0 + at], s0) + _part(values[p1 + at], s1) + _part(values[p2 + at], s2)
                out[to + at] = np.uint8(np.int32(mean))
        elif count == 4:
            for at in range(size):
                mean = _HALF + _part(values[p0 + at], s0) + _part(values[p1 + at], s1) + _part(values[p2 + at], s2)
                out[to + at] = np.uint8(np.int32(mean + _part(values[p3 + at], s3)))
        else:
            for at in range(size):
                mean = _HALF + _part(values[p0 + at], s0) + _part(values[p1 + at], s1) + _part(values[p2 + at], s2)
                sums[at] = mean + _part(values[p3 + at], s3) + _part(values[p4 + at], s4)
            for one in range(5, count):
                place, share = first_row + _UNSIGNED(start + one) * apart, shares[row, one]
                for at in range(size):
                    sums[at] += _part(values[place + at], share)
            for at in range(size):
                out[to + at] = np.uint8(np.int32(sums[at]))
        to += size


@nb.njit(
    [nb.void(nb.uint32[:, ::1], nb.int64, nb.int64, nb.int64, nb.int64, nb.boolean, nb.uint32[:, ::1])],
    cache=True,
    nogil=True,
)
def resized_crop(pixels, top, left, high, wide, flip, out):  # type: ignore[no-untyped-def]
    """Write into `out` [h, w] the window of `pixels` [H, W] that is `high` and `wide`, resized and perhaps flipped.

    The window must lie within the picture and hold a pixel; it is flipped left to right.
    """
    height, width = out.shape
    row_starts, row_counts, row_weights = _shares(high, height)
    column_starts, column_counts, column_weights = _shares(wide, width)
    rows, pairs = np.zeros((_ROWS, wide), np.uint32), np.empty((wide, _ROWS // 2), np.uint64)
    narrow = np.empty((width, _ROWS), np.uint32)
    values, rows_values = _values(pixels), _values(rows)
    pairs_values, narrow_values = _values(pairs), _values(narrow)
    sums = np.empty(4 * max(wide, _ROWS), np.float32)
    stride = 4 * pixels.shape[1]
    for begin in range(0, height, _ROWS):
        end = min(begin + _ROWS, height)
        _means(
            values, stride, top * stride + 4 * left, high, 4 * wide,
            row_starts[begin:end], row_counts[begin:end], row_weights[begin:end], sums, rows_values,
        )  # fmt: skip
        for pair in range(_ROWS // 2):  # a store of two pixels takes as long as one of one
            for column in range(wide):
                below = np.uint64(rows[2 * pair + 1, column]) << np.uint64(32)
                pairs[column, pair] = np.uint64(rows[2 * pair, column]) | below
        _means(
            pairs_values, 4 * _ROWS, 0, wide, 4 * _ROWS,
            column_starts, column_counts, column_weights, sums, narrow_values,
        )  # fmt: skip
        for row in range(end - begin):
            if flip:
                for column in range(width):
                    out[begin + row, column] = narrow[width - 1 - column, row]
            else:
                for column in range(width):
                    out[begin + row, column] = narrow[column, row]


@nb.njit([nb.void(nb.uint32[:, ::1], nb.uint8[:, :, ::1])], cache=True, nogil=True)
def planes(pixels, out):  # type: ignore[no-untyped-def]
    """Write the red, the green and the blue of `pixels` [H, W] into `out` [3, H, W]."""
    flat = pixels.reshape(-1)
    reds, greens, blues = out[0].reshape(-1), out[1].reshape(-1), out[2].reshape(-1)
    for at in range(len(flat)):
        pixel = flat[at]
        reds[at] = np.uint8(pixel)
        greens[at] = np.uint8(pixel >> np.uint32(8))
        blues[at] = np.uint8(pixel >> np.uint32(16))
