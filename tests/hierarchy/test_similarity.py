"""Similarities and lowest common ancestors, by example; random graphs are in test_random_graphs.py."""

from __future__ import annotations

import numpy as np
import pytest

from mlimages import Hierarchy
from mlimages.hierarchy.similarity import lowest_common_ancestors, path_similarity, wup_similarity


@pytest.mark.parametrize(
    ("a", "b", "lowest"),
    [
        ("dog", "cat", [3]),  # pet, and not animal, which is above pet
        ("puppy", "rose", [9]),
        ("dog", "pet", [3]),
        ("pet", "puppy", [3]),
        ("dog", "dog", [0]),
        ("dog", "water", []),
    ],
)
def test_lowest_common_ancestors_of_a_pair(zoo, a, b, lowest):
    assert zoo.lowest_common_ancestors(a, b).tolist() == lowest


def test_lowest_common_ancestors_are_several_in_a_diamond():
    h = Hierarchy(["top", "a", "b", "x", "y"], [[], [0], [0], [1, 2], [2, 1]])
    assert h.lowest_common_ancestors("x", "y").tolist() == [1, 2]


def test_lowest_common_ancestors_of_many_give_a_row_each(zoo):
    found = zoo.lowest_common_ancestors(["dog", "puppy", "water"], "cat")
    assert [row.tolist() for row in found] == [[3], [3], []]


@pytest.mark.parametrize(
    ("a", "b", "path", "wup"),
    [
        ("dog", "dog", 1.0, 1.0),
        ("dog", "cat", 1 / 3, 6 / 8),  # meet at pet: 3 categories down the longest path, 1 + 1 edges
        ("puppy", "rose", 1 / 6, 2 / 7),  # meet at thing: 1 category, 3 + 2 edges
        ("puppy", "pet", 1 / 3, 6 / 8),  # pet itself: 3 categories, 2 + 0 edges
        ("dog", "water", 0.0, 0.0),
    ],
)
def test_similarity_of_a_pair_both_ways(zoo, a, b, path, wup):
    assert zoo.path_similarity(a, b) == zoo.path_similarity(b, a) == pytest.approx(path)
    assert zoo.wup_similarity(a, b) == zoo.wup_similarity(b, a) == pytest.approx(wup)
    assert isinstance(zoo.path_similarity(a, b), float)
    assert isinstance(zoo.wup_similarity(a, b), float)


def test_similarity_broadcasts_one_against_many(zoo):
    assert zoo.path_similarity("dog", ["dog", "cat", "water"]).tolist() == pytest.approx([1.0, 1 / 3, 0.0])
    assert zoo.wup_similarity(["dog", "cat", "water"], "dog").tolist() == pytest.approx([1.0, 6 / 8, 0.0])


def test_wup_similarity_of_a_category_with_itself_is_one_though_an_ancestor_is_deeper():
    # x hangs directly below the root as well: its shortest path is shorter than that of its parent c
    h = Hierarchy(["root", "a", "b", "c", "x"], [[], [0], [1], [2], [3, 0]])
    assert h.wup_similarity("x", "x") == 1.0


def test_wup_similarity_takes_the_shortest_path_to_the_meeting_point():
    # both meet at d, five levels down; from x the way over the root (1 + 1 edges, d is below it too) is shorter
    h = Hierarchy(
        ["root", "a", "b", "c", "d", "e", "f", "x", "y"],
        [[], [0], [1], [2], [3], [4], [5], [6, 1], [4]],
    )
    # x up to d: x f e d, 3 edges straight; over a: x a, a b c d down, 4 edges. D of d is 5, y to d 1 edge.
    assert h.wup_similarity("x", "y") == pytest.approx(10 / (10 + 3 + 1))
    short = Hierarchy(
        ["root", "a", "d", "p", "q", "r", "x", "y"],
        [[], [0], [1], [2], [3], [4], [5, 1], [2]],
    )
    # x up to d: x r q p d, 4 edges straight; over a: x a d, 2 edges. D of d is 3, y to d 1 edge.
    assert short.wup_similarity("x", "y") == pytest.approx(6 / (6 + 2 + 1))


@pytest.mark.parametrize("query", [path_similarity, wup_similarity, lowest_common_ancestors])
def test_similarities_do_not_depend_on_how_pairs_are_cut_into_chunks(zoo, query):
    a, b = (each.ravel() for each in np.meshgrid(np.arange(10), np.arange(10)))
    assert [each.tolist() for each in query(zoo, a, b, chunk=7)] == [each.tolist() for each in query(zoo, a, b)]
