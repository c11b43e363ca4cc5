"""The published dictionary: a header, then one tab-separated line per category.

==========  =====================================================
column      content
==========  =====================================================
index       the category's index, counting up from 0
id          its key, a WordNet id
parent      the index of its parent, -1 for a root
name        its names, joined by ``", "``
==========  =====================================================
"""

from __future__ import annotations

import os
from pathlib import Path

from mlimages.errors import CycleError, FormatError, HierarchyError
from mlimages.hierarchy.csr import CSR
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.relations import Relations
from mlimages.hierarchy.text import decode_utf8

HEADER = ("category_index", "category_id", "index_of_parent_category", "category name")
_FIX = "is it another file? Hierarchy.to_dictionary writes this format"


def read_dictionary(path: str | os.PathLike[str]) -> Definition:
    """Read a published dictionary.

    Raises
    ------
    FormatError
        For an empty file, a missing header, CRLF line ends, invalid UTF-8, a wrong number of columns, an index out of
        order, a duplicate key, an unknown parent or a cycle; the message names the file and the line.
    """
    lines = _lines(path)
    keys: list[str] = []
    names: list[tuple[str, ...]] = []
    parents: list[int] = []
    line_of: dict[str, int] = {}
    count = len(lines) - 1
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != len(HEADER):
            raise FormatError(
                f"found {len(fields)} tab-separated columns, expected {len(HEADER)} ({', '.join(HEADER)})",
                path=path,
                line=number,
            )
        index, key, parent, name = fields
        if _integer(index, path=path, line=number, column=HEADER[0]) != number - 2:
            raise FormatError(
                f"found the index {index}, expected {number - 2}: indices count up from 0", path=path, line=number
            )
        if not key:
            raise FormatError(f"found an empty {HEADER[1]}, expected a key such as n02084071", path=path, line=number)
        if line_of.setdefault(key, number) != number:
            raise FormatError(
                f"duplicate key {key!r}, first on line {line_of[key]}: a key identifies one category",
                path=path,
                line=number,
            )
        above = _integer(parent, path=path, line=number, column=HEADER[2])
        if not -1 <= above < count:
            raise FormatError(f"unknown parent {above}: expected -1 (a root) to {count - 1}", path=path, line=number)
        keys.append(key)
        parents.append(above)
        names.append(_names(name))
    try:
        return Definition.checked(keys, CSR.from_rows([[] if above < 0 else [above] for above in parents]), names)
    except CycleError as error:
        raise FormatError(str(error), path=path, line=min(error.indices) + 2) from None
    except HierarchyError as error:
        raise FormatError(str(error), path=path) from None


def write_dictionary(hierarchy: Relations, path: str | os.PathLike[str]) -> None:
    """Write a hierarchy as a published dictionary, UTF-8 with LF line ends.

    Raises
    ------
    HierarchyError
        If the format cannot represent it: a category with several parents, a name with a tab, line end or ``", "``.
    """
    rows = ["\t".join(HEADER)]
    for category, above in zip(hierarchy, hierarchy.parents(), strict=True):
        if len(above) > 1:
            raise HierarchyError(
                f"category {category.index} ({category.key}) has {len(above)} parents, and the dictionary format holds "
                "one: write Parquet with to_parquet instead"
            )
        name = ", ".join(category.names)
        if any(mark in name for mark in "\t\n\r") or _names(name) != category.names:
            raise HierarchyError(
                f"category {category.index} ({category.key}) has names that the dictionary format cannot hold "
                f"({category.names!r}: a tab, a line end, a comma before a space or an empty name): "
                "write Parquet with to_parquet instead"
            )
        rows.append(f"{category.index}\t{category.key}\t{above[0] if len(above) else -1}\t{name}")
    Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


def _lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of the file without line ends, after the checks of the file as a whole."""
    data = Path(path).read_bytes()
    if not data:
        raise FormatError(
            f"the file is empty, expected a header ({', '.join(HEADER)}) and one line a category", path=path
        )
    carriage = data.find(b"\r")
    if carriage >= 0:
        line = data.count(b"\n", 0, carriage) + 1
        raise FormatError(
            "found a carriage return, expected LF line ends: convert the file with dos2unix", path=path, line=line
        )
    text = decode_utf8(data, path=path)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if tuple(lines[0].split("\t")) != HEADER:
        raise FormatError(
            f"found the header {lines[0][:80]!r}, expected {'<tab>'.join(HEADER)}: {_FIX}", path=path, line=1
        )
    if len(lines) == 1:
        raise FormatError("found a header and no category, expected one line a category", path=path, line=1)
    return lines


def _integer(text: str, *, path: str | os.PathLike[str], line: int, column: str) -> int:
    digits = text.removeprefix("-")
    # canonical integers only (no 007, no -0), so that writing reproduces the file byte for byte
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or str(int(text)) != text:
        raise FormatError(f"found {text[:40]!r} as {column}, expected an integer", path=path, line=line)
    return int(text)
