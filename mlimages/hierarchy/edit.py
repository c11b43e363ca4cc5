"""A hierarchy from and to other structures: edges, networkx, Parquet, and parts of another hierarchy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import HierarchyError
from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR, ancestor_closure
from mlimages.hierarchy.hierarchy import Hierarchy

if TYPE_CHECKING:
    pass


def subtree(hierarchy: Hierarchy, root: CategoryLike) -> Hierarchy:
    """See :meth:`Hierarchy.subtree`."""
    top = hierarchy.index(root)
    kept = np.sort(np.append(hierarchy.descendants(top), np.int32(top)))
    return _part(hierarchy, kept, _kept_only(hierarchy.parents(kept), _places(hierarchy, kept)))


def restrict(hierarchy: Hierarchy, categories: Iterable[CategoryLike] | NDArray[Any]) -> Hierarchy:
    """See :meth:`Hierarchy.restrict`."""
    kept = np.atleast_1d(hierarchy.index(categories))
    values, counts = np.unique(kept, return_counts=True)
    if len(values) != len(kept):
        raise HierarchyError(f"duplicate category {hierarchy[int(values[counts > 1][0])]}: name each one once")
    return _part(hierarchy, kept, nearest_kept(hierarchy, kept))


def nearest_kept(hierarchy: Hierarchy, kept: NDArray[Any]) -> CSR:
    """For each of `kept`, int [m], its nearest kept ancestors as positions in `kept`, nearest first: CSR of m rows.

    A kept ancestor is left out where another kept ancestor lies below it.
    """
    places = _places(hierarchy, kept)
    # a walk that stops at the first kept category on each way; one may still lie above another
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


def _part(hierarchy: Hierarchy, kept: NDArray[Any], parents: CSR) -> Hierarchy:
    indices = kept.tolist()
    return Hierarchy([hierarchy.keys[i] for i in indices], parents, [hierarchy.names[i] for i in indices])


def _places(hierarchy: Hierarchy, kept: NDArray[Any]) -> NDArray[np.int32]:
    """Position in `kept` of every category, -1 where it is dropped: int32 [n]."""
    places = np.full(len(hierarchy), -1, np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    return places


def _kept_only(rows: CSR, places: NDArray[np.int32]) -> CSR:
    """The rows without what is dropped, as positions."""
    new = places[rows.indices]
    return CSR.from_pairs(rows.row_numbers[new >= 0], new[new >= 0], length=len(rows))
