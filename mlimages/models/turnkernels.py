"""Compiled turning of a picture."""

from __future__ import annotations

import numba as nb
import numpy as np

_HALF = np.float32(0.5)


@nb.njit(
    [nb.void(nb.uint8[:, :, ::1], nb.float64, nb.uint8[:, :, ::1])],
    cache=True,
    nogil=True,
)
def turn(picture, angle, out):  # type: ignore[no-untyped-def]
    """Write into `out` the `picture`, both [3, H, W], turned about its middle by `angle` radians, anticlockwise.

    The nearest pixel is taken, and black where there is none.
    """
    _, height, width = picture.shape
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    half_height, half_width = np.float32(0.5 * (height - 1)), np.float32(0.5 * (width - 1))
    for row in range(height):
        down = np.float32(row) - half_height
        # half a pixel more, so that rounding down finds the nearest
        from_column = half_width + _HALF - sine * down
        from_row = half_height + _HALF + cosine * down
        for column in range(width):
            right = np.float32(column) - half_width
            x, y = from_column + cosine * right, from_row + sine * right
            at_column, at_row = np.int32(x), np.int32(y)
            if x >= 0 and y >= 0 and at_column < width and at_row < height:
                out[0, row, column] = picture[0, at_row, at_column]
                out[1, row, column] = picture[1, at_row, at_column]
                out[2, row, column] = picture[2, at_row, at_column]
            else:
                out[0, row, column] = 0
                out[1, row, column] = 0
                out[2, row, column] = 0
