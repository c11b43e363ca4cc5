"""Hierarchies from tables of edges, and from pairs of keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlimages import Hierarchy
from mlimages.errors import CycleError, FormatError, HierarchyError
from mlimages.hierarchy.formats.edges import read_edges

# Files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "edges.csv"


@pytest.mark.parametrize(("ending", "tab"), [(".csv", ","), (".tsv", "\t"), (".TSV", "\t")])
def test_edges_are_read_with_lone_categories(tmp_path, ending, tab):
    path = tmp_path / f"edges{ending}"
    path.write_text("parent,child\n,lone\nanimal,dog\npet,dog\nanimal,pet\n".replace(",", tab))
    h = Hierarchy.from_definition(read_edges(path))
    assert h.keys == ("lone", "animal", "dog", "pet")
    assert [row.tolist() for row in h.parents()] == [[], [], [1, 3], [1]]


def test_quoted_keys_mark_and_windows_line_ends_are_read(path):
    path.write_bytes(b'\xef\xbb\xbfparent,child\r\n"a, b",c\r\n')
    assert read_edges(path).keys == ("a, b", "c")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "found no header, expected 'parent,child'"),
        (b"a,b\n", 1, "found no header"),
        (b"parent,child\n", 1, "found a header and no edge"),
        (b"parent,child\na,b,c\n", 2, "found 'a,b,c', expected the key of a parent"),
        (b"parent,child\na,b\n\n", 3, "found '', expected"),
        (b"parent,child\na,\n", 2, "found 'a,', expected"),
        (b"parent,child\na,b\nc,d\na,b\n", 4, "the edge 'a' -> 'b' stands twice, first on line 2"),
        (b"parent,child\nx,a\na,b\nb,c\nc,a\n", 3, r"cycle of 3 categories: a -> b -> c -> a \(parent -> child\)"),
        (b"parent,child\na,b\xff\n", 2, "invalid UTF-8"),
        (b'parent,child\na,"b\n', 2, "no valid table"),
        (b'parent,child\na,"b\tc"\n', None, "no tab, line end or lone surrogate is allowed"),
    ],
)
def test_bad_edges_are_refused_with_file_and_line(path, content, line, message):
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_edges(path)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


# Pairs ---------------------------------------------------------------------------------------------------------------


def test_pairs_number_categories_by_first_appearance():
    h = Hierarchy.from_edges([("animal", "dog"), ("pet", "dog"), ("animal", "pet")])
    assert h.keys == ("animal", "dog", "pet")
    assert [row.tolist() for row in h.parents()] == [[], [0, 2], [0]]


def test_pairs_number_categories_by_the_given_keys_first():
    h = Hierarchy.from_edges([("a", "b")], keys=["lone", "b"], names={"b": ["B", "bee"], "a": "A", "unused": ["U"]})
    assert h.keys == ("lone", "b", "a")
    assert h.names == ((), ("B", "bee"), ("A",))
    assert [row.tolist() for row in h.parents()] == [[], [2], []]


def test_pairs_may_be_an_iterator_of_lists_or_arrays():
    assert Hierarchy.from_edges(iter([["a", "b"], np.array(["b", "c"])])).keys == ("a", "b", "c")
    assert len(Hierarchy.from_edges([])) == 0


@pytest.mark.parametrize(
    ("pairs", "keys", "error", "message"),
    [
        ([("a", "b"), ("a", "b")], (), HierarchyError, "the edge 'a' -> 'b' appears twice"),
        ([("a", "b"), ("b", "a")], (), CycleError, "cycle of 2 categories: a -> b -> a"),
        ([("a", "a")], (), CycleError, "cycle of 1 category: a -> a"),
        (["ab"], (), HierarchyError, "found the edge 'ab', expected"),
        ([("a",)], (), HierarchyError, r"found the edge \('a',\), expected a \(parent, child\) pair of string keys"),
        ([("a", 1)], (), HierarchyError, "found the edge"),
        ([("a", ["b"])], (), HierarchyError, "found the edge"),
        ([None], (), HierarchyError, "found the edge None"),
        ([("", "b")], (), HierarchyError, "category 0 has the key ''"),
        ([], ["a", "a"], HierarchyError, "duplicate key 'a'"),
        ([], [["a"]], HierarchyError, r"found the key \['a'\], expected a string"),
    ],
)
def test_bad_pairs_are_refused(pairs, keys, error, message):
    with pytest.raises(error, match=message):
        Hierarchy.from_edges(pairs, keys=keys)
