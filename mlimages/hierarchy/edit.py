"""Parts of a hierarchy: the definition of a subtree, or of some categories with the others contracted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import HierarchyError
from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR, ancestor_closure
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.relations import Relations


def subtree(hierarchy: Relations, root: CategoryLike) -> Definition:
    """A category and its descendants, in index order; see :meth:`Hierarchy.subtree`."""
    top = hierarchy.index(root)
    kept = np.sort(np.append(hierarchy.descendants(top), np.int32(top)))
    return _part(hierarchy, kept, _kept_only(hierarchy.parents(kept), _places(hierarchy, kept)))


def restrict(hierarchy: Relations, categories: Iterable[CategoryLike] | NDArray[Any]) -> Definition:
    """The given categories in the given order; see :meth:`Hierarchy.restrict`.

    Raises
    ------
    HierarchyError
        For a category given twice.
    """
    kept = np.atleast_1d(hierarchy.index(categories))
    values, counts = np.unique(kept, return_counts=True)
    if len(values) != len(kept):
        raise HierarchyError(f"duplicate category {hierarchy[int(values[counts > 1][0])]}: name each one once")
    return _part(hierarchy, kept, nearest_kept(hierarchy, kept))


def nearest_kept(hierarchy: Relations, kept: NDArray[Any]) -> CSR:
    """The nearest kept ancestors of each category `kept`, int [m], each once: CSR [m] of positions in `kept`, nearest
    first.

    An ancestor that is above another kept ancestor of the same category is not among them.
    """
    places = _places(hierarchy, kept)
    # walks stop at the first kept category on each path; one of these may still be above another
    reached = _kept_only(ancestor_closure(hierarchy.parents(), barriers=places >= 0)[0].take(kept), places)
    several = np.flatnonzero(reached.lengths > 1)
    if not len(several):
        return reached
    m = len(kept)
    positions, indptr = reached.positions(several)
    rows = np.repeat(several, np.diff(indptr))
    above, above_indptr = hierarchy.closure.positions(np.asarray(kept)[reached.indices[positions]])
    higher = np.repeat(rows, np.diff(above_indptr)) * m + places[hierarchy.closure.indices[above]]
    higher = higher[places[hierarchy.closure.indices[above]] >= 0]
    lowest = np.ones(len(reached.indices), bool)
    lowest[positions] = ~np.isin(rows * m + reached.indices[positions], higher)
    return CSR.from_pairs(reached.row_numbers[lowest], reached.indices[lowest], length=m)


def _part(hierarchy: Relations, kept: NDArray[Any], parents: CSR) -> Definition:
    indices = kept.tolist()
    return Definition.checked([hierarchy.keys[i] for i in indices], parents, [hierarchy.names[i] for i in indices])


def _places(hierarchy: Relations, kept: NDArray[Any]) -> NDArray[np.int32]:
    """Position in `kept` of each category, int32 [n]; -1 if it is dropped."""
    places = np.full(len(hierarchy), -1, np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    return places


def _kept_only(rows: CSR, places: NDArray[np.int32]) -> CSR:
    """The rows as positions, without dropped categories."""
    new = places[rows.indices]
    return CSR.from_pairs(rows.row_numbers[new >= 0], new[new >= 0], length=len(rows))
