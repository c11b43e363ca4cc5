"""How categories count that an image does not list: absent, left out, or left out below what the image lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import ModelError

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy
    from mlimages.hierarchy.csr import CSR

ABSENT, LEFT_OUT, BELOW = "absent", "left-out", "below"
#: How an unlisted category can count.
UNLISTED = (ABSENT, LEFT_OUT, BELOW)


def background(unknown: str) -> float:
    """The target of unlisted categories: 0 for absent, -1 for left out.

    Raises
    ------
    ModelError
        Where `unknown` is not one of ``UNLISTED``.
    """
    if unknown not in UNLISTED:
        raise ModelError(f"unknown is {unknown!r}: expected one of {', '.join(UNLISTED)}")
    return -1.0 if unknown == LEFT_OUT else 0.0


class Below:
    """Finds the unlisted descendants of an image's most specific labels, of which the image may show any or none.

    The label "dog" does not say which breed, so unlisted breeds are neither present nor absent; cats are absent. An
    image that lists a breed as well has a more specific label, and no other breed is left open.

    Source: Redmon and Farhadi 2017, "YOLO9000: Better, Faster, Stronger", CVPR, https://arxiv.org/abs/1612.08242,
    section 4: a label is learned from "at or above the level of the label", as nothing is known of what is below.

    Parameters
    ----------
    hierarchy : Hierarchy
        Its categories are the outputs.

    Examples
    --------
    >>> from mlimages import Hierarchy
    >>> below = Below(Hierarchy(["animal", "dog", "cat", "pug"], [[], [0], [0], [1]]))
    >>> [found.tolist() for found in below(np.array([0, 0, 1]), np.array([0, 1, 0]), np.ones(3, np.float32))]
    [[0, 1, 1, 1], [3, 1, 2, 3]]
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._classes = len(hierarchy)
        self._above, self._below = hierarchy.ancestors(), hierarchy.descendants()

    def __call__(
        self, rows: NDArray[Any], columns: NDArray[Any], values: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Position in the batch and category of each unknown label, int64 [m] each, ascending.

        `rows` and `columns`, int [nnz], are those of each label, in any order; `values`, float [nnz], its confidence,
        of which 0 is verified absent.
        """
        listed = rows.astype(np.int64) * self._classes + columns
        present = listed[values > 0]
        most_specific = present[~np.isin(present, self._of(self._above, present))]
        unknown = np.setdiff1d(self._of(self._below, most_specific), listed)
        return unknown // self._classes, unknown % self._classes

    def _of(self, relation: CSR, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places (position in the batch times number of categories, plus category) of the relatives of `places`."""
        columns = places % self._classes
        found = relation.take(columns)
        shifted: NDArray[np.int64] = np.repeat(places - columns, found.lengths)
        shifted += found.indices
        return shifted
