"""The published four-column dictionary: read, written, and refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy
from mlimages.errors import FormatError, HierarchyError

HEADER = "category_index\tcategory_id\tindex_of_parent_category\tcategory name\n"
GOOD = HEADER + "0\tn1\t-1\tthing\n1\tn2\t2\tdog, domestic dog\n2\tn3\t0\tanimal\n3\tn4\t-1\t\n"
GARBAGE = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "d.txt"


def test_dictionary_is_read(path):
    path.write_text(GOOD)
    h = Hierarchy.from_dictionary(str(path))
    assert h.keys == ("n1", "n2", "n3", "n4")
    assert h.names == (("thing",), ("dog", "domestic dog"), ("animal",), ())
    assert [row.tolist() for row in h.parents()] == [[], [2], [0], []]


def test_dictionary_comes_back_byte_for_byte(path, tmp_path):
    path.write_text(GOOD)
    Hierarchy.from_dictionary(path).to_dictionary(tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_bytes() == GOOD.encode()


def test_missing_last_line_end_is_accepted(path):
    path.write_text(GOOD.rstrip("\n"))
    assert len(Hierarchy.from_dictionary(path)) == 4


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", None, "the file is empty, expected a header"),
        (HEADER, 1, "found a header and no category"),
        ("0\tn1\t-1\tthing\n", 1, r"found the header '0\\tn1\\t-1\\tthing', expected category_index<tab>category_id"),
        ("\ufeff" + GOOD, 1, "found the header"),
        (GOOD.replace("\n", "\r\n"), 1, "found a carriage return, expected LF line ends: convert the file"),
        (GOOD + "4\tn5\t0\tx\r\n", 6, "found a carriage return"),
        (HEADER + "0\tn1\t-1\n", 2, "found 3 tab-separated columns, expected 4"),
        (HEADER + "0\tn1\t-1\ta\tb\n", 2, "found 5 tab-separated columns, expected 4"),
        (GOOD + "\n", 6, "found 1 tab-separated columns, expected 4"),
        (HEADER + "0\tn1\tx\ta\n", 2, "found 'x' as index_of_parent_category, expected an integer"),
        (HEADER + "0.0\tn1\t-1\ta\n", 2, "found '0.0' as category_index, expected an integer"),
        (HEADER + "00\tn1\t-1\ta\n", 2, "found '00' as category_index, expected an integer"),
        (HEADER + "0\tn1\t-0\ta\n", 2, "found '-0' as index_of_parent_category"),
        (HEADER + "\u0660\tn1\t-1\ta\n", 2, "as category_index, expected an integer"),
        (HEADER + "0\tn1\t" + "9" * 5000 + "\ta\n", 2, "as index_of_parent_category, expected an integer"),
        (HEADER + "1\tn1\t-1\ta\n", 2, "found the index 1, expected 0: indices count up from 0"),
        (HEADER + "0\tn1\t-1\ta\n2\tn2\t0\tb\n", 3, "found the index 2, expected 1"),
        (HEADER + "0\tn1\t-1\ta\n1\tn1\t0\tb\n", 3, "duplicate key 'n1', first on line 2"),
        (HEADER + "0\t\t-1\ta\n", 2, "found an empty category_id, expected a key such as n02084071"),
        (HEADER + "0\tn1\t-1\ta\n1\tn2\t2\tb\n", 3, r"unknown parent 2: expected -1 \(a root\) to 1"),
        (HEADER + "0\tn1\t-2\ta\n", 2, "unknown parent -2"),
        (HEADER + "0\tn1\t0\ta\n", 2, r"cycle of 1 category: n1 -> n1"),
        (
            HEADER + "0\tn1\t-1\ta\n1\tn2\t3\tb\n2\tn3\t1\tc\n3\tn4\t2\td\n",
            3,
            r"cycle of 3 categories: n2 -> n3 -> n4 -> n2 \(parent -> child\)",
        ),
    ],
)
def test_bad_dictionary_is_refused_with_file_and_line(path, content, line, message):
    path.write_bytes(content.encode())
    with pytest.raises(FormatError, match=message) as caught:
        Hierarchy.from_dictionary(path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_invalid_utf8_is_refused_with_file_and_line(path):
    path.write_bytes(GOOD.encode() + b"4\tn5\t0\tcaf\xe9\n")
    with pytest.raises(FormatError, match=rf"^{path}:6: invalid UTF-8 \(byte 0xe9\), expected UTF-8 text$"):
        Hierarchy.from_dictionary(path)


def test_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        Hierarchy.from_dictionary(path)
    with pytest.raises(IsADirectoryError):
        Hierarchy.from_dictionary(path.parent)


@pytest.mark.parametrize(
    ("keys", "parents", "names", "message"),
    [
        (["a", "b", "c"], [[], [], [0, 1]], None, r"category 2 \(c\) has 2 parents.*write Parquet with to_parquet"),
        (["a"], [[]], [["salt, pepper"]], r"category 0 \(a\) has names that the dictionary format cannot hold"),
        (["a"], [[]], [["x\ty"]], "cannot hold"),
        (["a"], [[]], [["x\ny"]], "cannot hold"),
        (["a"], [[]], [[""]], "cannot hold"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_and_not_written(path, keys, parents, names, message):
    h = Hierarchy(keys, parents, names)
    with pytest.raises(HierarchyError, match=message):
        h.to_dictionary(path)
    assert not path.exists()


@GARBAGE
@given(st.binary(max_size=200))
def test_garbage_is_a_format_error(tmp_path, data):
    path = tmp_path / "garbage.txt"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        Hierarchy.from_dictionary(path)


@GARBAGE
@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 3), st.sampled_from([*"\t\n\r-0123n, ", "\x00", "é"])),
        min_size=1,
        max_size=4,
    )
)
def test_mutated_dictionary_is_read_or_refused(tmp_path, mutations):
    path, text = tmp_path / "mutated.txt", GOOD
    for at, dropped, added in mutations:
        text = text[:at] + added + text[at + dropped :]
    path.write_bytes(text.encode())
    try:
        h = Hierarchy.from_dictionary(path)
    except FormatError:
        return
    h.to_dictionary(tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_bytes() == text.removesuffix("\n").encode() + b"\n"
