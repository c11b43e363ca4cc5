"""Compiled changes of colour: brightness, saturation, hue and contrast of a picture, in as few passes as they need.

A step takes whole numbers from 0 to 255 and gives such, rounded down as torchvision's do on tensors of bytes, so that
the outcome is torchvision's to within what float32 rounds otherwise; only brightness is added, as TensorFlow's is.
All steps of a pixel are done while it is in registers, in float32 from the first to the last: whole numbers that small
are exact there, and turning them into other types and back takes as long as the steps. Contrast alone looks at a whole
picture, at its mean grey, so there are two passes: before it and after it. The small functions are put into the loops
before LLVM sees them, which can then work on many pixels at once; called, they would take six times as long.
"""

from __future__ import annotations

import numba as nb
import numpy as np

_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)  # of grey
_ZERO, _ONE, _TWO, _THREE, _FOUR, _SIX = (np.float32(value) for value in (0, 1, 2, 3, 4, 6))
_MOST = np.float32(255)
_TO_BYTES = np.float32((256 - 1e-3) / 255)  # as torchvision turns floats into bytes
_FUSED = {"contract"}  # a product and a sum at once, rounded once


@nb.njit(cache=True, nogil=True, inline="always")
def _whole(value):  # type: ignore[no-untyped-def]
    """Rounded down, from 0 to 255."""
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
    """`factor` of a value, and `rest`, which is the other one's share."""
    return _whole(value * factor + rest)


@nb.njit(cache=True, nogil=True, inline="always")
def _turned(red, green, blue, sextants):  # type: ignore[no-untyped-def]
    """A colour whose hue is turned: the greatest and the least channel keep their values.

    Hues are kept times chroma, so that nothing is divided, which takes long, and grey needs no care. `sextants` are
    from 1 to 7, so that hues are from 0 to 12.
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
        _part(least - chroma + abs(hue - _THREE * chroma), least, greatest),
        _part(top - abs(hue - twice), least, greatest),
        _part(top - abs(hue - (twice + twice)), least, greatest),
    )


@nb.njit(cache=True, nogil=True, inline="always")
def _part(value, least, greatest):  # type: ignore[no-untyped-def]
    return np.floor(min(max(value, least), greatest) * _TO_BYTES)


@nb.njit(cache=True, nogil=True, inline="always")
def _tinted(red, green, blue, saturation, dullness, sextants):  # type: ignore[no-untyped-def]
    """Saturation, then hue; `dullness` is what saturation lacks to 1."""
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
    """Change brightness, saturation, hue and contrast of `picture` [3, H, W] in this order, in place.

    `shift` is added to every channel; `saturation` and `contrast` are factors; `hue` is in turns, from -0.5 to 0.5.
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
    """Change brightness, contrast, saturation and hue of `picture` [3, H, W] in this order, in place.

    The numbers are those of `contrast_last`.
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
