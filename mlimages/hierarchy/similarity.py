"""Similarity of categories by their common ancestors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.hierarchy.csr import CSR, Int32Array, Int64Array
from mlimages.hierarchy.relations import Relations

#: Pairs that are compared at a time: bounds memory to some 20 MB whatever the number of pairs.
CHUNK = 1 << 16


class _Common(NamedTuple):
    """Common ancestors of a chunk of pairs: [nnz] each, sorted by pair."""

    pair: Int64Array
    ancestor: Int64Array
    distance: Int64Array  # edges from a up to the ancestor and down to b


def _chunks(hierarchy: Relations, a: Int32Array, b: Int32Array, chunk: int) -> Iterator[tuple[slice, _Common]]:
    """Cut the pairs into slices of `chunk`, with the common ancestors of each slice."""
    for start in range(0, len(a), chunk):
        pairs = slice(start, start + chunk)
        yield pairs, _common_ancestors(hierarchy, a[pairs], b[pairs])


def lowest_common_ancestors(hierarchy: Relations, a: Any, b: Any, *, chunk: int = CHUNK) -> Any:
    """Common ancestors without a common ancestor below them; see :meth:`Hierarchy.lowest_common_ancestors`.

    Parameters
    ----------
    hierarchy : Hierarchy
        The categories.
    a, b : index, key, Category, or several of them
        Sequences broadcast against each other.
    chunk : int
        Pairs to compare at a time.
    """
    below_a, below_b, scalar = _broadcast(hierarchy, a, b)
    pairs, ancestors = [], []
    n = len(hierarchy)
    for part, common in _chunks(hierarchy, below_a, below_b, chunk):
        # what is above another common ancestor of the same pair is not among the lowest
        positions, indptr = hierarchy.closure.positions(common.ancestor)
        higher = np.repeat(common.pair, np.diff(indptr)) * n + hierarchy.closure.indices[positions]
        lowest = ~np.isin(common.pair * n + common.ancestor, higher)
        pairs.append(common.pair[lowest] + part.start)
        ancestors.append(common.ancestor[lowest])
    found = CSR.from_pairs(
        np.concatenate(pairs) if pairs else np.empty(0, np.int64),
        np.concatenate(ancestors) if ancestors else np.empty(0, np.int64),
        length=len(below_a),
    )
    return found[0] if scalar else found


def path_similarity(hierarchy: Relations, a: Any, b: Any, *, chunk: int = CHUNK) -> Any:
    """``1 / (1 + d)`` over the shortest path of d edges through a common ancestor, as WordNet::Similarity defines it.

    Parameters are those of :func:`lowest_common_ancestors`.

    Returns
    -------
    float, or float64 array
        1 for a category and itself, 0 where the two have no common ancestor.
    """
    below_a, below_b, scalar = _broadcast(hierarchy, a, b)
    result = np.zeros(len(below_a))
    for part, common in _chunks(hierarchy, below_a, below_b, chunk):
        np.maximum.at(result[part], common.pair, 1.0 / (1.0 + common.distance))
    return float(result[0]) if scalar else result


def wup_similarity(hierarchy: Relations, a: Any, b: Any, *, chunk: int = CHUNK) -> Any:
    """Similarity of Wu and Palmer (1994): ``2 D / (D_a + D_b)``.

    c is the common ancestor with the greatest depth, measured along the shortest path from a root. D is the number of
    categories on the longest path from a root down to c (1 for a root); D_a is D plus the edges on the shortest path
    between c and a, and D_b likewise. Of several equally deep ancestors the one with the greatest similarity counts, so
    that the order of a and b does not matter. This is the formula of NLTK's ``wup_similarity``, on the categories of
    this hierarchy instead of all of WordNet; of equally deep ones NLTK takes a itself, else the first by name.

    Parameters are those of :func:`lowest_common_ancestors`.

    Returns
    -------
    float, or float64 array
        1 for a category and itself, 0 where the two have no common ancestor.
    """
    below_a, below_b, scalar = _broadcast(hierarchy, a, b)
    result = np.zeros(len(below_a))
    several = bool((hierarchy.parents().lengths > 1).any())
    shortest, longest = hierarchy.depth(), hierarchy.depth(longest=True)
    for part, common in _chunks(hierarchy, below_a, below_b, chunk):
        depth = shortest[common.ancestor]
        deepest = np.zeros(len(below_a[part]), np.int64)
        np.maximum.at(deepest, common.pair, depth)
        kept = depth == deepest[common.pair]
        pair, ancestor, edges = common.pair[kept] + part.start, common.ancestor[kept], common.distance[kept]
        if several:  # the path through a higher ancestor may be shorter than straight down
            edges = _edges(hierarchy, below_a[pair], ancestor) + _edges(hierarchy, below_b[pair], ancestor)
        level = longest[ancestor] + 1.0
        np.maximum.at(result, pair, 2.0 * level / (2.0 * level + edges))
    result[below_a == below_b] = 1.0  # an ancestor may be deeper than the category itself, where paths differ
    return float(result[0]) if scalar else result


def _broadcast(hierarchy: Relations, a: Any, b: Any) -> tuple[Int32Array, Int32Array, bool]:
    """Indices of both sides, int32 [pairs] each, and whether the query is a single pair."""
    first, second = hierarchy.index(a), hierarchy.index(b)
    scalar = isinstance(first, int) and isinstance(second, int)
    left, right = np.broadcast_arrays(np.atleast_1d(first), np.atleast_1d(second))
    return left, right, scalar


def _common_ancestors(hierarchy: Relations, a: NDArray[Any], b: NDArray[Any]) -> _Common:
    """Common ancestors of the pairs; a category counts as its own ancestor."""
    n = len(hierarchy)
    flat_a, distance_a = _own_and_above(hierarchy, a, n)
    flat_b, distance_b = _own_and_above(hierarchy, b, n)
    flat, at_a, at_b = np.intersect1d(flat_a, flat_b, assume_unique=True, return_indices=True)
    pair, ancestor = np.divmod(flat, n) if n else (flat, flat)
    return _Common(pair, ancestor, distance_a[at_a] + distance_b[at_b])


def _edges(hierarchy: Relations, a: NDArray[Any], b: NDArray[Any]) -> Int64Array:
    """Edges on the shortest path through a common ancestor of each pair, which must have one: int64 [pairs]."""
    common = _common_ancestors(hierarchy, a, b)
    edges = np.full(len(a), np.iinfo(np.int64).max)
    np.minimum.at(edges, common.pair, common.distance)
    return edges


def _own_and_above(hierarchy: Relations, nodes: NDArray[Any], n: int) -> tuple[Int64Array, Int64Array]:
    """``pair * n + ancestor`` for each node itself and its ancestors, and the edges up to each."""
    closure, distance = hierarchy._closure_and_distance
    positions, indptr = closure.positions(nodes)
    pair = np.arange(len(nodes), dtype=np.int64)
    above = np.repeat(pair, np.diff(indptr)) * n + closure.indices[positions]
    flat = np.concatenate([pair * n + nodes, above])
    edges = np.concatenate([np.zeros(len(nodes), np.int64), distance[positions].astype(np.int64)])
    return flat, edges
