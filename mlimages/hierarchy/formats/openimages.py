"""The hierarchy of Open Images: a JSON tree of labels, related as kinds or as parts.

The file nests objects with three members::

    {"LabelName": "/m/0bl9f",                         the label; this one, "Entity", is the root of all
     "Subcategory": [{"LabelName": "/m/0jbk"}, ...],  kinds of it
     "Part": [{"LabelName": "/m/0k0pj"}, ...]}        parts of it

A label may occur in several places, under different parents or the same one: it becomes one category with all of these
parents. TensorFlow Models expands box labels along ``Subcategory`` only (``oid_hierarchical_labels_expansion.py``), and
so does this module by default: a nose is not a kind of face.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlimages.errors import FormatError, HierarchyError
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.text import read_utf8

ENTITY = "/m/0bl9f"  # the root, which has no entry among the class descriptions
_RELATIONS = ("Subcategory", "Part")
_HEADER = ["LabelName", "DisplayName"]
_Names = Mapping[str, str | Sequence[str]]


def read_open_images(
    path: str | os.PathLike[str], *, names: str | os.PathLike[str] | _Names | None = None, parts: bool = False
) -> Definition:
    """Read the hierarchy file of Open Images, such as ``bbox_labels_600_hierarchy.json``.

    Indices follow the first occurrence of each label, from top to bottom.

    Parameters
    ----------
    path : path-like
        The JSON file.
    names : path-like or mapping, optional
        Display names: a class descriptions CSV (see :func:`read_class_descriptions`), or a mapping of labels to a
        name or names. Labels not in it have no name, except the root, ``Entity``.
    parts : bool
        Make a whole a parent of its parts. By default it is not: a label that occurs only as a part becomes a root,
        so that no label of the file is lost.

    Raises
    ------
    FormatError
        For invalid UTF-8 or JSON (with the line), JSON nested too deeply to parse, an object of the wrong shape (with
        its place in the tree), a label that is its own ancestor (with the cycle), and for an invalid CSV.
    """
    tree = _read_json(path)
    parents: dict[str, dict[str, None]] = {}  # label to an ordered set of its parents
    for place, label, parent, is_part in _walk(tree, path):
        above = parents.setdefault(label, {})
        if parent is not None and (parts or not is_part):
            if parent == label:
                raise FormatError(f"{_shown(place)}: the label {label!r} stands directly below itself", path=path)
            above[parent] = None
    index = {label: i for i, label in enumerate(parents)}
    found: _Names = {}
    if isinstance(names, Mapping):
        found = names
    elif names is not None:
        found = read_class_descriptions(names)
    shown = {ENTITY: "Entity", **found}
    try:
        return Definition.checked(
            list(parents),
            [[index[parent] for parent in above] for above in parents.values()],
            [shown.get(label, ()) for label in parents],
        )
    except HierarchyError as error:
        raise FormatError(str(error), path=path) from None


def read_class_descriptions(path: str | os.PathLike[str]) -> dict[str, str]:
    """Display names of Open Images labels, from a CSV such as ``class-descriptions-boxable.csv``.

    Two columns, label and display name; the header ``LabelName,DisplayName`` is optional.

    Raises
    ------
    FormatError
        For invalid UTF-8, a row without exactly two columns, an empty label, a label with two different names.
    """
    found: dict[str, str] = {}
    rows = csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True)
    try:
        for row in rows:
            if not row or (rows.line_num == 1 and row == _HEADER):
                continue
            if len(row) != 2 or not row[0]:
                raise FormatError(
                    f"found {','.join(row)[:80]!r}, expected a label and its display name (/m/0bt9lr,Dog)",
                    path=path,
                    line=rows.line_num,
                )
            if found.setdefault(row[0], row[1]) != row[1]:
                raise FormatError(
                    f"the label {row[0]!r} has a second name {row[1]!r}, first {found[row[0]]!r}",
                    path=path,
                    line=rows.line_num,
                )
    except csv.Error as error:
        raise FormatError(f"no CSV ({error})", path=path, line=rows.line_num) from None
    return found


def _read_json(path: str | os.PathLike[str]) -> Any:
    text = read_utf8(path)
    if not text.strip():
        raise FormatError("the file is empty, expected the JSON tree of Open Images", path=path)
    try:
        return json.loads(text, parse_int=float)  # int() refuses thousands of digits with an error of its own
    except RecursionError:
        raise FormatError(
            "the JSON is nested too deeply to parse, expected a tree of labels of a few dozen levels",
            path=path,
        ) from None
    except json.JSONDecodeError as error:
        raise FormatError(f"invalid JSON, column {error.colno}: {error.msg}", path=path, line=error.lineno) from None


_Place = tuple[Any, ...]  # (place of the parent, member, position in it); () for the root


def _walk(tree: Any, path: str | os.PathLike[str]) -> Iterator[tuple[_Place, str, str | None, bool]]:
    """Every object of the tree from top to bottom: place, label, label of its parent, and whether it is a part."""
    stack: list[tuple[_Place, Any, str | None]] = [((), tree, None)]
    while stack:
        place, node, parent = stack.pop()
        if not isinstance(node, dict):
            raise FormatError(f"{_shown(place)}: found {_kind(node)}, expected an object with a LabelName", path=path)
        label = node.get("LabelName")
        if not isinstance(label, str) or not label:
            found = "none" if label is None else repr(label)[:80]
            raise FormatError(f"{_shown(place)}.LabelName: found {found}, expected a label as /m/0bt9lr", path=path)
        yield place, label, parent, bool(place) and place[1] == "Part"
        for relation in reversed(_RELATIONS):
            below = node.get(relation, [])
            if not isinstance(below, list):
                raise FormatError(f"{_shown(place)}.{relation}: found {_kind(below)}, expected a list", path=path)
            stack.extend(((place, relation, i), below[i], label) for i in reversed(range(len(below))))


def _shown(place: _Place) -> str:
    """A place as ``$.Subcategory[3].Part[0]``, abbreviated to its last six steps."""
    steps: list[str] = []
    while place and len(steps) < 6:
        above, relation, position = place
        steps.append(f".{relation}[{position}]")
        place = above
    return ("$..." if place else "$") + "".join(reversed(steps))


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
