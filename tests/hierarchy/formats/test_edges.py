"""Tables of edges, and the text files below them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlimages.errors import FormatError
from mlimages.hierarchy.formats.edges import read_edges
from mlimages.hierarchy.text import read_lines
from mlimages.hierarchy.wordnet.synsets import read_synset_ids


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "edges.csv"


@pytest.mark.parametrize(("ending", "tab"), [(".csv", ","), (".tsv", "\t"), (".TSV", "\t")])
def test_edges_are_read_with_lone_categories(tmp_path, ending, tab):
    path = tmp_path / f"edges{ending}"
    path.write_text("parent,child\n,lone\nanimal,dog\npet,dog\nanimal,pet\n".replace(",", tab))
    h = read_edges(path)
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


def test_lines_keep_their_numbers_without_blank_ones():
    assert read_lines(b"\xef\xbb\xbfa\r\n\n  b \n", path="f") == [(1, "a"), (3, "b")]
    with pytest.raises(FormatError, match=r"^f: the file is empty, expected one entry a line$"):
        read_lines(b"\n \n", path="f")


def test_synset_ids_are_read_in_order():
    assert read_synset_ids(b"n02084071\n\nn00015388\n", path="f") == ["n02084071", "n00015388"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"n02084071\nn99999999\n", "^f:2: unknown synset id 'n99999999': expected a noun of WordNet 3.0"),
        (b"dog\n", "^f:1: unknown synset id 'dog'"),
        (b"n00015388\n\nn00015388\n", "^f:3: duplicate synset id 'n00015388', first on line 1$"),
        (b"n00015388\nn00001740\n", "^f:2: 'n00001740' is not among the keys to build from"),
        (b"n00015388\n\xff\n", "^f:2: invalid UTF-8"),
    ],
)
def test_bad_synset_ids_are_refused_with_file_and_line(content, message):
    with pytest.raises(FormatError, match=message):
        read_synset_ids(content, path="f", among={"n00015388", "n02084071"})
