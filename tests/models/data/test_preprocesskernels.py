"""Compiled crops, rotations and colour changes against torchvision's on tensors, step by step and all together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as F  # noqa: N812, torchvision's own way

from mlimages.models.data.pixels import pixels_of_picture, pixels_of_tensor, tensor_of_pixels
from mlimages.models.data.preprocess import resized
from mlimages.models.data.preprocesskernels import contrast_last, contrast_second, planes, resized_crop, turn


def noise(height, width, *, values=256, seed=0):
    steps = np.random.default_rng(seed).integers(0, values, (3, height, width))
    return torch.from_numpy((steps * (255 // (values - 1))).astype(np.uint8))


def cropped(picture, top, left, high, wide, flip, shape):
    out = np.full(shape, 0x12345678, np.uint32)
    resized_crop(pixels_of_tensor(picture), top, left, high, wide, flip, out)
    return tensor_of_pixels(out)


def shares(length, size):
    """What share each of `length` pixels has in each of `size`, a triangle about its middle: float64 [size, length]."""
    scale = length / size
    middles = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - middles) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)


@st.composite
def windows(draw):
    """Height and width of a picture, and a window of it."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    high, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
    return height, width, draw(st.integers(0, height - high)), draw(st.integers(0, width - wide)), high, wide


@given(windows(), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from([2, 4, 256]), st.booleans())
@settings(deadline=None)
def test_crops_are_torchvisions_to_within_rounding(window, shape, values, flip):
    height, width, *place = window
    picture = noise(height, width, values=values, seed=height * width)
    top, left, high, wide = place
    window = picture[:, top : top + high, left : left + wide].double().numpy()
    exact = torch.from_numpy(shares(high, shape[0]) @ window @ shares(wide, shape[1]).T)
    exact = exact.flip(2) if flip else exact
    found = cropped(picture, *place, flip, shape)
    # a half for each of two roundings, torchvision's as ours; theirs goes across first, and so they may differ by two
    assert (found - exact).abs().max() <= 1.001
    if min(high, wide, *shape) > 1:  # torch 2.14 is wrong, or fails, on some where a side is 1
        theirs = F.resized_crop(picture, *place, list(shape))
        apart = (found.int() - (F.hflip(theirs) if flip else theirs).int()).abs()
        assert apart.max() <= 2
        assert (apart > 1).float().mean() < 0.05


def test_crop_of_a_photograph_is_torchvisions_nearly_everywhere():
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    picture = F.pil_to_tensor(coarse.resize((500, 375), Image.Resampling.BICUBIC))
    for place in ((37, 50, 300, 400), (0, 0, 375, 500), (174, 300, 201, 200), (100, 100, 90, 80)):
        apart = cropped(picture, *place, False, (224, 224)).int() - F.resized_crop(picture, *place, [224, 224]).int()
        assert apart.abs().max() <= 1
        assert (apart != 0).float().mean() < 0.3
        assert abs(apart.float().mean()) < 0.02  # neither brighter nor darker


def test_window_that_is_not_resized_is_copied_as_it_is():
    picture = noise(20, 30)
    assert torch.equal(cropped(picture, 3, 5, 16, 25, False, (16, 25)), picture[:, 3:19, 5:30])
    assert torch.equal(cropped(picture, 3, 5, 16, 25, True, (16, 25)), picture[:, 3:19, 5:30].flip(2))


@pytest.mark.parametrize("value", [0, 1, 254, 255])
@pytest.mark.parametrize("side", [1, 3, 17, 400])
def test_flat_picture_stays_flat(value, side):
    picture = torch.full((3, side, side), value, dtype=torch.uint8)
    assert (cropped(picture, 0, 0, side, side, False, (23, 31)) == value).all()


def test_nothing_outside_the_window_shows():
    picture = torch.full((3, 60, 60), 255, dtype=torch.uint8)
    picture[:, 10:50, 20:40] = 7
    assert (cropped(picture, 10, 20, 40, 20, False, (33, 9)) == 7).all()


@pytest.mark.parametrize("interpolation", [F.InterpolationMode.BILINEAR, F.InterpolationMode.BICUBIC])
@pytest.mark.parametrize("flip", [False, True])
def test_other_interpolations_are_torchvisions_own(interpolation, flip):
    picture = noise(40, 50)
    square = resized(pixels_of_tensor(picture), (2, 3, 30, 40), size=16, interpolation=interpolation, flip=flip)
    found = tensor_of_pixels(square)
    expected = F.resized_crop(picture, 2, 3, 30, 40, [16, 16], interpolation=interpolation)
    apart = (found.int() - (F.hflip(expected) if flip else expected).int()).abs().max()
    assert apart <= (1 if interpolation is F.InterpolationMode.BILINEAR else 0)


# pixels ---------------------------------------------------------------------------------------------------------------


def test_tensor_is_a_view_of_its_pixels():
    pixels = np.array([[0x00030201, 0xFF060504]], np.uint32)
    picture = tensor_of_pixels(pixels)
    assert picture.tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]
    pixels[0, 0] = 0x00090807
    assert picture[:, 0, 0].tolist() == [7, 8, 9]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 6)])
def test_any_tensor_has_pixels(shape):
    planes_first = noise(*shape)
    channels_last = planes_first.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    part = torch.nn.functional.pad(planes_first, (2, 1, 1, 1))[:, 1:-1, 2:-1]
    for picture in (planes_first, channels_last, part):
        assert torch.equal(tensor_of_pixels(pixels_of_tensor(picture)), planes_first)


def test_planes_leave_out_the_fourth_byte():
    out = np.empty((3, 1, 2), np.uint8)
    planes(np.array([[0xAA030201, 0xBB060504]], np.uint32), out)
    assert out.tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_picture_of_pillow_is_the_tensor_that_torchvision_makes(mode):
    picture = Image.fromarray(noise(5, 6).permute(1, 2, 0).numpy()).convert(mode)
    assert torch.equal(tensor_of_pixels(pixels_of_picture(picture)), F.pil_to_tensor(picture.convert("RGB")))


# rotation and colour -------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("kernel", [contrast_last, contrast_second])
def test_empty_picture_divides_by_nothing_and_writes_nothing(kernel):
    memory = np.full(64, 7, np.uint8)
    kernel(memory[16:16].reshape(3, 0, 4), 1, 0.5, 0.1, 0.5)
    assert memory.tolist() == [7] * 64


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
