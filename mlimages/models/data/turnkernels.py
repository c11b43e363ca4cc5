"""Compiled turning of a picture."""

from __future__ import annotations

import numba as nb
import numpy as np

_HALF, _ZERO = np.float32(0.5), np.float32(0)


@nb.njit(cache=True, nogil=True, inline="always")
def _within(x, y, width, height):  # type: ignore[no-untyped-def]
    return x >= _ZERO and y >= _ZERO and x < np.float32(width) and y < np.float32(height)


@nb.njit(
    [nb.void(nb.uint32[:, ::1], nb.float64, nb.uint8[:, :, ::1])],
    cache=True,
    nogil=True,
)
def turn(pixels, angle, out):  # type: ignore[no-untyped-def]
    """Write into `out` [3, H, W] the `pixels` [H, W], turned about their middle by `angle` radians, anticlockwise.

    The nearest pixel is taken, and black where there is none. Pixels are those of
    :mod:`mlimages.models.data.cropkernels`.
    """
    height, width = pixels.shape
    flat = pixels.reshape(-1)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    half_height, half_width = np.float32(0.5 * (height - 1)), np.float32(0.5 * (width - 1))
    places, turned = np.empty(width, np.int32), np.empty(width, np.uint32)
    for row in range(height):
        down = np.float32(row) - half_height
        # half a pixel more, so that rounding down finds the nearest
        from_column = half_width + _HALF - sine * down
        from_row = half_height + _HALF + cosine * down
        # a row of the outcome is a straight line through the picture, which it enters and leaves once
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
        # all places, and then all pixels: LLVM vectorises the one, and not what fetches from anywhere
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
