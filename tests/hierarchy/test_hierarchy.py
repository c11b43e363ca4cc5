"""Hierarchy: what it refuses, how a category is named, and every query on the ten-node hierarchy."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlimages import Category, Hierarchy
from mlimages.errors import CycleError, HierarchyError, UnknownCategoryError
from mlimages.hierarchy import CSR


def rows(csr: CSR) -> list[list[int]]:
    return [row.tolist() for row in csr]


# What makes a hierarchy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "parents", "names", "message"),
    [
        (["a", "b", "a"], [[], [], []], None, "duplicate key 'a': categories 0 and 2"),
        (["a", ""], [[], []], None, "category 1 has the key ''"),
        (["a", 7], [[], []], None, "category 1 has the key 7: expected a non-empty string"),
        (["a", "b\tc"], [[], []], None, r"category 1 has the key 'b\\tc': no tab, line end or lone surrogate"),
        (["a", "\ud800"], [[], []], None, r"category 1 has the key '\\ud800'"),
        (["a", "b"], [[], [2]], None, r"category 1 \(b\) has the unknown parent 2: expected 0 to 1"),
        (["a", "b"], [[], [-1]], None, r"category 1 \(b\) has the unknown parent -1"),
        (["a", "b"], [[], [0, 0]], None, r"category 1 \(b\) names its parent 0 \(a\) twice"),
        (["a", "b"], [[]], None, "2 keys, 1 rows of parents and 2 of names: must agree"),
        (["a", "b"], [[], []], [["x"]], "2 keys, 2 rows of parents and 1 of names: must agree"),
        (["a", "b"], [[], []], [["x"], ["y", 3]], r"category 1 has the names \('y', 3\): expected Unicode text"),
        (["a", "b"], [[], []], [["x"], ["\udfff"]], "category 1 has the names .* expected Unicode text"),
        (["a", "b"], [[], [0.5]], None, "found 0.5 among the rows, expected integer indices"),
        (["a", "b"], [[], [True]], None, "found True among the rows"),
        (["a", "b"], [[], ["a"]], None, "found 'a' among the rows"),
        (["a", "b"], [[], [2**40]], None, "found 1099511627776 among the rows"),
        (["a", "b"], CSR(np.array([0, 1, 0]), np.array([0])), None, "row pointers do not run from 0"),
        (["a", "b"], CSR(np.array([0, 0, 1]), np.array([0.0])), None, "found CSR arrays of int64 and float64"),
    ],
)
def test_construction_fails_for_what_is_no_hierarchy(keys, parents, names, message):
    with pytest.raises(HierarchyError, match=message):
        Hierarchy(keys, parents, names)


def test_cycle_error_prints_the_cycle_parent_before_child():
    with pytest.raises(CycleError, match=r"^cycle of 3 categories: b -> d -> c -> b \(parent -> child\)$") as caught:
        Hierarchy(["a", "b", "c", "d", "e"], [[], [2], [3], [0, 1], [3]])
    assert caught.value.indices == [1, 3, 2]


def test_cycle_error_names_a_category_that_is_its_own_parent():
    with pytest.raises(CycleError, match=r"^cycle of 1 category: b -> b "):
        Hierarchy(["a", "b"], [[], [1]])


def test_cycle_error_shortens_a_long_cycle():
    keys = [f"k{i}" for i in range(100)]
    with pytest.raises(CycleError, match=r"^cycle of 100 categories: k0 -> k1 .* -> k19 -> \.\.\. -> k0 ") as caught:
        Hierarchy(keys, [[(i - 1) % 100] for i in range(100)])
    assert len(caught.value.indices) == 100


def test_hierarchy_is_immutable(zoo):
    with pytest.raises(AttributeError, match="immutable"):
        zoo.keys = ()
    with pytest.raises(AttributeError, match="immutable"):
        del zoo.keys
    for array in (zoo.roots, zoo.leaves, zoo.depth(), zoo.parents().indices, zoo.closure.indptr, zoo.parents("dog")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_hierarchy_does_not_change_with_the_arrays_it_was_made_of():
    parents = CSR(np.array([0, 0, 1]), np.array([0], np.int32))
    h = Hierarchy(["a", "b"], parents)
    parents.indices[0] = 1  # stays writable, and ours apart from it
    assert rows(h.parents()) == [[], [0]]


def test_plain_string_is_one_name():
    assert Hierarchy(["a"], [[]], ["dog"])["a"].names == ("dog",)


def test_hierarchy_of_nothing_answers():
    h = Hierarchy([], [])
    assert len(h) == 0
    assert h.roots.tolist() == []
    assert len(h.closure) == 0
    assert h.statistics()["mean_depth"] == 0.0
    assert h.find("dog") == []
    assert len(h.restrict([])) == 0
    assert h.is_ancestor([], []).tolist() == []
    assert len(h.lowest_common_ancestors([], [])) == 0
    with pytest.raises(UnknownCategoryError, match="unknown category 'dog': not a key of this hierarchy"):
        h["dog"]


# Naming a category ----------------------------------------------------------------------------------------------------


def test_category_is_found_by_key_index_and_itself(zoo):
    dog = Category(0, "dog", ("Dog", "a dog"))
    assert zoo["dog"] == zoo[0] == zoo[np.int64(0)] == zoo[dog] == dog
    assert dog.name == "Dog"
    assert str(dog) == "dog Dog, a dog"
    assert Category(0, "dog", ()).name == "dog"


def test_category_of_another_hierarchy_is_found_by_its_key(zoo):
    other = Hierarchy(["x", "dog"], [[], [0]])
    assert zoo.index(other["dog"]) == 0
    assert other["dog"] in zoo
    assert other["x"] not in zoo


@pytest.mark.parametrize(
    "several",
    [
        ["dog", "cat"],
        ("dog", 5),
        [0, Category(5, "cat", ())],
        np.array([0, 5]),
        np.array([0, 5], np.uint8),
        np.array(["dog", "cat"]),
        np.array(["dog", 5], object),
        iter(["dog", "cat"]),
        {"cat", "dog"},
        {"dog": 1, "cat": 2},
    ],
)
def test_index_takes_many_forms_of_several(zoo, several):
    found = zoo.index(several)
    assert found.tolist() == [0, 5]
    assert found.dtype == np.int32


@pytest.mark.parametrize("nothing", [[], (), np.array([]), np.array([], int), np.array([], str), set()])
def test_index_of_nothing_is_an_empty_array(zoo, nothing):
    assert zoo.index(nothing).tolist() == []
    assert zoo.index(nothing).dtype == np.int32


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("wolf", r"unknown category 'wolf': not a key of this hierarchy \(10 categories, such as dog, puppy, animal\)"),
        (10, "unknown category 10: expected an index from 0 to 9"),
        (-1, "unknown category -1: expected an index from 0 to 9"),
        (2**70, "unknown category 1180591620717411303424"),
        (1.0, "unknown category 1.0: expected an index, a key, a Category or a sequence of them"),
        (None, "unknown category None"),
        (True, "unknown category True"),
        (np.bool_(True), "unknown category .*True"),
        (b"dog", "unknown category b'dog'"),
        (["dog", None], "unknown category None"),
        (["dog", ["cat"]], r"unknown category \['cat'\]: expected an index, a key or a Category"),
        (np.array([0.0]), "unknown category 0.0"),
        (np.array([True]), "unknown category True"),
        (np.array([[0, 1]]), "found an array of 2 dimensions, expected a flat one"),
        (np.array([0, 10, 11]), "unknown category 10, one of 2 such: expected an index from 0 to 9"),
        (np.array([2**63], np.uint64), "unknown category 9223372036854775808"),
    ],
)
def test_index_fails_for_what_names_no_category(zoo, wrong, message):
    with pytest.raises(UnknownCategoryError, match=message):
        zoo.index(wrong)


def test_membership_never_fails(zoo):
    assert "dog" in zoo
    assert 9 in zoo
    assert np.int8(9) in zoo
    for absent in ("wolf", 10, -1, True, 1.0, None, ["dog"], 2**70):
        assert absent not in zoo


# Queries -------------------------------------------------------------------------------------------------------------


def test_roots_leaves_and_length(zoo):
    assert len(zoo) == 10
    assert zoo.roots.tolist() == [4, 9]
    assert zoo.leaves.tolist() == [1, 5, 6, 8]


def test_parents_and_children_of_one_and_of_several(zoo):
    assert zoo.parents("dog").tolist() == [2, 3]
    assert zoo.children("animal").tolist() == [0, 3]
    assert rows(zoo.parents(["thing", "dog", "dog"])) == [[], [2, 3], [2, 3]]
    assert rows(zoo.children([4, 1])) == [[6], []]
    assert rows(zoo.children()) == [[1], [], [0, 3], [0, 5], [6], [], [], [8], [], [2, 7]]


def test_ancestors_are_nearest_first_in_the_order_of_the_parents(zoo):
    assert zoo.ancestors("puppy").tolist() == [0, 2, 3, 9]
    assert rows(zoo.ancestors(["dog", "stuff"])) == [[2, 3, 9], []]
    swapped = Hierarchy(["dog", "animal", "pet", "thing"], [[2, 1], [3], [1], []])
    assert swapped.ancestors("dog").tolist() == [2, 1, 3]


def test_descendants_are_ascending(zoo):
    assert zoo.descendants("animal").tolist() == [0, 1, 3, 5]
    assert rows(zoo.descendants(["pet", "rose"])) == [[0, 1, 5], []]


def test_closure_matrix_has_a_column_for_each_ancestor(zoo):
    matrix = zoo.closure_matrix()
    assert matrix.dtype == bool
    assert matrix.shape == (10, 10)
    assert [matrix[[i]].nonzero()[1].tolist() for i in (1, 4, 5)] == [[0, 2, 3, 9], [], [2, 3, 9]]
    with_self = zoo.closure_matrix(include_self=True)
    assert with_self.dtype == bool
    assert with_self[[4]].nonzero()[1].tolist() == [4]
    assert with_self.nnz == matrix.nnz + 10


def test_topological_order_has_parents_first(zoo):
    assert zoo.topological_order.tolist() == [4, 9, 2, 6, 7, 3, 8, 0, 5, 1]


def test_depth_is_shortest_or_longest(zoo):
    assert zoo.depth().tolist() == [2, 3, 1, 2, 0, 3, 1, 1, 2, 0]
    assert zoo.depth(longest=True).tolist() == [3, 4, 1, 2, 0, 3, 1, 1, 2, 0]
    assert zoo.depth("puppy") == 3
    assert zoo.depth(["puppy", "thing"], longest=True).tolist() == [4, 0]


def test_is_ancestor_for_one_pair_and_broadcast(zoo):
    assert zoo.is_ancestor("pet", "puppy") is True
    assert zoo.is_ancestor("puppy", "pet") is False
    assert zoo.is_ancestor("pet", "pet") is False
    assert zoo.is_ancestor("pet", ["dog", "cat", "rose", "pet"]).tolist() == [True, True, False, False]
    assert zoo.is_ancestor(["animal", "plant"], ["dog", "dog"]).tolist() == [True, False]


def test_path_to_root_follows_the_main_parent(zoo):
    assert zoo.path_to_root("puppy").tolist() == [1, 0, 2, 9]
    assert rows(zoo.path_to_root(["cat", "thing", "water"])) == [[5, 3, 2, 9], [9], [6, 4]]
    assert rows(zoo.path_to_root([])) == []


def test_most_specific_drops_ancestors_and_repetitions(zoo):
    assert zoo.most_specific(["thing", "rose", "dog", "animal", "rose", "water"]).tolist() == [8, 0, 6]
    assert zoo.most_specific([]).tolist() == []
    assert zoo.most_specific(["animal"]).tolist() == [2]


def test_find_gives_exact_then_prefix_then_substring_matches():
    h = Hierarchy(
        ["k0", "k1", "k2", "k3", "k4"],
        [[]] * 5,
        [["warship"], ["shipping"], ["Ship"], ["vessel", "ship"], ["boat"]],
    )
    assert [c.index for c in h.find(" SHIP ")] == [2, 3, 1, 0]
    assert [c.index for c in h.find("ship", limit=2)] == [2, 3]
    assert [c.index for c in h.find("vessel, ship")] == [3]
    assert [c.index for c in h.find("K4")] == [4]
    assert h.find("xyz") == []
    assert h.find("  ") == []


def test_statistics_of_the_ten_nodes(zoo):
    assert zoo.statistics() == {
        "categories": 10,
        "edges": 9,
        "roots": 2,
        "leaves": 4,
        "inner": 6,
        "categories_with_several_parents": 1,
        "max_depth": 4,
        "mean_depth": 1.5,
        "mean_longest_depth": 1.7,
        "mean_ancestors": 1.7,
        "max_children": 2,
        "surplus_names": 0,
    }


# Identity -------------------------------------------------------------------------------------------------------------


def test_fingerprint_depends_on_keys_and_parents_and_not_on_names(zoo):
    # printf 'a\t\nb\t0\nc\t1,0\n' | sha256sum
    h = Hierarchy(["a", "b", "c"], [[], [0], [1, 0]], [["x"], [], []])
    assert h.fingerprint == "a72e60b0e54e47d5edbbfee3fe2e450ef8ede3f5d69a740651c7b07b1c0a7076"
    assert Hierarchy(["a", "b", "c"], [[], [0], [1, 0]]).fingerprint == h.fingerprint
    assert Hierarchy(["a", "b", "c"], [[], [0], [0, 1]]).fingerprint != h.fingerprint
    assert Hierarchy(["a", "b", "d"], [[], [0], [1, 0]]).fingerprint != h.fingerprint


def test_equality_compares_keys_parents_and_names(zoo):
    same = Hierarchy(zoo.keys, zoo.parents(), zoo.names)
    assert zoo == same
    assert hash(zoo) == hash(same)
    assert zoo != Hierarchy(zoo.keys, zoo.parents())
    assert zoo != "zoo"


@pytest.mark.parametrize("duplicate", [lambda h: pickle.loads(pickle.dumps(h)), copy.copy, copy.deepcopy])
def test_copies_are_equal_and_as_immutable(zoo, duplicate):
    zoo.closure  # noqa: B018  # what is cached is not copied
    other = duplicate(zoo)
    assert other == zoo
    assert other.ancestors("puppy").tolist() == [0, 2, 3, 9]
    with pytest.raises(ValueError, match="read-only"):
        other.parents().indices[0] = 1


def test_threads_agree_on_what_is_computed_once(zoo):
    def ask(h: Hierarchy) -> tuple[list[int], str, list[int]]:
        return h.closure.indices.tolist(), h.fingerprint, h.depth().tolist()

    for _ in range(20):
        fresh = copy.copy(zoo)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, [fresh] * 16))
        assert answers == [ask(zoo)] * 16


def test_repr_counts_and_names_the_roots(zoo):
    assert repr(zoo) == "<Hierarchy: 10 categories, 4 leaves, 2 roots (Stuff, Thing)>"
