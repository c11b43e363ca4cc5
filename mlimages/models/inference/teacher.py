"""A teacher: a classifier that gives the probability of each of its categories for an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor, nn

from mlimages.errors import ModelError
from mlimages.hierarchy import Hierarchy
from mlimages.models.data.preprocess import Preprocess, evaluation, normalised
from mlimages.models.networks.card import Preprocessing
from mlimages.models.networks.outputs import Outputs

#: From normalised images, float32 [B, 3, H, W], to probabilities, float [B, classes].
Probabilities = Callable[[Tensor], Any]

Activation = Literal["sigmoid", "softmax"]
Crop = Literal["classifier", "central"]
ACTIVATIONS, CROPS = ("sigmoid", "softmax"), ("classifier", "central")


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Teacher:
    """A model, its K output categories, and the preprocessing of its input.

    Make one with :meth:`from_network`, :meth:`from_function` or :func:`mlimages.models.load_teacher`.

    Parameters
    ----------
    probabilities : callable
        From a float32 tensor [B, 3, H, W] to probabilities, array or tensor [B, classes].
    hierarchy : Hierarchy
        The categories.
    kept : Outputs
        The category of each class.
    classes : int
        Number of columns of `probabilities`.
    disjoint : bool
        Whether classes exclude each other, as those of a softmax do. Where several classes are one category, its
        probability is then their sum, otherwise their maximum.
    preprocessing : Preprocessing
        Size, mean, standard deviation and interpolation.
    crop : {"classifier", "central"}
        See :func:`mlimages.models.data.preprocess.evaluation`.
    identity : mapping
        What identifies the teacher, as JSON values; the manifest of a table of predictions records it.
    """

    probabilities: Probabilities
    hierarchy: Hierarchy
    kept: Outputs
    classes: int
    disjoint: bool
    preprocessing: Preprocessing
    crop: Crop = "classifier"
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ModelError(f"crop is {self.crop!r}: expected one of {', '.join(CROPS)}")
        if self.preprocessing.size < 1:
            raise ModelError(f"size is {self.preprocessing.size}: expected at least 1")

    @classmethod
    def from_network(
        cls,
        network: nn.Module,
        hierarchy: Hierarchy,
        *,
        classes: Sequence[str] | None = None,
        mapping: Mapping[str, int] | None = None,
        categories: Sequence[str] | None = None,
        activation: Activation | None = None,
        preprocessing: Preprocessing | None = None,
        crop: Crop = "classifier",
        name: str | None = None,
    ) -> Teacher:
        """Make a teacher of a network that gives logits, such as one of :func:`mlimages.models.load_model`.

        Parameters
        ----------
        network : torch.nn.Module
            From float32 [B, 3, H, W] to logits [B, classes]; put into evaluation mode.
        hierarchy : Hierarchy
        classes : sequence of str, optional
            The key of each output; by default those of the network's card.
        mapping : mapping of str to int, optional
            The category of each class; by default the one with the same key.
        categories : sequence of str, optional
            Keys of the categories to keep; by default all that are outputs.
        activation : {"sigmoid", "softmax"}, optional
            From logits to probabilities; by default that of the network's card, else sigmoid.
        preprocessing : Preprocessing, optional
            By default that of the network's card.
        crop : {"classifier", "central"}
        name : str, optional
            By default that of the card.

        Raises
        ------
        ModelError
            Where the classes are unknown, not as many as outputs, or no categories.
        """
        card: Any = getattr(network, "card", None)
        activation = activation or getattr(card, "activation", "sigmoid")
        if activation not in ACTIVATIONS:
            raise ModelError(f"activation is {activation!r}: expected one of {', '.join(ACTIVATIONS)}")
        classes = classes if classes is not None else getattr(card, "categories", ())
        preprocessing = preprocessing if preprocessing is not None else getattr(card, "preprocessing", None)
        if not classes:
            raise ModelError("the network does not say what its outputs are: give a class file, one key an output")
        if preprocessing is None:
            raise ModelError("the network does not say how its pictures are prepared: give a preprocessing")
        if card is not None and card.num_classes != len(classes):
            raise ModelError(f"{card.name} has {card.num_classes} outputs and {len(classes)} classes are given")
        network = network.eval().requires_grad_(False)
        identity = {"model": name or getattr(card, "name", type(network).__name__), "activation": activation}
        return cls._of(
            NetworkProbabilities(network, activation),
            hierarchy,
            classes=classes,
            kept=Outputs.of(classes, hierarchy, mapping=mapping, kept=categories),
            disjoint=activation == "softmax",
            preprocessing=preprocessing,
            crop=crop,
            identity=identity | {"weights_xxh3_128": weights_hash(network)},
        )

    @classmethod
    def from_function(
        cls,
        function: Callable[[NDArray[np.float32]], Any],
        hierarchy: Hierarchy,
        *,
        classes: Sequence[str],
        mapping: Mapping[str, int] | None = None,
        categories: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        crop: Crop = "classifier",
        disjoint: bool = False,
        name: str | None = None,
    ) -> Teacher:
        """Make a teacher of any callable from a batch of images to probabilities, such as an ONNX session.

        Parameters
        ----------
        function : callable
            From float32 [B, 3, H, W], RGB, normalised by `preprocessing`, to probabilities [B, classes].
        hierarchy, classes, mapping, categories, crop
            See :meth:`from_network`.
        preprocessing : Preprocessing, optional
            By default 224 pixels, in [-1, 1].
        disjoint : bool
            Whether the classes exclude each other; see :class:`Teacher`.
        name : str, optional
            The name in the manifest of a table of predictions; a resumed job must have the same.

        Examples
        --------
        >>> h = Hierarchy(["dog", "cat"], [[], []])
        >>> teacher = Teacher.from_function(lambda x: np.full((len(x), 2), 0.5), h, classes=["cat", "dog"])
        >>> [h.keys[i] for i in teacher.outputs]
        ['dog', 'cat']
        """
        return cls._of(
            partial(_on_arrays, function),
            hierarchy,
            classes=classes,
            kept=Outputs.of(classes, hierarchy, mapping=mapping, kept=categories),
            disjoint=disjoint,
            preprocessing=preprocessing or Preprocessing(),
            crop=crop,
            identity={"model": name or getattr(function, "__qualname__", type(function).__name__)},
        )

    @classmethod
    def _of(
        cls, probabilities: Probabilities, hierarchy: Hierarchy, *, classes: Sequence[str], identity: dict[str, Any],
        **others: Any,
    ) -> Teacher:  # fmt: skip
        hashed = xxhash.xxh3_128("\n".join(classes).encode()).hexdigest()
        return cls(
            probabilities=probabilities,
            hierarchy=hierarchy,
            classes=len(classes),
            identity=identity | {"classes": len(classes), "classes_xxh3_128": hashed},
            **others,
        )

    @property
    def outputs(self) -> NDArray[np.int32]:
        """The K categories, int32 indices into the hierarchy."""
        return self.kept.categories

    @property
    def preprocess(self) -> Preprocess:
        """From an RGB image to uint8 [3, size, size], of which batches are stacked."""
        return evaluation(self.preprocessing, crop=self.crop)

    def named(self, **more: Any) -> Teacher:
        """A copy with more entries in its identity."""
        return replace(self, identity={**self.identity, **more})

    def on(self, device: torch.device | str) -> Teacher:
        """Move the network, where there is one, to a device; return this teacher."""
        if isinstance(self.probabilities, NetworkProbabilities):
            self.probabilities.to(device)
        return self

    def __call__(self, pictures: Tensor) -> NDArray[np.float32]:
        """Probabilities of the K categories, float32 [B, K].

        Parameters
        ----------
        pictures : uint8 tensor [B, 3, H, W]
            A stack of results of :attr:`preprocess`.

        Raises
        ------
        ModelError
            Where the model gives an array of another shape, or values outside [0, 1].
        """
        if isinstance(self.probabilities, NetworkProbabilities):
            pictures = pictures.to(self.probabilities.device, non_blocking=True)
        found = self.probabilities(normalised(pictures, self.preprocessing))
        scores = found.float().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found, np.float32)
        if scores.shape != (len(pictures), self.classes):
            raise ModelError(
                f"{self.identity['model']} gave an array of shape {list(scores.shape)} for {len(pictures)} pictures, "
                f"expected {[len(pictures), self.classes]}: a column a class"
            )
        if not ((scores >= 0) & (scores <= 1.001)).all():
            wrong = scores[~((scores >= 0) & (scores <= 1.001))][0]
            raise ModelError(f"{self.identity['model']} gave {wrong:g}, expected probabilities, 0 to 1")
        return _merged(scores.clip(max=1), self.kept, disjoint=self.disjoint)


class NetworkProbabilities:
    """A torch network from images to logits, and its activation, in inference mode."""

    def __init__(self, network: nn.Module, activation: Activation) -> None:
        self.network, self.activation = network, activation
        self.device = torch.device("cpu")

    def to(self, device: torch.device | str) -> None:
        """Move the network. Weights are copied: the alignment of memory-mapped ones would change the last bit."""
        self.device = torch.device(device)
        self.network.load_state_dict(
            {name: each.clone() for name, each in self.network.state_dict().items()}, assign=True
        )
        self.network.requires_grad_(False).to(self.device)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Probabilities [B, classes], on the device of the network."""
        with torch.inference_mode():
            logits = self.network(pictures)
            return torch.sigmoid(logits) if self.activation == "sigmoid" else torch.softmax(logits, dim=1)


def _on_arrays(function: Callable[[NDArray[np.float32]], Any], pictures: Tensor) -> Any:
    return function(pictures.cpu().numpy())


def weights_hash(network: nn.Module) -> str:
    """The xxh3-128 hash over the names and bytes of a network's tensors, in order, in hexadecimal."""
    digest = xxhash.xxh3_128()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _merged(scores: NDArray[np.float32], kept: Outputs, *, disjoint: bool) -> NDArray[np.float32]:
    """Scores of categories, float32 [B, K], from scores of classes, float32 [B, C]."""
    chosen = scores[:, kept.classes]
    if len(kept.columns) == len(kept.categories):
        result = np.empty_like(chosen)
        result[:, kept.columns] = chosen
        return result
    merged = np.zeros((len(scores), len(kept.categories)), np.float32)
    merge = np.add if disjoint else np.maximum
    merge.at(merged.T, kept.columns, chosen.T)
    return merged.clip(max=1)
