"""Compiled changes of colour: brightness, saturation, hue and contrast of a picture, in as few passes as they need.

A step takes whole numbers from 0 to 255 and gives such, rounded down as torchvision's do on tensors of bytes, so that
the outcome is torchvision's to within what float32 rounds otherwise; only brightness is added, as TensorFlow's is.
All steps of a pixel are done while it is in registers. Contrast alone looks at a whole picture, at its mean grey, so
there are two passes: before it and after it. The small functions are put into the loops before LLVM sees them, which
can then work on many pixels at once; called, they would take six times as long.
"""

from __future__ import annotations

import numba as nb
import numpy as np

_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)  # of grey
_ZERO, _ONE, _TWO, _THREE, _FOUR, _SIX = (np.float32(value) for value in (0, 1, 2, 3, 4, 6))
_MOST = np.float32(255)
_TO_BYTES = np.float32((256 - 1e-3) / 255)  # as torchvision turns floats into bytes


@nb.njit(cache=True, nogil=True, inline="always")
def _byte(value):  # type: ignore[no-untyped-def]
    return np.int32(min(max(value, _ZERO), _MOST))


@nb.njit(cache=True, nogil=True, inline="always")
def _brighter(value, shift):  # type: ignore[no-untyped-def]
    return min(max(np.int32(value) + shift, np.int32(0)), np.int32(255))


@nb.njit(cache=True, nogil=True, inline="always")
def _grey(red, green, blue):  # type: ignore[no-untyped-def]
    return np.int32(np.float32(red) * _RED + np.float32(green) * _GREEN + np.float32(blue) * _BLUE)


@nb.njit(cache=True, nogil=True, inline="always")
def _mixed(value, factor, rest):  # type: ignore[no-untyped-def]
    """`factor` of a value, and `rest`, which is the other one's share."""
    return _byte(np.float32(value) * np.float32(factor) + rest)


@nb.njit(cache=True, nogil=True, inline="always")
def _share(distance, least, chroma):  # type: ignore[no-untyped-def]
    """A channel of a colour whose hue is `distance` sextants from where the channel is strongest."""
    weight = min(max(_TWO - abs(distance), _ZERO), _ONE)
    return _byte((least + chroma * weight) * _TO_BYTES)


@nb.njit(cache=True, nogil=True, inline="always")
def _turned(red, green, blue, sextants):  # type: ignore[no-untyped-def]
    """A colour whose hue is turned: the greatest and the least channel keep their values."""
    greatest, least = max(red, green, blue), min(red, green, blue)
    chroma = np.float32(greatest - least)
    divisor = max(chroma, _ONE)
    hue = np.float32(red - green) / divisor + _FOUR
    hue = np.float32(blue - red) / divisor + _TWO if greatest == green else hue
    hue = np.float32(green - blue) / divisor if greatest == red else hue
    hue += sextants
    hue = hue + _SIX if hue < _ZERO else hue
    hue = hue - _SIX if hue >= _SIX else hue
    low = np.float32(least)
    # red is strongest at 0, which is 6: |hue - 3| is 3 there
    return (
        _share(_THREE - abs(hue - _THREE), low, chroma),
        _share(hue - _TWO, low, chroma),
        _share(hue - _FOUR, low, chroma),
    )


@nb.njit(cache=True, nogil=True, inline="always")
def _tinted(red, green, blue, saturation, sextants):  # type: ignore[no-untyped-def]
    """Saturation, then hue."""
    rest = np.float32(1.0 - saturation) * np.float32(_grey(red, green, blue))
    return _turned(
        _mixed(red, saturation, rest), _mixed(green, saturation, rest), _mixed(blue, saturation, rest), sextants
    )


@nb.njit(
    [nb.void(nb.uint8[:, :, ::1], nb.int32, nb.float64, nb.float64, nb.float64)],
    cache=True,
    nogil=True,
    error_model="numpy",  # no check of a divisor, which would keep the loop from being vectorised
)
def contrast_last(picture, shift, saturation, hue, contrast):  # type: ignore[no-untyped-def]
    """Change brightness, saturation, hue and contrast of `picture` [3, H, W] in this order, in place.

    `shift` is added to every channel; `saturation` and `contrast` are factors; `hue` is in turns, from -0.5 to 0.5.
    """
    _, height, width = picture.shape
    sextants = np.float32(6 * hue)
    total = np.int64(0)
    for row in range(height):
        reds, greens, blues = picture[0, row], picture[1, row], picture[2, row]
        of_row = np.int32(0)
        for at in range(width):
            red, green, blue = _brighter(reds[at], shift), _brighter(greens[at], shift), _brighter(blues[at], shift)
            red, green, blue = _tinted(red, green, blue, saturation, sextants)
            reds[at], greens[at], blues[at] = red, green, blue
            of_row += _grey(red, green, blue)
        total += of_row
    rest = np.float32(1.0 - contrast) * np.float32(total / max(1, height * width))
    values = picture.reshape(-1)
    for at in range(len(values)):
        values[at] = _mixed(values[at], contrast, rest)


@nb.njit(
    [nb.void(nb.uint8[:, :, ::1], nb.int32, nb.float64, nb.float64, nb.float64)],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def contrast_second(picture, shift, contrast, saturation, hue):  # type: ignore[no-untyped-def]
    """Change brightness, contrast, saturation and hue of `picture` [3, H, W] in this order, in place.

    The numbers are those of `contrast_last`.
    """
    _, height, width = picture.shape
    sextants = np.float32(6 * hue)
    total = np.int64(0)
    for row in range(height):
        reds, greens, blues = picture[0, row], picture[1, row], picture[2, row]
        of_row = np.int32(0)
        for at in range(width):
            of_row += _grey(_brighter(reds[at], shift), _brighter(greens[at], shift), _brighter(blues[at], shift))
        total += of_row
    rest = np.float32(1.0 - contrast) * np.float32(total / max(1, height * width))
    for row in range(height):
        reds, greens, blues = picture[0, row], picture[1, row], picture[2, row]
        for at in range(width):
            red = _mixed(_brighter(reds[at], shift), contrast, rest)
            green = _mixed(_brighter(greens[at], shift), contrast, rest)
            blue = _mixed(_brighter(blues[at], shift), contrast, rest)
            reds[at], greens[at], blues[at] = _tinted(red, green, blue, saturation, sextants)
