"""A hierarchy as a table of edges: a CSV or TSV file with the header ``parent,child``, or pairs in memory.

Each line is one edge, both ends named by their keys. A line with an empty parent names a category without giving it a
parent: so categories without any edge, and the order of all, can be written too.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlimages.errors import CycleError, FormatError, HierarchyError
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.text import read_utf8

HEADER = ["parent", "child"]


def read_edges(path: str | os.PathLike[str]) -> Definition:
    """Read a table of edges: tab-separated if the file name ends in ``.tsv``, else comma-separated.

    Indices follow the first occurrence of each key, the parent of a line before its child; the parents of a category
    follow the order of the lines.

    Raises
    ------
    FormatError
        For invalid UTF-8, a missing header, a wrong number of columns, an empty child, a repeated edge or a cycle; the
        message names the file and the line.
    """
    delimiter = "\t" if Path(path).suffix.lower() == ".tsv" else ","
    rows = csv.reader(io.StringIO(read_utf8(path), newline=""), delimiter=delimiter, strict=True)
    keys: dict[str, None] = {}  # an ordered set
    line_of: dict[tuple[str, str], int] = {}
    try:
        if next(rows, None) != HEADER:
            raise FormatError(f"found no header, expected {delimiter.join(HEADER)!r}", path=path, line=1)
        for row in rows:
            line = rows.line_num
            if len(row) != 2 or not row[1]:
                raise FormatError(
                    f"found {delimiter.join(row)[:80]!r}, expected the key of a parent (empty for none) and of a child",
                    path=path,
                    line=line,
                )
            parent, child = row
            keys.update(dict.fromkeys((parent, child) if parent else (child,)))
            if parent and line_of.setdefault((parent, child), line) != line:
                raise FormatError(
                    f"the edge {parent!r} -> {child!r} stands twice, first on line {line_of[parent, child]}",
                    path=path,
                    line=line,
                )
    except csv.Error as error:
        raise FormatError(f"no valid table ({error})", path=path, line=rows.line_num) from None
    if not keys:
        raise FormatError("found a header and no edge, expected one edge a line", path=path, line=1)
    try:
        return from_edges(line_of, keys=keys)
    except CycleError as error:
        names = list(keys)
        cycle = [names[i] for i in error.indices]
        edges = zip(cycle, cycle[1:] + cycle[:1], strict=True)
        raise FormatError(str(error), path=path, line=min(line_of[edge] for edge in edges)) from None
    except HierarchyError as error:
        raise FormatError(str(error), path=path) from None


def from_edges(
    pairs: Iterable[tuple[str, str]], *, keys: Iterable[str] = (), names: Mapping[str, Sequence[str]] | None = None
) -> Definition:
    """Build from pairs of keys, parent and child; see :meth:`Hierarchy.from_edges`.

    Raises
    ------
    HierarchyError
        For an edge that is not a pair of strings, a repeated edge or key, and for what :class:`~mlimages.Hierarchy`
        refuses.
    """
    index: dict[str, int] = {}
    for place, key in enumerate(keys):
        if not isinstance(key, str):
            raise HierarchyError(f"found the key {key!r}, expected a string")
        if index.setdefault(key, place) != place:
            raise HierarchyError(f"duplicate key {key!r}: a key identifies one category")
    parents: list[dict[int, None]] = [{} for _ in index]  # ordered sets
    for pair in pairs:
        parent, child = _edge(pair)
        for key in (parent, child):
            if index.setdefault(key, len(index)) == len(parents):
                parents.append({})
        above = parents[index[child]]
        if index[parent] in above:
            raise HierarchyError(f"the edge {parent!r} -> {child!r} appears twice")
        above[index[parent]] = None
    given = names or {}
    return Definition.checked(list(index), [list(above) for above in parents], [given.get(key, ()) for key in index])


def _edge(pair: Any) -> tuple[str, str]:
    try:
        parent, child = pair
    except (TypeError, ValueError):
        parent = child = None
    if isinstance(pair, str) or not isinstance(parent, str) or not isinstance(child, str):
        raise HierarchyError(f"found the edge {pair!r}, expected a (parent, child) pair of string keys")
    return parent, child
