"""The Open Images hierarchy file and its class descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy
from mlimages.errors import FormatError
from mlimages.hierarchy.formats.openimages import read_class_descriptions, read_open_images

TREE = """{
  "LabelName": "/m/0bl9f",
  "Subcategory": [
    {"LabelName": "/m/animal", "Subcategory": [
      {"LabelName": "/m/bird", "Part": [{"LabelName": "/m/beak"}]},
      {"LabelName": "/m/duck"}
    ]},
    {"LabelName": "/m/toy", "Subcategory": [{"LabelName": "/m/duck"}]},
    {"LabelName": "/m/lone"}
  ]
}
"""
GARBAGE = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "tree.json"
    path.write_text(TREE)
    return path


def edges(h: Hierarchy) -> dict[str, list[str]]:
    return {key: [h.keys[i] for i in above] for key, above in zip(h.keys, h.parents(), strict=True)}


def test_subcategories_become_edges_and_a_label_at_two_places_has_two_parents(path):
    h = Hierarchy.from_open_images(path)
    assert edges(h) == {
        "/m/0bl9f": [],
        "/m/animal": ["/m/0bl9f"],
        "/m/bird": ["/m/animal"],
        "/m/beak": [],  # only ever a part: a root of its own
        "/m/duck": ["/m/animal", "/m/toy"],
        "/m/toy": ["/m/0bl9f"],
        "/m/lone": ["/m/0bl9f"],
    }
    assert h["/m/0bl9f"].names == ("Entity",)
    assert h["/m/duck"].names == ()


def test_parts_become_edges_where_asked_for(path):
    assert edges(Hierarchy.from_open_images(path, parts=True))["/m/beak"] == ["/m/bird"]
    assert edges(Hierarchy.from_open_images(path))["/m/beak"] == []


def test_part_below_a_part_keeps_its_kinds(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(
        '{"LabelName": "car", "Part": [{"LabelName": "wheel", "Subcategory": [{"LabelName": "spare wheel"}]}]}'
    )
    assert edges(Hierarchy.from_open_images(path)) == {"car": [], "wheel": [], "spare wheel": ["wheel"]}


def test_label_repeated_below_the_same_parent_is_one_edge(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"LabelName": "a", "Subcategory": [{"LabelName": "b"}], "Part": [{"LabelName": "b"}]}')
    assert edges(Hierarchy.from_open_images(path, parts=True)) == {"a": [], "b": ["a"]}


@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\n", "\ufeffLabelName,DisplayName\r\n"])
def test_names_come_from_class_descriptions(path, tmp_path, header):
    names = tmp_path / "names.csv"
    names.write_text(header + '/m/duck,Duck\n/m/toy,"Toy, plaything"\n/m/unused,Unused\n', newline="")
    h = Hierarchy.from_open_images(path, names=names)
    assert h["/m/duck"].names == ("Duck",)
    assert h["/m/toy"].names == ("Toy, plaything",)
    assert h["/m/0bl9f"].names == ("Entity",)
    assert h["/m/lone"].names == ()


def test_names_come_from_a_mapping(path):
    h = Hierarchy.from_open_images(path, names={"/m/duck": ["Duck", "Drake"], "/m/0bl9f": "Everything"})
    assert h["/m/duck"].names == ("Duck", "Drake")
    assert h["/m/0bl9f"].names == ("Everything",)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", None, "the file is empty, expected the JSON tree of Open Images"),
        (b" \n", None, "the file is empty"),
        (b'{"LabelName": "a",\n"Subcategory": [}\n', 2, "invalid JSON, column 17: Expecting value"),
        (b'{"LabelName": "a"', 1, "invalid JSON, column 18"),
        (b'{"LabelName": "a"}\n}', 2, "invalid JSON, column 1: Extra data"),
        (b'{"LabelName":\n"caf\xe9"}', 2, r"invalid UTF-8 \(byte 0xe9\)"),
        (b"[]", None, r"\$: found a list, expected an object with a LabelName"),
        (b"1" + b"0" * 5000, None, r"\$: found a number, expected an object"),
        (b"null", None, r"\$: found null"),
        (b"{}", None, r"\$\.LabelName: found none, expected a label"),
        (b'{"LabelName": 3}', None, r"\$\.LabelName: found 3.0, expected a label"),
        (b'{"LabelName": ""}', None, r"\$\.LabelName: found '', expected a label"),
        (b'{"LabelName": "a", "Subcategory": {}}', None, r"\$\.Subcategory: found an object, expected a list"),
        (b'{"LabelName": "a", "Part": null}', None, r"\$\.Part: found null, expected a list"),
        (
            b'{"LabelName": "a", "Subcategory": [{"LabelName": "b"}, {"LabelName": "c", "Part": ["d"]}]}',
            None,
            r"\$\.Subcategory\[1\]\.Part\[0\]: found a string, expected an object",
        ),
        (
            b'{"LabelName": "a", "Subcategory": [{"LabelName": "a"}]}',
            None,
            r"\$\.Subcategory\[0\]: the label 'a' stands directly below itself",
        ),
        (
            b'{"LabelName": "a", "Subcategory": [{"LabelName": "b", "Subcategory": [{"LabelName": "a"}]}]}',
            None,
            r"cycle of 2 categories: a -> b -> a \(parent -> child\)",
        ),
        (b'{"LabelName": "a\\tb"}', None, r"category 0 has the key 'a\\tb'"),
        (b'{"LabelName": "\\ud800"}', None, "category 0 has the key"),
    ],
)
def test_bad_json_is_refused_with_file_and_place(path, content, line, message):
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_open_images(path)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_place_deep_in_the_tree_is_shown_by_its_last_steps(path):
    path.write_text('{"LabelName": "a", "Subcategory": [' + _nested(10, "7"))
    with pytest.raises(FormatError, match=r": \$\.\.\.(\.Subcategory\[0\]){6}: found a number, expected an object"):
        read_open_images(path)


def _nested(depth: int, innermost: str) -> str:
    """What closes an object that was opened, with `depth` more inside it."""
    inner = "".join(f'{{"LabelName": "k{i}", "Subcategory": [' for i in range(depth))
    return inner + innermost + "]}" * (depth + 1)


def test_json_nested_too_deeply_is_refused_with_the_file(path):
    path.write_text('{"LabelName": "top", "Subcategory": [' + _nested(99_999, ""))
    with pytest.raises(FormatError, match=rf"^{path}: the JSON is nested too deeply to parse, expected [^\n]*$"):
        read_open_images(path)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"/m/a,A\n/m/b\n", 2, "found '/m/b', expected a label and its display name"),
        (b"/m/a,A,B\n", 1, "found '/m/a,A,B'"),
        (b",A\n", 1, "found ',A'"),
        (b"/m/a,A\n/m/a,B\n", 2, "the label '/m/a' has a second name 'B', first 'A'"),
        (b"/m/a,A\n/m/b,\xff\n", 2, r"invalid UTF-8 \(byte 0xff\)"),
        (b'/m/a,"A\n', 1, "no CSV"),
    ],
)
def test_bad_class_descriptions_are_refused_with_file_and_line(tmp_path, content, line, message):
    path = tmp_path / "names.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_class_descriptions(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_missing_files_are_os_errors(path, tmp_path):
    with pytest.raises(FileNotFoundError):
        read_open_images(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        read_open_images(path, names=tmp_path / "none.csv")


@GARBAGE
@given(st.binary(max_size=100))
def test_garbage_is_a_format_error(tmp_path, data):
    path = tmp_path / "garbage.json"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        read_open_images(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["LabelName", "Subcategory", "Part", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@GARBAGE
@given(JSON)
def test_json_of_any_shape_is_read_or_refused(tmp_path, value):
    path = tmp_path / "shape.json"
    path.write_text(json.dumps(value))
    try:
        h = read_open_images(path, parts=True)
    except FormatError:
        return
    assert len(h) >= 1


@GARBAGE
@given(
    st.lists(
        st.tuples(st.integers(0, len(TREE) - 1), st.integers(0, 3), st.sampled_from([*'{}[]":,\\ a0\n', "null"])),
        min_size=1,
        max_size=3,
    )
)
def test_mutated_tree_is_read_or_refused(tmp_path, mutations):
    path, text = tmp_path / "mutated.json", TREE
    for at, dropped, added in mutations:
        text = text[:at] + added + text[at + dropped :]
    path.write_text(text)
    try:
        h = read_open_images(path)
    except FormatError:
        return
    assert len(h) >= 1
