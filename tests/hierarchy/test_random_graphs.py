"""Every query against a slow reference, on random graphs."""

from __future__ import annotations

from collections import deque

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy

FEW = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchy:
    """Up to 12 categories, each with up to three parents, in an index order that need not be topological."""
    n = draw(st.integers(1, 12))
    order = draw(st.permutations(range(n)))  # a topological order
    parents: list[list[int]] = [[] for _ in range(n)]
    for place, node in enumerate(order):
        if place:
            parents[node] = draw(st.lists(st.sampled_from(order[:place]), max_size=3, unique=True))
    return Hierarchy([f"k{i}" for i in range(n)], parents)


def walk_up(h: Hierarchy, start: int) -> dict[int, int]:
    """Proper ancestors in the order of a breadth-first walk, and the edges up to each."""
    seen, queue = {start: 0}, deque([start])
    while queue:
        node = queue.popleft()
        for parent in h.parents(node).tolist():
            if parent not in seen:
                seen[parent] = seen[node] + 1
                queue.append(parent)
    del seen[start]
    return seen


def with_self(h: Hierarchy, node: int) -> dict[int, int]:
    return {node: 0} | walk_up(h, node)


def lowest(h: Hierarchy, candidates: set[int]) -> set[int]:
    """Those of the candidates that are above no other of them."""
    return candidates - {above for each in candidates for above in walk_up(h, each)}


def pairs(h: Hierarchy) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.divmod(np.arange(len(h) ** 2), len(h))
    return a, b


@FEW
@given(hierarchies())
def test_closure_and_distances_are_those_of_a_breadth_first_walk(h):
    closure, distance = h._closure_and_distance
    expected = [walk_up(h, i) for i in range(len(h))]
    assert [row.tolist() for row in closure] == [list(each) for each in expected]
    assert distance.tolist() == [edges for each in expected for edges in each.values()]


@FEW
@given(hierarchies())
def test_descendants_and_is_ancestor_fit_networkx(h):
    graph = nx.DiGraph(h.to_networkx())
    for i, key in enumerate(h.keys):
        below = sorted(h.index(each) for each in nx.descendants(graph, key))
        assert h.descendants(i).tolist() == below
        assert np.flatnonzero(h.is_ancestor(i, np.arange(len(h)))).tolist() == below


@FEW
@given(hierarchies())
def test_depths_are_the_shortest_and_longest_paths(h):
    def longest(node: int) -> int:
        return max((1 + longest(parent) for parent in h.parents(node).tolist()), default=0)

    roots = set(h.roots.tolist())
    for i in range(len(h)):
        assert h.depth(i) == min(edges for node, edges in with_self(h, i).items() if node in roots)
        assert h.depth(i, longest=True) == longest(i)
    place = {node: at for at, node in enumerate(h.topological_order.tolist())}
    assert all(place[parent] < place[i] for i in range(len(h)) for parent in h.parents(i).tolist())


@FEW
@given(hierarchies())
def test_lowest_common_ancestors_are_lowest_and_hold_networkx_one(h):
    a, b = pairs(h)
    found = h.lowest_common_ancestors(a, b)
    graph = nx.DiGraph(h.to_networkx())
    theirs = dict(nx.all_pairs_lowest_common_ancestor(graph))
    for i, j, row in zip(a.tolist(), b.tolist(), found, strict=True):
        assert row.tolist() == sorted(lowest(h, with_self(h, i).keys() & with_self(h, j).keys()))
        one = theirs.get((h.keys[i], h.keys[j]), theirs.get((h.keys[j], h.keys[i])))
        assert (one is None) == (len(row) == 0)
        assert one is None or h.index(one) in row


@FEW
@given(hierarchies())
def test_similarities_fit_their_formulas(h):
    def edges(i: int, j: int) -> int:
        up, down = with_self(h, i), with_self(h, j)
        return min(up[each] + down[each] for each in up.keys() & down.keys())

    a, b = pairs(h)
    path, wup = h.path_similarity(a, b), h.wup_similarity(a, b)
    for at, (i, j) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        common = with_self(h, i).keys() & with_self(h, j).keys()
        if not common:
            assert path[at] == wup[at] == 0.0
            continue
        assert path[at] == 1 / (1 + edges(i, j))
        deepest = max(h.depth(each) for each in common)
        values = []
        for each in common:
            if h.depth(each) == deepest:
                level = h.depth(each, longest=True) + 1
                values.append(2 * level / (2 * level + edges(i, each) + edges(j, each)))
        assert wup[at] == (1.0 if i == j else max(values))


@FEW
@given(hierarchies(), st.data())
def test_restrict_and_most_specific_keep_the_nearest(h, data):
    kept = data.draw(st.lists(st.integers(0, len(h) - 1), unique=True))
    restricted = h.restrict(kept)
    assert restricted.keys == tuple(h.keys[i] for i in kept)
    for place, node in enumerate(kept):
        above = [each for each in walk_up(h, node) if each in kept]
        nearest = lowest(h, set(above))
        assert restricted.parents(place).tolist() == [kept.index(each) for each in above if each in nearest]
        # and the ancestors are those that were kept
        assert {kept[i] for i in restricted.ancestors(place)} == set(above)
    assert h.most_specific(kept).tolist() == [node for node in kept if node in lowest(h, set(kept))]


@FEW
@given(hierarchies(), st.data())
def test_subtree_holds_what_is_below(h, data):
    root = data.draw(st.integers(0, len(h) - 1))
    part = h.subtree(root)
    kept = sorted([root, *h.descendants(root).tolist()])
    assert part.keys == tuple(h.keys[i] for i in kept)
    assert [[part.keys[p] for p in row] for row in part.parents()] == [
        [h.keys[p] for p in h.parents(i) if p in kept] for i in kept
    ]


@FEW
@given(hierarchies())
def test_networkx_and_edges_bring_the_hierarchy_back(h):
    assert Hierarchy.from_networkx(h.to_networkx()) == h
    edges = [(h.keys[parent], h.keys[child]) for child, row in enumerate(h.parents()) for parent in row]
    assert Hierarchy.from_edges(edges, keys=h.keys) == h
