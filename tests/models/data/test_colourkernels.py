"""Compiled changes of pictures against torchvision's on tensors, step by step and all together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F  # noqa: N812, torchvision's own way

from mlimages.models.data.colourkernels import contrast_last, contrast_second
from mlimages.models.data.pixels import pixels_of_tensor
from mlimages.models.data.turnkernels import turn

RANDOM = np.random.default_rng(0)


def flat(*colour):
    return np.tile(np.array(colour, np.uint8)[:, None, None], (1, 5, 7))


PICTURES = {
    "noise": RANDOM.integers(0, 256, (3, 60, 83), dtype=np.uint8),
    "dull": RANDOM.integers(120, 136, (3, 40, 40), dtype=np.uint8),
    "grey": np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), 3, axis=0),
    "pure colours": RANDOM.choice(np.array([0, 255], np.uint8), (3, 20, 30)),
    "black": flat(0, 0, 0),
    "white": flat(255, 255, 255),
    "red": flat(255, 0, 0),
    "one pixel": np.array([12, 200, 77], np.uint8).reshape(3, 1, 1),
    "one row": RANDOM.integers(0, 256, (3, 1, 300), dtype=np.uint8),
}
CHANGES = [  # shift, saturation, hue, contrast
    (0, 1.0, 0.0, 1.0),
    (-32, 0.5, -0.2, 0.5),
    (32, 1.5, 0.2, 1.5),
    (7, 1.32, -0.079, 1.38),
    (-3, 0.77, 0.5, 1.11),
    (255, 0.0, -0.5, 0.0),
]


def pixels(picture):
    return pixels_of_tensor(torch.from_numpy(picture))


def brighter(picture, shift):
    return (picture.to(torch.int16) + shift).clamp(0, 255).to(torch.uint8)


def theirs_last(picture, shift, saturation, hue, contrast):
    tinted = F.adjust_hue(F.adjust_saturation(brighter(picture, shift), saturation), hue)
    return F.adjust_contrast(tinted, contrast)


def theirs_second(picture, shift, contrast, saturation, hue):
    sharper = F.adjust_contrast(brighter(picture, shift), contrast)
    return F.adjust_hue(F.adjust_saturation(sharper, saturation), hue)


def apart(ours, theirs, picture, *change):
    changed = picture.copy()
    ours(changed, *change)
    expected = theirs(torch.from_numpy(picture), *change).numpy()
    return np.abs(changed.astype(int) - expected.astype(int))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PICTURES)
def test_jitter_is_torchvisions_in_both_orders(name, change):
    shift, saturation, hue, contrast = change
    for found in (
        apart(contrast_last, theirs_last, PICTURES[name], shift, saturation, hue, contrast),
        apart(contrast_second, theirs_second, PICTURES[name], shift, contrast, saturation, hue),
    ):
        # where a step rounds otherwise by one, the steps after it make more of that
        assert found.max() <= 3
        assert (found > 1).mean() < 0.01


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("step", range(4))
def test_each_step_alone_is_torchvisions_to_within_one(name, step):
    for sign in (-1, 1):
        change = [0, 1.0, 0.0, 1.0]
        change[step] = (31 * sign, 1 + 0.45 * sign, 0.17 * sign, 1 - 0.45 * sign)[step]
        shift, saturation, hue, contrast = change
        last = apart(contrast_last, theirs_last, PICTURES[name], shift, saturation, hue, contrast)
        second = apart(contrast_second, theirs_second, PICTURES[name], shift, contrast, saturation, hue)
        assert max(last.max(), second.max()) <= 1
        assert max(last.mean(), second.mean()) < 0.01


def test_nothing_to_change_leaves_a_picture_as_it_is():
    for kernel in (contrast_last, contrast_second):
        for picture in PICTURES.values():
            changed = picture.copy()
            kernel(changed, 0, *((1.0, 0.0, 1.0) if kernel is contrast_last else (1.0, 1.0, 0.0)))
            assert np.array_equal(changed, picture)


def test_brightness_is_added_and_does_not_wrap_round():
    changed = np.array([[[250, 100, 3]]] * 3, np.uint8)
    contrast_last(changed, 32, 1.0, 0.0, 1.0)
    assert changed[0].tolist() == [[255, 132, 35]]
    contrast_second(changed, -40, 1.0, 1.0, 0.0)
    assert changed[0].tolist() == [[215, 92, 0]]


@pytest.mark.parametrize(("hue", "expected"), [(1 / 3, (0, 255, 0)), (-1 / 3, (0, 0, 255)), (1 / 6, (255, 255, 0))])
def test_hue_turns_red_into_other_colours(hue, expected):
    changed = flat(255, 0, 0)
    contrast_last(changed, 0, 1.0, hue, 1.0)
    assert np.abs(changed.astype(int) - flat(*expected).astype(int)).max() <= 1


def test_empty_picture_stays_empty():
    for kernel in (contrast_last, contrast_second):
        kernel(np.empty((3, 0, 4), np.uint8), 1, 1.0, 0.0, 1.0)


@pytest.mark.parametrize("angle", [-45.0, -13.7, 0.0, 8.25, 45.0])
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 31, 50), (3, 7, 1), (3, 1, 1)])
def test_turning_is_torchvisions_but_for_pixels_between_two(shape, angle):
    picture = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    turned = np.full_like(picture, 77)
    turn(pixels(picture), np.deg2rad(angle), turned)
    expected = F.rotate(torch.from_numpy(picture), angle, interpolation=F.InterpolationMode.NEAREST).numpy()
    assert (turned != expected).any(axis=0).mean() <= 0.02


@given(st.integers(1, 40), st.integers(1, 40), st.floats(-np.pi, np.pi))
@settings(deadline=None)
def test_turning_is_that_of_a_reference_pixel_for_pixel(height, width, angle):
    picture = np.random.default_rng(height).integers(1, 256, (3, height, width), dtype=np.uint8)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    down = (np.arange(height) - 0.5 * (height - 1)).astype(np.float32)[:, None]
    right = (np.arange(width) - 0.5 * (width - 1)).astype(np.float32)
    x = (np.float32(0.5 * width) - sine * down) + cosine * right
    y = (np.float32(0.5 * height) + cosine * down) + sine * right
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    expected = np.where(inside, picture[:, y.astype(int) * inside, x.astype(int) * inside], 0)
    turned = np.full_like(picture, 77)
    turn(pixels(picture), angle, turned)
    assert np.array_equal(turned, expected)


def test_quarter_turn_is_anticlockwise():
    turned = np.empty((3, 2, 2), np.uint8)
    turn(pixels(np.array([[[1, 2], [3, 4]]] * 3, np.uint8)), np.pi / 2, turned)
    assert turned.tolist() == [[[2, 4], [1, 3]]] * 3


def test_turning_brings_in_black_corners():
    turned = np.empty((3, 9, 9), np.uint8)
    turn(pixels(np.full((3, 9, 9), 200, np.uint8)), np.pi / 4, turned)
    assert turned[:, [0, 0, 8, 8], [0, 8, 0, 8]].max() == 0
    assert turned[:, 4, :].min() == 200
