"""Compiled kernels of :mod:`mlimages.models.data.preprocess`: crop and resize, rotate, change colours.

Cropping and rotating read pixels as uint32 [H, W]: red in the lowest byte, then green, blue and one unused byte. JPEGs
are decoded to that form at no cost, and a pixel is moved as one number. Changing colours works on uint8 [3, H, W].
"""

from __future__ import annotations

import numba as nb
import numpy as np

_ROWS = 16  # resized across together: 64 bytes per column, so that the columns of a usual image fit the first cache
_UNSIGNED = np.uintp  # an index that cannot be negative needs no check, which would keep a loop from being vectorised
_ZERO, _HALF, _TWO, _THREE, _FOUR, _SIX = (np.float32(value) for value in (0, 0.5, 2, 3, 4, 6))
_MOST = np.float32(255)
_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)  # weights of grey
_TO_BYTES = np.float32((256 - 1e-3) / 255)  # as torchvision converts floats to bytes
_FUSED = {"contract"}  # multiply and add in one instruction, rounded once


# Cropping and resizing ------------------------------------------------------------------------------------------------
#
# torchvision's antialiased bilinear resizing to within rounding: each output pixel is a weighted mean of the input
# pixels that it covers, first down, then across. Sixteen rows at a time are resized across column by column, so that
# both passes are means of long rows of bytes, which LLVM can vectorise; means of neighbours within a row it cannot.


@nb.njit(cache=True, nogil=True)
def _values(pixels):  # type: ignore[no-untyped-def]
    """The bytes of `pixels` uint32 [H, W]: uint8 [4 H W]."""
    return pixels.view(np.uint8).reshape(-1)


@nb.njit(cache=True, nogil=True)
def _shares(length, size):  # type: ignore[no-untyped-def]
    """Weights of input pixels along a side of `length` in each output pixel along a side of `size`.

    Returns the first weighted input pixel int64 [size], the number of them int64 [size], and their weights float32
    [size, greatest number], each row with sum 1.
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
def _times(value, share):  # type: ignore[no-untyped-def]
    return np.float32(value) * share


@nb.njit(cache=True, nogil=True, fastmath=_FUSED)
def _means(values, stride, offset, length, wide, starts, counts, shares, sums, out):  # type: ignore[no-untyped-def]
    """Write weighted means of `length` rows of `values` uint8 [n] into `out`, row after row, each `wide` bytes.

    Rows begin `stride` bytes apart, the first at `offset`; `starts`, `counts` and `shares` are those of `_shares`.
    `sums` float32 [at least `wide`] is a buffer for means of more than four rows.
    """
    first_row, apart, size = _UNSIGNED(offset), _UNSIGNED(stride), _UNSIGNED(wide)
    to = _UNSIGNED(0)
    for row in range(len(starts)):
        start, count = starts[row], counts[row]
        # where there are fewer, the others have weight 0, but must be readable
        p0 = first_row + _UNSIGNED(start) * apart
        p1 = first_row + _UNSIGNED(min(start + 1, length - 1)) * apart
        p2 = first_row + _UNSIGNED(min(start + 2, length - 1)) * apart
        p3 = first_row + _UNSIGNED(min(start + 3, length - 1)) * apart
        p4 = first_row + _UNSIGNED(min(start + 4, length - 1)) * apart
        s0, s1, s2, s3, s4 = shares[row, 0], shares[row, 1], shares[row, 2], shares[row, 3], shares[row, 4]
        if count <= 3:
            for at in range(size):
                mean = _HALF + _times(values[p0 + at], s0) + _times(values[p1 + at], s1) + _times(values[p2 + at], s2)
                out[to + at] = np.uint8(np.int32(mean))
        elif count == 4:
            for at in range(size):
                mean = _HALF + _times(values[p0 + at], s0) + _times(values[p1 + at], s1) + _times(values[p2 + at], s2)
                out[to + at] = np.uint8(np.int32(mean + _times(values[p3 + at], s3)))
        else:
            for at in range(size):
                mean = _HALF + _times(values[p0 + at], s0) + _times(values[p1 + at], s1) + _times(values[p2 + at], s2)
                sums[at] = mean + _times(values[p3 + at], s3) + _times(values[p4 + at], s4)
            for one in range(5, count):
                place, share = first_row + _UNSIGNED(start + one) * apart, shares[row, one]
                for at in range(size):
                    sums[at] += _times(values[place + at], share)
            for at in range(size):
                out[to + at] = np.uint8(np.int32(sums[at]))
        to += size


@nb.njit(
    [nb.void(nb.uint32[:, ::1], nb.int64, nb.int64, nb.int64, nb.int64, nb.boolean, nb.uint32[:, ::1])],
    cache=True,
    nogil=True,
)
def resized_crop(pixels, top, left, high, wide, flip, out):  # type: ignore[no-untyped-def]
    """Resize the window of `pixels` uint32 [H, W] at `top`, `left`, `high` and `wide`, to `out` uint32 [h, w].

    The window must lie within the image and hold a pixel; `flip` exchanges left and right.
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
    """Write red, green and blue of `pixels` uint32 [H, W] to `out` uint8 [3, H, W]."""
    flat = pixels.reshape(-1)
    reds, greens, blues = out[0].reshape(-1), out[1].reshape(-1), out[2].reshape(-1)
    for at in range(len(flat)):
        pixel = flat[at]
        reds[at] = np.uint8(pixel)
        greens[at] = np.uint8(pixel >> np.uint32(8))
        blues[at] = np.uint8(pixel >> np.uint32(16))


# Rotating -------------------------------------------------------------------------------------------------------------
#
# Nearest neighbour, as TensorFlow's own rotation.


@nb.njit(cache=True, nogil=True, inline="always")
def _within(x, y, width, height):  # type: ignore[no-untyped-def]
    return x >= _ZERO and y >= _ZERO and x < np.float32(width) and y < np.float32(height)


@nb.njit(
    [nb.void(nb.uint32[:, ::1], nb.float64, nb.uint8[:, :, ::1])],
    cache=True,
    nogil=True,
)
def turn(pixels, angle, out):  # type: ignore[no-untyped-def]
    """Rotate `pixels` uint32 [H, W] about their middle by `angle` radians, anticlockwise, into `out` uint8 [3, H, W].

    Each output pixel is the nearest input pixel, or black outside the image.
    """
    height, width = pixels.shape
    flat = pixels.reshape(-1)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    half_height, half_width = np.float32(0.5 * (height - 1)), np.float32(0.5 * (width - 1))
    places, turned = np.empty(width, np.int32), np.empty(width, np.uint32)
    for row in range(height):
        down = np.float32(row) - half_height
        # plus half a pixel, so that rounding down finds the nearest
        from_column = half_width + _HALF - sine * down
        from_row = half_height + _HALF + cosine * down
        # an output row is a straight line through the input, which it enters and leaves once
        first, end = 0, width
        while first < end:
            right = np.float32(first) - half_width
            if _within(from_column + cosine * right, from_row + sine * right, width, height):
                break
            turned[first] = 0
            first += 1
        while first < end:
            right = np.float32(end - 1) - half_width
            if _within(from_column + cosine * right, from_row + sine * right, width, height):
                break
            end -= 1
            turned[end] = 0
        # all places, then all pixels: LLVM vectorises the former, but not the gather
        for column in range(width):
            right = np.float32(column) - half_width
            at_column, at_row = np.int32(from_column + cosine * right), np.int32(from_row + sine * right)
            places[column] = np.int32(np.int32(at_row * width) + at_column)
        for column in range(first, end):
            turned[column] = flat[np.uint32(places[column])]
        reds, greens, blues = out[0, row], out[1, row], out[2, row]
        for column in range(width):
            pixel = turned[column]
            reds[column] = np.uint8(pixel)
            greens[column] = np.uint8(pixel >> np.uint32(8))
            blues[column] = np.uint8(pixel >> np.uint32(16))


# Changing colours -----------------------------------------------------------------------------------------------------
#
# A step maps whole numbers from 0 to 255 to such, rounded down as torchvision's steps are on uint8 tensors, so that
# results are torchvision's to within float32 rounding; only brightness is added, as in TensorFlow. All steps of a pixel
# are done in registers, in float32, where whole numbers that small are exact: converting between types takes as long
# as the steps. Contrast needs the mean grey of the whole image, hence two passes: before it and after it. The small
# functions are inlined before LLVM sees the loops, so that it can vectorise them; called, they take six times as long.


@nb.njit(cache=True, nogil=True, inline="always")
def _whole(value):  # type: ignore[no-untyped-def]
    """`value` clipped to [0, 255] and rounded down."""
    return np.floor(min(max(value, _ZERO), _MOST))


@nb.njit(cache=True, nogil=True, inline="always")
def _byte(value):  # type: ignore[no-untyped-def]
    return np.uint8(np.int32(value))


@nb.njit(cache=True, nogil=True, inline="always")
def _brighter(value, shift):  # type: ignore[no-untyped-def]
    return min(max(np.float32(value) + shift, _ZERO), _MOST)


@nb.njit(cache=True, nogil=True, inline="always")
def _grey(red, green, blue):  # type: ignore[no-untyped-def]
    return np.floor(red * _RED + green * _GREEN + blue * _BLUE)


@nb.njit(cache=True, nogil=True, inline="always")
def _mixed(value, factor, rest):  # type: ignore[no-untyped-def]
    """Blend: `factor` times `value`, plus `rest`, which is already weighted."""
    return _whole(value * factor + rest)


@nb.njit(cache=True, nogil=True, inline="always")
def _turned(red, green, blue, sextants):  # type: ignore[no-untyped-def]
    """Shift the hue of a colour by `sextants`, from 1 to 7; its greatest and least channel values stay.

    Hues, then from 0 to 12, are kept multiplied by chroma: that saves a slow division, and grey is no special case.
    """
    greatest, least = max(red, green, blue), min(red, green, blue)
    chroma = greatest - least
    hue, base = red - green, _FOUR
    hue, base = (blue - red, _TWO) if greatest == green else (hue, base)
    hue, base = (green - blue, _ZERO) if greatest == red else (hue, base)
    hue += chroma * (base + sextants)
    twice, full = chroma + chroma, _SIX * chroma
    hue = hue - full if hue >= full else hue
    top = least + twice
    # red is strongest at 0, which is 6, green at 2, blue at 4: up to 1 from there they are as strong, at 2 weakest
    return (
        _channel(least - chroma + abs(hue - _THREE * chroma), least, greatest),
        _channel(top - abs(hue - twice), least, greatest),
        _channel(top - abs(hue - (twice + twice)), least, greatest),
    )


@nb.njit(cache=True, nogil=True, inline="always")
def _channel(value, least, greatest):  # type: ignore[no-untyped-def]
    return np.floor(min(max(value, least), greatest) * _TO_BYTES)


@nb.njit(cache=True, nogil=True, inline="always")
def _tinted(red, green, blue, saturation, dullness, sextants):  # type: ignore[no-untyped-def]
    """Change saturation, then hue; `dullness` is 1 - `saturation`."""
    rest = dullness * _grey(red, green, blue)
    return _turned(
        _mixed(red, saturation, rest), _mixed(green, saturation, rest), _mixed(blue, saturation, rest), sextants
    )


@nb.njit(
    [nb.void(nb.uint8[:, :, ::1], nb.int32, nb.float64, nb.float64, nb.float64)],
    cache=True,
    nogil=True,
    error_model="numpy",  # no check of a divisor, which would keep the loop from being vectorised
    fastmath=_FUSED,
)
def contrast_last(picture, shift, saturation, hue, contrast):  # type: ignore[no-untyped-def]
    """Change brightness, saturation, hue and contrast of `picture` uint8 [3, H, W] in this order, in place.

    `shift` is added to each channel; `saturation` and `contrast` are factors; `hue` is in turns, from -0.5 to 0.5.
    """
    _, height, width = picture.shape
    added, sextants = np.float32(shift), np.float32((6 * hue - 1) % 6 + 1)
    intensity, dullness = np.float32(saturation), np.float32(1.0 - saturation)
    total = np.int64(0)
    for row in range(height):
        reds, greens, blues = picture[0, row], picture[1, row], picture[2, row]
        of_row = np.int32(0)
        for at in range(width):
            red, green, blue = _brighter(reds[at], added), _brighter(greens[at], added), _brighter(blues[at], added)
            red, green, blue = _tinted(red, green, blue, intensity, dullness, sextants)
            reds[at], greens[at], blues[at] = _byte(red), _byte(green), _byte(blue)
            of_row = np.int32(of_row + np.int32(_grey(red, green, blue)))  # numba would add up in 64 bits
        total += of_row
    factor = np.float32(contrast)
    rest = np.float32(1.0 - contrast) * np.float32(total / max(1, height * width))
    values = picture.reshape(-1)
    for at in range(len(values)):
        values[at] = _byte(_mixed(np.float32(values[at]), factor, rest))


@nb.njit(
    [nb.void(nb.uint8[:, :, ::1], nb.int32, nb.float64, nb.float64, nb.float64)],
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=_FUSED,
)
def contrast_second(picture, shift, contrast, saturation, hue):  # type: ignore[no-untyped-def]
    """Change brightness, contrast, saturation and hue of `picture` uint8 [3, H, W] in this order, in place.

    The parameters are those of `contrast_last`.
    """
    _, height, width = picture.shape
    added, sextants = np.float32(shift), np.float32((6 * hue - 1) % 6 + 1)
    intensity, dullness = np.float32(saturation), np.float32(1.0 - saturation)
    total = np.int64(0)
    for row in range(height):
        reds, greens, blues = picture[0, row], picture[1, row], picture[2, row]
        of_row = np.int32(0)
        for at in range(width):
            red, green, blue = _brighter(reds[at], added), _brighter(greens[at], added), _brighter(blues[at], added)
            of_row = np.int32(of_row + np.int32(_grey(red, green, blue)))
        total += of_row
    factor = np.float32(contrast)
    rest = np.float32(1.0 - contrast) * np.float32(total / max(1, height * width))
    for row in range(height):
        reds, greens, blues = picture[0, row], picture[1, row], picture[2, row]
        for at in range(width):
            red = _mixed(_brighter(reds[at], added), factor, rest)
            green = _mixed(_brighter(greens[at], added), factor, rest)
            blue = _mixed(_brighter(blues[at], added), factor, rest)
            red, green, blue = _tinted(red, green, blue, intensity, dullness, sextants)
            reds[at], greens[at], blues[at] = _byte(red), _byte(green), _byte(blue)
