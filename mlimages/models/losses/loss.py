"""The published loss and common multi-label losses, all of which ignore unknown labels.

Everywhere `logits` are float [B, C], and `targets` float [B, C] in [0, 1], or -1 where it is unknown whether the image
has the category.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F  # noqa: N812, torch's own way
from torch import Tensor, nn

from mlimages.errors import ModelError, import_extra

_FLOORS = {"published": 0.001, "paper": 0.01}
_SEED_STRIDE = 0x9E3779B97F4A7C15  # the golden ratio in 64 bits, so that the seeds of two runs differ in all steps


class MLImagesLoss(nn.Module):
    """The weighted cross-entropy of the ML-Images release, which reduces the weight of classes in many steps in a row.

    Two counters per class hold for how many steps in a row it was present in the batch, and how often it was drawn
    since it was last present. Source: Wu et al. 2019, "Tencent ML-Images", https://arxiv.org/abs/1901.01703, section 4,
    and the released training code, whose constants these are.

    Parameters
    ----------
    num_classes : int
    neg_select : float, optional
        Probability that a class which is absent from the batch is trained in this step.
    positive_weight : float, optional
        Weight of positives relative to negatives in the cross-entropy.
    mask_thres : float, optional
        A class is present in the batch if any target reaches this.
    floor : {"published", "paper"}, optional
        The least coefficient of an absent class: 0.001 in the released code, 0.01 in the paper.
    seed : int, optional
        Seed of the draws, which depend on it and on the number of the step only: all ranks draw the same, and so does a
        resumed run.

    Attributes
    ----------
    positive_steps, negative_steps : float32 tensor [C], buffers
        The counters.
    step : int
        Steps taken in training mode; saved and restored with the buffers.

    Examples
    --------
    >>> loss = MLImagesLoss(2, neg_select=1.0)
    >>> round(loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item(), 3)
    8.314
    """

    positive_steps: Tensor
    negative_steps: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        neg_select: float = 0.1,
        positive_weight: float = 12.0,
        mask_thres: float = 0.7,
        floor: str = "published",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if floor not in _FLOORS:
            raise ModelError(f"floor is {floor!r}: expected one of {', '.join(_FLOORS)}")
        if not 0 <= neg_select <= 1:
            raise ModelError(f"neg_select is {neg_select}: expected a probability")
        self.num_classes = num_classes
        self.neg_select = neg_select
        self.positive_weight = positive_weight
        self.mask_thres = mask_thres
        self.floor = _FLOORS[floor]
        self.seed = seed
        self.step = 0
        self.register_buffer("positive_steps", torch.zeros(num_classes))
        self.register_buffer("negative_steps", torch.zeros(num_classes))

    def forward(self, logits: Tensor, targets: Tensor, drawn: Tensor | None = None) -> Tensor:
        """The loss, a scalar: the sum over classes of coefficient times mean over the batch.

        Unknown elements count as zero in the mean, but are counted by its divisor. In evaluation mode the counters do
        not change.

        Parameters
        ----------
        logits, targets : float tensors [B, C]
        drawn : bool tensor [C], optional
            The classes that are drawn in this step, instead of random ones.
        """
        check_shapes(logits, targets, self.num_classes)
        coefficients = self.coefficients(self.present(targets), drawn)
        return self.weighted(logits, targets, coefficients)

    def present(self, targets: Tensor) -> Tensor:
        """Whether a target of the batch reaches the threshold on any rank, for each class: bool [C]."""
        return self.synchronised((targets >= self.mask_thres).any(dim=0))

    def synchronised(self, present: Tensor) -> Tensor:
        """Whether a class is present on any rank, bool [C], from `present` on this one, bool [C]."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            counts = present.to(torch.int32)
            torch.distributed.all_reduce(counts, op=torch.distributed.ReduceOp.MAX)
            present = counts > 0
        return present

    def coefficients(self, present: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Count a step in training mode, and return the weight of each class in it: float32 [C].

        Parameters
        ----------
        present : bool tensor [C]
            The classes that are present in any batch of the step.
        drawn : bool tensor [C], optional
            The classes that are drawn in this step, instead of random ones.
        """
        if drawn is None:
            drawn = self._draw().to(present.device)
        absent, drawn = ~present, drawn.to(present.device, torch.bool)
        positive = (self.positive_steps + 1) * present
        negative = (self.negative_steps + (absent & drawn).float()) * absent
        if self.training:
            self.positive_steps.copy_(positive)
            self.negative_steps.copy_(negative)
            self.step += 1
        paid = -torch.log10((0.01 + positive) / 10)
        spared = -torch.log10((8 + negative) / 10)
        paid = paid.clamp(min=0.01)
        spared = torch.where(spared > 0.01, spared, self.floor)
        return torch.where(present, paid, torch.where(drawn, spared, 0.0))

    def weighted(self, logits: Tensor, targets: Tensor, coefficients: Tensor) -> Tensor:
        """The loss of a batch, a scalar, for coefficients float32 [C]."""
        weight = torch.tensor(self.positive_weight, device=logits.device)
        each = _elements(logits, targets, pos_weight=weight)
        return (each.mean(dim=0) * coefficients).sum()

    def _draw(self) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed * _SEED_STRIDE + self.step) % (1 << 63))
        return torch.rand(self.num_classes, generator=generator) <= self.neg_select

    def get_extra_state(self) -> dict[str, int]:
        """The number of steps, which a state dict holds besides the buffers."""
        return {"step": self.step}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore what :meth:`get_extra_state` returned."""
        self.step = state["step"]


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy with logits: the sum over classes, the mean over the batch."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar; unknown elements count as zero."""
        check_shapes(logits, targets)
        return _elements(logits, targets).sum() / len(logits)


class AsymmetricLoss(nn.Module):
    """The asymmetric loss of Ridnik et al. 2021, https://arxiv.org/abs/2009.14119, as implemented in timm.

    Parameters
    ----------
    **options : float
        Those of ``timm.loss.AsymmetricLossMultiLabel``: `gamma_neg`, `gamma_pos`, `clip`, `eps`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.loss = import_extra("timm.loss", extra="train").AsymmetricLossMultiLabel(**options)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar: the sum over known elements, divided by the batch."""
        check_shapes(logits, targets)
        known = targets >= 0
        # one row: versions of timm sum over all or average over rows, which is then the same
        total: Tensor = self.loss(logits[known][None], targets[known][None])
        return total / len(logits)


class SoftmaxCrossEntropy(nn.Module):
    """Softmax cross-entropy for networks with one class per image: the mean over the batch.

    The target distribution of an image is its confidences above 0, divided by their sum.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar; an image without a present class counts as zero."""
        check_shapes(logits, targets)
        weights = targets.float().clamp(min=0)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
        return -(weights * F.log_softmax(logits.float(), dim=1)).sum() / len(logits)


def l2_penalty(model: nn.Module) -> Tensor:
    """Half the sum of squares of all trainable weights except those of batch norms, a scalar.

    The published run adds 1e-4 times this to its loss. ``weight_decay=1e-4`` of ``torch.optim.SGD`` on the same
    parameters has the same gradient.
    """
    return sum(((weight.float() ** 2).sum() / 2 for weight in decayed_parameters(model)), torch.zeros(()))


def decayed_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The trainable parameters outside of batch norms, each once, in the order of the modules."""
    spared = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    return [each for each in model.parameters() if each.requires_grad and id(each) not in spared]


def _elements(logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of each element, float32 [B, C], zero where the target is unknown."""
    known = targets >= 0
    each = F.binary_cross_entropy_with_logits(
        logits.float(), targets.float().clamp(min=0), pos_weight=pos_weight, reduction="none"
    )
    return torch.where(known, each, 0.0)


def check_shapes(logits: Tensor, targets: Tensor, num_classes: int | None = None) -> None:
    """Raise a ModelError unless both are [B, C], with C equal to `num_classes` if given."""
    if logits.shape != targets.shape or logits.ndim != 2 or num_classes not in (None, logits.shape[1]):
        wanted = "[B, C]" if num_classes is None else f"[B, {num_classes}]"
        raise ModelError(
            f"logits of shape {list(logits.shape)} and targets of {list(targets.shape)}: expected both {wanted}"
        )
