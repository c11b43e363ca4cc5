"""Scores that are consistent with a hierarchy: an ancestor is at least as probable as each of its descendants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import ModelError

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The edges into the parents of one depth, grouped by parent: int64 arrays over p parents and e edges.

    `parents` [p] are ascending. `children` [e] are those of the first parent, then those of the second, and so on;
    `starts` [p] is the position of each parent's first child among them, and `rows` [e] that of each child's parent in
    `parents`.
    """

    parents: NDArray[np.int64]
    children: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]


def upward_levels(hierarchy: Hierarchy) -> list[Level]:
    """The edges of the hierarchy by the longest depth of the parent, deepest first.

    By that measure a child is always deeper than its parents, so that all children of a level are final when it is
    reached: one pass is exact in any directed acyclic graph.
    """
    children = hierarchy.children()
    depth = hierarchy.depth(longest=True)
    inner = np.flatnonzero(children.lengths > 0)
    levels = []
    for each in np.unique(depth[inner])[::-1]:
        parents = inner[depth[inner] == each]
        rows = children.take(parents)
        levels.append(Level(parents, rows.indices.astype(np.int64), rows.indptr[:-1], rows.row_numbers))
    return levels


def consistent(probabilities: NDArray[Any], hierarchy: Hierarchy) -> NDArray[Any]:
    """Raise the value of every category to the greatest among its descendants.

    This is the least increase that makes scores consistent with the hierarchy: the constraint layer of Giunchiglia and
    Lukasiewicz (2020), https://arxiv.org/abs/2010.10151.

    Parameters
    ----------
    probabilities : float array [..., C]
        One column per category of the hierarchy; may be logits.
    hierarchy : Hierarchy

    Returns
    -------
    float array [..., C]
        A new array.

    Raises
    ------
    ModelError
        For another number of columns than the hierarchy has categories.

    Examples
    --------
    >>> from mlimages import Hierarchy
    >>> h = Hierarchy(["animal", "dog", "pet", "puppy"], [[], [0], [0], [1, 2]])
    >>> consistent(np.array([0.25, 0.5, 0.0, 0.75]), h).tolist()
    [0.75, 0.75, 0.75, 0.75]
    """
    values = np.array(probabilities)
    if values.ndim == 0 or values.shape[-1] != len(hierarchy):
        raise ModelError(f"scores of shape {list(values.shape)} for a hierarchy of {len(hierarchy)} categories")
    for level in upward_levels(hierarchy):
        best = np.maximum.reduceat(values[..., level.children], level.starts, axis=-1)
        values[..., level.parents] = np.maximum(values[..., level.parents], best)
    return values
