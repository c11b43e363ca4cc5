"""Networks by name: the published ones, and those of timm with the same two methods."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from mlimages.errors import ModelError, first_line, import_extra
from mlimages.models.networks.card import ModelCard, Preprocessing
from mlimages.models.networks.resnet import PUBLISHED, PublishedResNet


class TimmModel(nn.Module):
    """A timm network with the methods of the published ones: `forward` to logits, `forward_features` to features.

    Parameters
    ----------
    name : str
        A model name of timm.
    num_classes : int
    pretrained : bool, optional
        Whether to start from weights that timm publishes, which it downloads; the classifier is new.
    """

    def __init__(self, name: str, *, num_classes: int, pretrained: bool = False) -> None:
        super().__init__()
        timm = import_extra("timm", extra="train")
        try:
            self.backbone: Any = timm.create_model(name, pretrained=pretrained, num_classes=num_classes)
        except (RuntimeError, OSError) as error:  # weights of another tag, or that cannot be fetched
            what = "fetch the published weights of" if pretrained else "build"
            raise ModelError(f"timm cannot {what} {name}: {first_line(error)}") from error
        config = timm.data.resolve_model_data_config(self.backbone)
        self.card = ModelCard(
            name=name,
            num_classes=num_classes,
            preprocessing=Preprocessing(
                size=config["input_size"][-1],
                mean=tuple(config["mean"]),
                std=tuple(config["std"]),
                interpolation=config["interpolation"],
            ),
        )
        self.num_features: int = self.backbone.head_hidden_size

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of images float32 [B, 3, H, W], normalised by `card.preprocessing`."""
        logits: Tensor = self.backbone(x)
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Features [B, num_features], the input of the last layer, of images float32 [B, 3, H, W]."""
        features: Tensor = self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)
        return features


Network = PublishedResNet | TimmModel


def build_model(name: str, *, num_classes: int, pretrained: bool = False) -> Network:
    """Build a network with new weights.

    Parameters
    ----------
    name : str
        ``resnet50-mlimages``, ``resnet101-mlimages``, ``resnet152-mlimages``, or a model name of timm.
    num_classes : int
        Number of outputs.
    pretrained : bool, optional
        For timm's: whether to start from weights that timm publishes, which it downloads; the classifier is new. Use
        :func:`mlimages.models.load_model` for published networks with their weights.

    Returns
    -------
    torch.nn.Module
        ``forward(x)`` gives logits [B, num_classes], ``forward_features(x)`` the pooled features [B, `num_features`];
        `card` describes the preprocessing of the input.

    Raises
    ------
    ModelError
        For an unknown name, no classes, and pretrained weights of a published network or that cannot be downloaded.

    Examples
    --------
    >>> model = build_model("resnet50-mlimages", num_classes=10)
    >>> model.num_features, model.card.preprocessing.mean
    (2048, (0.5, 0.5, 0.5))
    """
    if num_classes < 1:
        raise ModelError(f"num_classes is {num_classes}: expected at least 1")
    if name in PUBLISHED:
        if pretrained:
            raise ModelError(
                f"{name} has no weights that can be fetched by name: convert the published checkpoint with "
                "mlimages checkpoint convert, and load the result with load_model"
            )
        card = ModelCard(
            name=name, num_classes=num_classes, preprocessing=Preprocessing(), architecture=PUBLISHED[name]
        )
        return PublishedResNet(card)
    timm = import_extra("timm", extra="train")
    if "/" in name or not timm.is_model(name):  # "hf-hub:user/name" would run a configuration off the network
        known = [*PUBLISHED, *timm.list_models()]
        near = difflib.get_close_matches(name, known, n=3) or list(PUBLISHED)
        raise ModelError(f"unknown model {name!r}: neither published nor timm's; near are {', '.join(near)}")
    return TimmModel(name, num_classes=num_classes, pretrained=pretrained)


def check_size(model: Network, size: int) -> None:
    """Raise a ModelError unless a network takes images of `size` by `size` pixels; the published ones take any."""
    if isinstance(model, PublishedResNet):
        return
    trained = model.training
    place = next(model.parameters()).device
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros((1, 3, size, size), device=place))
    except (RuntimeError, AssertionError, ValueError) as error:  # depends on the family of timm
        raise ModelError(
            f"{model.card.name} does not take pictures of {size} pixels ({first_line(error)}): it was made for "
            f"{model.card.preprocessing.size}"
        ) from error
    finally:
        model.train(trained)


def last_layer(model: Network) -> tuple[str, ...]:
    """Prefixes of the names of the weights of the classifier."""
    if isinstance(model, PublishedResNet):
        return ("logits.",)
    heads = model.backbone.default_cfg["classifier"]
    return tuple(f"backbone.{head}." for head in ([heads] if isinstance(heads, str) else heads))


def build_from_card(card: ModelCard) -> Network:
    """A network with uninitialised weights, for loading into.

    Loading copies into this memory instead of using that of a memory-mapped file, whose alignment would change results
    in the last bit.
    """
    if card.architecture is not None:
        with torch.device("meta"):
            published = PublishedResNet(card)
        return published.to_empty(device="cpu")
    model = build_model(card.name, num_classes=card.num_classes)
    model.card = card
    return model
