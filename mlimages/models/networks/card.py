"""The metadata of a network: its name and shape, and the meaning of its input and outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mlimages.errors import ModelError

_FORMAT = "mlimages-model"
_VERSION = "1"
ACTIVATIONS = ("sigmoid", "softmax")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """From pixels to input: RGB in [0, 1] at `size`, minus `mean`, divided by `std`.

    Attributes
    ----------
    size : int
        Height and width in pixels that the network was made for; the published ones take any.
    mean, std : tuple of float
        One per channel, red first. 0.5 and 0.5 map [0, 1] to the [-1, 1] of the published networks.
    interpolation : str
        How images are resized: ``bilinear`` or ``bicubic``.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """The shape of a published network.

    Attributes
    ----------
    blocks : tuple of int
        Number of blocks of each stage.
    widths : tuple of int
        Output channels of each stage, multiples of 4; the last is the number of features.
    stem : int
        Channels of the first convolution.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    stem: int = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """Everything that is known of a network besides its weights.

    Attributes
    ----------
    name : str
        Its name for :func:`mlimages.models.build_model`.
    num_classes : int
        Number of outputs.
    preprocessing : Preprocessing
    architecture : Architecture or None
        For published networks only.
    categories : tuple of str
        The key of each output; empty where they are not known.
    fingerprint : str or None
        Fingerprint of the hierarchy of these categories.
    activation : {"sigmoid", "softmax"}
        From outputs to probabilities: of each category by itself, or of exactly one among all.

    Raises
    ------
    ModelError
        For another number of categories than outputs, or another activation.
    """

    name: str
    num_classes: int
    preprocessing: Preprocessing
    architecture: Architecture | None = None
    categories: tuple[str, ...] = ()
    fingerprint: str | None = None
    activation: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ModelError(f"activation is {self.activation!r}: expected {' or '.join(ACTIVATIONS)}")
        if self.categories and len(self.categories) != self.num_classes:
            raise ModelError(
                f"{self.name} has {self.num_classes} outputs and {len(self.categories)} categories are given: "
                "give the hierarchy that it was trained with"
            )

    def to_metadata(self) -> dict[str, str]:
        """The card as strings by name, the form of metadata in safetensors; :meth:`from_metadata` reads it."""
        return {
            "format": _FORMAT,
            "format_version": _VERSION,
            "model": self.name,
            "num_classes": str(self.num_classes),
            "preprocessing": json.dumps(asdict(self.preprocessing)),
            "architecture": json.dumps(asdict(self.architecture) if self.architecture else None),
            "categories": json.dumps(self.categories),
            "hierarchy_fingerprint": self.fingerprint or "",
            "activation": self.activation,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelCard:
        """Read what :meth:`to_metadata` wrote.

        Raises
        ------
        ModelError
            For metadata of another format, and for a missing field or one out of its range.
        """
        if metadata.get("format") != _FORMAT or metadata.get("format_version") != _VERSION:
            raise ModelError(
                f"the metadata have format {metadata.get('format')!r} version {metadata.get('format_version')!r}; "
                f"expected {_FORMAT!r} version {_VERSION!r}, as mlimages writes it"
            )
        try:
            architecture = json.loads(metadata["architecture"])
            return cls(
                name=metadata["model"],
                num_classes=_positive(int(metadata["num_classes"])),
                preprocessing=_read_preprocessing(json.loads(metadata["preprocessing"])),
                architecture=_read_architecture(architecture) if architecture is not None else None,
                categories=tuple(str(key) for key in json.loads(metadata["categories"])),
                fingerprint=metadata["hierarchy_fingerprint"] or None,
                activation=metadata["activation"],
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"the metadata cannot be used: {type(error).__name__}: {error}") from error


def _read_preprocessing(values: Any) -> Preprocessing:
    _check_names(Preprocessing, values)
    mean, std = (tuple(float(each) for each in values[name]) for name in ("mean", "std"))
    if len(mean) != 3 or len(std) != 3 or 0.0 in std:
        raise ValueError(f"mean {mean} and std {std}: expected three numbers each, no std of 0")
    return Preprocessing(size=_positive(values["size"]), mean=mean, std=std, interpolation=str(values["interpolation"]))


def _read_architecture(values: Any) -> Architecture:
    _check_names(Architecture, values)
    blocks, widths = (tuple(_positive(each) for each in values[name]) for name in ("blocks", "widths"))
    if len(blocks) != len(widths) or not blocks or any(width % 4 for width in widths):
        raise ValueError(f"blocks {blocks} and widths {widths}: expected as many of each, widths multiples of 4")
    return Architecture(blocks=blocks, widths=widths, stem=_positive(values["stem"]))


def _check_names(kind: type[Preprocessing] | type[Architecture], values: Any) -> None:
    names = {field.name for field in fields(kind)}
    if not isinstance(values, dict) or set(values) != names:
        raise ValueError(f"{kind.__name__} has {values!r:.80}: expected {sorted(names)}")


def _positive(value: Any) -> int:
    if not isinstance(value, int) or value < 1 or value > 1 << 20:
        raise ValueError(f"{value!r:.40} is not a whole number from 1 to {1 << 20}")
    return value
