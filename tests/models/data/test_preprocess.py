"""Pictures made ready: crops for evaluation, the crop, fates and jitter of the published training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from mlimages.errors import ModelError
from mlimages.models import Preprocessing
from mlimages.models.data.preprocess import Preprocess, RandomCrop, evaluation, normalised, training

SMALL = Preprocessing(size=16)


def picture(width=100, height=50):
    """Red grows to the right, green downwards."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return Image.fromarray(np.stack([red, green, np.zeros((height, width))], axis=2).astype(np.uint8))


def test_central_evaluation_takes_the_middle_eight_tenths():
    found = evaluation(Preprocessing(size=40))(picture()).float()
    assert found.shape == (3, 40, 40)
    assert found[0, 20, 0].item() == pytest.approx(0.1 * 255, abs=4)
    assert found[0, 20, -1].item() == pytest.approx(0.9 * 255, abs=4)
    assert found[1, 0, 20].item() == pytest.approx(0.1 * 255, abs=6)


@pytest.mark.parametrize(("size", "shorter"), [(224, 256), (299, 342)])
def test_classifier_evaluation_resizes_the_shorter_side_and_takes_the_square(size, shorter):
    found = evaluation(Preprocessing(size=size), crop="classifier")(picture(400, 200)).float()
    assert found.shape == (3, size, size)
    edge = (2 * shorter - size) / 2 / (2 * shorter) * 255
    assert found[0, 100, 0].item() == pytest.approx(edge, abs=3)
    assert found[1, 0, 100].item() == pytest.approx((shorter - size) / 2 / shorter * 255, abs=3)


def test_unknown_crop_is_refused():
    with pytest.raises(ModelError, match="crop is 'corner': expected central or classifier"):
        evaluation(SMALL, crop="corner")


def test_training_meets_its_three_fates():
    prepare = training(Preprocessing(size=32))
    plain = Image.new("RGB", (64, 64), (200, 100, 50))
    torch.manual_seed(0)
    turned = jittered = left = 0
    for _ in range(300):
        found = prepare(plain)
        assert found.shape == (3, 32, 32)
        if (found != found[:, :1, :1]).any():  # only turning brings in black corners
            turned += 1
        elif found[:, 0, 0].tolist() != [200, 100, 50]:
            jittered += 1
        else:
            left += 1
    assert [turned, jittered, left] == [pytest.approx(100, abs=25)] * 3


def test_jitter_shifts_brightness_by_at_most_32():
    prepare = training(Preprocessing(size=1))
    grey = torch.full((3, 1, 1), 100, dtype=torch.uint8)  # has no hue, and is its own mean
    torch.manual_seed(0)
    found = {int(prepare(grey)[0, 0, 0]) for _ in range(600)}
    assert min(found) in range(66, 73)  # where grey rounds down, a step takes one off
    assert max(found) in range(127, 133)


def test_training_crop_keeps_seven_tenths_of_the_area():
    prepare, ramp = training(Preprocessing(size=64)), picture(64, 64)
    spans = []
    for seed in range(120):
        torch.manual_seed(seed)
        found = prepare(ramp).float()
        if found[2].max() == 0 and found[:, 0].sum() > 0:  # not jittered nor turned
            spans.append((found[0].max() - found[0].min()) * (found[1].max() - found[1].min()) / 255**2)
    assert min(spans) > 0.6
    assert min(spans) < 0.8


def test_normalised_pictures_are_what_the_published_network_takes():
    found = normalised(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2), SMALL)
    assert found.tolist() == [[[[-1.0, 1.0]]] * 3]


def test_least_side_lets_no_crop_be_enlarged():
    assert training(SMALL, least_area=0.75).least_side == 22  # 16 / sqrt(0.75 * 0.75)
    assert evaluation(SMALL).least_side == 20
    assert evaluation(SMALL, crop="classifier").least_side == 18


def test_training_repeats_its_draws_and_leaves_what_it_is_given():
    given = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8))
    kept, prepare = given.clone(), training(Preprocessing(size=32), least_area=1.0)  # nothing to resize
    first = []
    for _ in range(2):
        torch.manual_seed(7)
        first.append(torch.stack([prepare(given) for _ in range(40)]))
        assert torch.equal(given, kept)
    assert torch.equal(*first)
    assert len({each.numpy().tobytes() for each in first[0]}) > 20


@pytest.mark.parametrize(("height", "width"), [(100, 100), (300, 400), (40, 400), (400, 40), (1, 1)])
def test_windows_of_random_crops_keep_area_and_aspect(height, width):
    crop = RandomCrop(16, InterpolationMode.BILINEAR, 0.7)
    random = np.random.default_rng(0)
    for _ in range(200):
        top, left, high, wide = crop.window(height, width, random.random(40).tolist())
        assert 0 <= top <= height - high
        assert 0 <= left <= width - wide
        if 0.75 <= width / height <= 1.33:
            assert high * wide >= 0.69 * height * width
        if min(height, width) > 1:
            assert 0.72 <= wide / high <= 1.37  # whole pixels of a side of 40


def test_window_spreads_over_the_whole_picture():
    crop = RandomCrop(16, InterpolationMode.BILINEAR, 0.25)
    random = np.random.default_rng(0)
    found = np.array([crop.window(100, 100, random.random(40).tolist()) for _ in range(2000)])
    assert found[:, :2].min() == 0
    assert (found[:, 0] + found[:, 2]).max() == (found[:, 1] + found[:, 3]).max() == 100
    aspect = np.log(found[:, 3] / found[:, 2])
    assert abs(aspect.mean()) < 0.02
    assert aspect.std() == pytest.approx((np.log(1.33) - np.log(0.75)) / 12**0.5, rel=0.1)


def test_half_of_the_crops_are_flipped():
    prepare = Preprocess(RandomCrop(32, InterpolationMode.BILINEAR, 0.7), size=32, least_side=32)
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).expand(3, 32, 32)
    torch.manual_seed(0)
    flipped = sum(int(found[0, 0, 0] > found[0, 0, -1]) for found in (prepare(ramp) for _ in range(400)))
    assert flipped == pytest.approx(200, abs=40)
