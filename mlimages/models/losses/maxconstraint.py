"""A hierarchical loss: the max-constraint loss of coherent multi-label networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812, torch's own way
from torch import Tensor, nn

from mlimages.models.losses.consistency import upward_levels
from mlimages.models.losses.loss import check_shapes

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy


class MaxConstraintLoss(nn.Module):
    """Cross-entropy on scores made consistent with the hierarchy: a category has the score of its best descendant.

    Source: Giunchiglia and Lukasiewicz 2020, "Coherent Hierarchical Multi-Label Classification Networks", NeurIPS,
    https://arxiv.org/abs/2010.10151, equation 2. For a category A with itself and its descendants D(A), scores h:

    - if A is absent, its term is ``-log(1 - max of h over D(A))``, whose gradient reaches the best descendant;
    - if A is present, its term is ``-log(max of h over those of D(A) that are present)``, so that an absent descendant
      is not reinforced for its ancestor, as it would be by cross-entropy on consistent scores.

    This implementation works on logits, level by level over the edges, in memory of B x edges instead of B x C x C. A
    target between 0 and 1 counts as present and weighs the two terms; unknown elements have no term, and do not count
    as present. Predictions need :meth:`constrain` (or :func:`mlimages.models.consistent`) as well.

    Parameters
    ----------
    hierarchy : Hierarchy
        Its categories are the outputs.

    Examples
    --------
    >>> from mlimages import Hierarchy
    >>> loss = MaxConstraintLoss(Hierarchy(["animal", "dog"], [[], [0]]))
    >>> loss.constrain(torch.tensor([[-3.0, 2.0]])).tolist()
    [[2.0, 2.0]]
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.num_classes = len(hierarchy)
        levels = upward_levels(hierarchy)
        self.levels = len(levels)
        for number, level in enumerate(levels):
            for name, values in (("children", level.children), ("parents", level.parents), ("rows", level.rows)):
                self.register_buffer(f"{name}_{number}", torch.tensor(values), persistent=False)

    def constrain(self, logits: Tensor) -> Tensor:
        """The greatest logit of each category and its descendants, [B, C], from logits [B, C]."""
        for number in range(self.levels):
            children = self.get_buffer(f"children_{number}")  # [edges of the level]
            parents = self.get_buffer(f"parents_{number}")
            rows = self.get_buffer(f"rows_{number}").expand(len(logits), -1)
            best = logits[:, parents].scatter_reduce(1, rows, logits[:, children], "amax")
            logits = logits.index_copy(1, parents, best)
        return logits

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar: the sum over classes, the mean over the batch."""
        check_shapes(logits, targets, self.num_classes)
        logits = logits.float()
        least = torch.finfo(torch.float32).min
        credit = self.constrain(torch.where(targets > 0, logits, least))  # the best of those present
        # elsewhere the first term has weight 0: a finite value avoids 0 x inf
        credit = torch.where(targets > 0, credit, 0.0)
        weight = targets.clamp(min=0).float()
        each = -weight * F.logsigmoid(credit) - (1 - weight) * F.logsigmoid(-self.constrain(logits))
        return torch.where(targets >= 0, each, 0.0).sum() / len(logits)
