"""Settings of a fine-tuning run on one class per image, as the published network was fine-tuned on ImageNet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlimages.errors import ModelError
from mlimages.models.networks.checkpoint import load_card
from mlimages.models.networks.outputs import IMAGENET
from mlimages.models.networks.resnet import PUBLISHED
from mlimages.models.training.config import TrainConfig

# the released script's: 0.1 for batches of 256, times 0.1 every 150,000 steps, which are 30 epochs of ImageNet, 600,000
# steps in all; crops from 0.05 of the image; the first convolution and two stages fixed; a tenth of the decay on
# batch norms
_RATE, _RATE_BATCH = 0.1, 256
_EPOCHS = 120
_RECIPE: dict[str, Any] = {
    "categories": IMAGENET,
    "loss": "softmax",
    "schedule": "staircase",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "norm_decay": 1e-5,
    "least_area": 0.05,
    "size": 224,
    "late_size": 299,
}
_PUBLISHED_FREEZE = 2


def finetuning(values: Mapping[str, Any]) -> TrainConfig:
    """The settings of a fine-tuning run: the published recipe, overridden by `values`.

    The recipe: ImageNet's 1,000 classes, a softmax, a rate that falls to a tenth after each quarter of the epochs, and
    images of 224 pixels in the first three quarters and 299 in the last. The publication says that early epochs used
    224 pixels and late ones 299, but not where it changed; the last drop of the rate is our choice.

    Parameters
    ----------
    values : mapping
        Fields of :class:`TrainConfig`; `start` is required, or `pretrained` with a `model`. The default learning rate
        is proportional to the images of a step.

    Raises
    ------
    ModelError
        Without a model to start from, or for a value that :class:`TrainConfig` refuses.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if not given.get("start") and not given.get("pretrained"):
        raise ModelError(
            "fine-tuning begins with a trained model: give --start, or --set pretrained=true --set model=NAME"
        )
    TrainConfig.of(_RECIPE | given)  # checks the types of values that are used below
    if given.get("start"):
        given.setdefault("model", load_card(given["start"]).name)
    defaults = TrainConfig.of(_RECIPE | {"epochs": _EPOCHS} | given)
    images = defaults.batch * defaults.accumulate * int(os.environ.get("WORLD_SIZE", "1"))
    computed = {
        "epochs": defaults.epochs,
        "learning_rate": None if defaults.schedule == "published" else _RATE * images / _RATE_BATCH,
        "decay_every": defaults.epochs / 4,
        "late_epoch": -(-3 * defaults.epochs // 4),
        "freeze": _PUBLISHED_FREEZE if defaults.model in PUBLISHED else 0,
    }
    return TrainConfig.of(_RECIPE | computed | given)
