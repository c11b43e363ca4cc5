"""Convert reStructuredText roles and tables of docstrings to the Markdown of the site.

An extension of Griffe, which reads the docstrings for mkdocstrings (``extensions:`` in mkdocs.yml). A role becomes a
link if the site shows its target, else plain code; an unknown target is a warning, an error in the strict build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import griffe

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(?:(?P<text>[^`<]+) <)?(?P<target>~?[\w.]+)>?`")
_RULE = re.compile(r"=+(?:  ?=+)+ *")
#: A non-breaking hyphen: "path-like" is parsed as an expression otherwise.
_HYPHEN = "\N{NON-BREAKING HYPHEN}"

logger = griffe.get_logger("docstrings")


class Markdown(griffe.Extension):
    """Rewrite every docstring of a package once all of it is loaded."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: object) -> None:
        """Called by Griffe."""
        for each in _objects(pkg):
            if each.docstring is not None:
                text = _tables(each.docstring.value).replace("path-like", f"path{_HYPHEN}like")
                each.docstring.value = _ROLE.sub(lambda match, each=each: _link(match, each, loader), text)


def _objects(of: griffe.Object) -> Iterator[griffe.Object]:
    yield of
    for member in of.members.values():
        if isinstance(member, griffe.Object):
            yield from _objects(member)


def _link(match: re.Match[str], inside: griffe.Object, loader: griffe.GriffeLoader) -> str:
    target = match["target"]
    name = match["text"] or (target.rpartition(".")[2] if target.startswith("~") else target)
    path = _path(target.lstrip("~"), inside, loader)
    if path is None:
        if target.lstrip("~").partition(".")[0] == inside.package.name or "." not in target:
            logger.warning("%s: %s names nothing", inside.path, match[0])
        return f"`{name}`"
    name = " ".join(name.split())  # it may go over the end of a line
    return f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'


def _path(name: str, inside: griffe.Object, loader: griffe.GriffeLoader) -> str | None:
    """The path where a name is defined, resolved from a docstring or from the root."""
    for whole in (_resolved(name, inside), name):
        try:
            found = loader.modules_collection[whole] if whole else None
            if found is not None:
                return found.final_target.path if isinstance(found, griffe.Alias) else found.path
        except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            continue
    return None


def _resolved(name: str, inside: griffe.Object) -> str | None:
    first, dot, rest = name.partition(".")
    if not isinstance(inside, griffe.Class) and isinstance(inside.parent, griffe.Class):
        inside = inside.parent
    if isinstance(inside, griffe.Class) and first in inside.inherited_members:
        return inside.inherited_members[first].final_target.path + dot + rest
    try:
        return inside.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        return None


def _tables(text: str) -> str:
    """Convert simple tables, whose columns start at those of their ``=`` rules, to Markdown."""
    lines, out = text.split("\n"), []
    while lines:
        line = lines.pop(0)
        if not _RULE.fullmatch(line):
            out.append(line)
            continue
        table = lines[: lines.index(line)]
        del lines[: len(table) + 1]
        starts = [match.start() for match in re.finditer("=+", line)]
        head: list[list[str]] = [[""] * len(starts)]  # there may be none
        if lines and lines[0].strip():
            head, table = _rows(table, starts), lines[: lines.index(line)]
            del lines[: len(table) + 1]
        rows = ["| " + " | ".join(row) + " |" for row in [*head, *_rows(table, starts)]]
        out += [rows[0], "|" + "---|" * len(starts), *rows[1:]]
    return "\n".join(out)


def _rows(lines: list[str], starts: list[int]) -> list[list[str]]:
    """The cells of a part of a table. A row continues after a first cell ending in a comma, or above an empty one."""
    rows: list[list[str]] = []
    for line in lines:
        cells = [line[start:stop].strip() for start, stop in zip(starts, [*starts[1:], None], strict=True)]
        if rows and (not cells[0] or rows[-1][0].endswith(",")):
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    return rows
