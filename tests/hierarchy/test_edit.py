"""Parts of a hierarchy: subtree and restrict, by example; random graphs are in test_random_graphs.py."""

from __future__ import annotations

import pytest

from mlimages import Hierarchy
from mlimages.errors import HierarchyError
from mlimages.hierarchy import CSR


def rows(csr: CSR) -> list[list[int]]:
    return [row.tolist() for row in csr]


def test_subtree_keeps_index_order_and_drops_parents_outside(zoo):
    pets = zoo.subtree("pet")
    assert pets.keys == ("dog", "puppy", "pet", "cat")
    assert rows(pets.parents()) == [[2], [0], [], [2]]
    assert pets["dog"].names == ("Dog", "a dog")
    assert zoo.subtree("rose").keys == ("rose",)


def test_restrict_contracts_what_is_dropped(zoo):
    kept = zoo.restrict(["puppy", "thing", "cat", "pet", "water"])
    assert kept.keys == ("puppy", "thing", "cat", "pet", "water")
    assert rows(kept.parents()) == [[3], [], [3], [1], []]


def test_restrict_keeps_only_nearest_ancestors(zoo):
    # animal is dog's parent, and above dog's other parent, pet
    assert rows(zoo.restrict(["dog", "animal", "pet"]).parents()) == [[2], [], [1]]
    assert rows(zoo.restrict(["puppy", "animal"]).parents()) == [[1], []]


def test_restrict_keeps_several_parents_in_their_order():
    h = Hierarchy(["a", "b", "x", "y", "c"], [[], [], [0], [1], [3, 2]])
    assert rows(h.restrict(["a", "b", "c"]).parents()) == [[], [], [1, 0]]


def test_restrict_fails_for_a_category_named_twice(zoo):
    with pytest.raises(HierarchyError, match="duplicate category cat Cat, a cat: name each one once"):
        zoo.restrict(["dog", "cat", 5])
