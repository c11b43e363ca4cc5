"""The explorer: a hierarchy as one HTML page that works offline."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from mlimages.hierarchy.drawing.draw import checked_counts
from mlimages.hierarchy.drawing.drawrules import checked_rules
from mlimages.hierarchy.relations import Relations

#: The scripts of the page, in order: the tree, the details of a category, the search and the start.
SCRIPTS = ("explorer_tree.js", "explorer_details.js", "explorer_search.js")


def explorer(
    hierarchy: Relations, *, counts: ArrayLike | None = None, rules: Any = None, title: str | None = None
) -> str:
    """A hierarchy as one self-contained HTML page to search and browse.

    Style, scripts and data are part of the page, and its content security policy forbids to load anything else.
    ``#KEY`` after its address opens it at a category.

    Parameters
    ----------
    hierarchy : Hierarchy
        The hierarchy to show.
    counts : int array [n], optional
        Number of images of each category, its descendants included. The page then shows it for each category, and for
        each subtree the number of labels and of categories with images.
    rules : DataFrame or mapping, optional
        Co-occurrence rules: columns source and target, keys or indices, and p. The page then shows the rules from and
        to each category.
    title : str, optional
        Title of the page.

    Returns
    -------
    str
        HTML, ASCII except for the title.

    Raises
    ------
    MlimagesError
        For counts or rules that do not match the hierarchy.
    """
    title = title if title is not None else "Category hierarchy"
    data = _embedded(_page_data(hierarchy, counts, rules))
    style = _resource("explorer.css")
    # the braces keep the names of the scripts out of the global scope, where `top` exists already
    script = '"use strict";\n{\n' + "\n".join(_resource(name) for name in SCRIPTS) + "}\n"
    parts = {
        "title": escape(title),
        "style": style,
        "style_hash": _csp_hash(style),
        "script": script,
        "script_hash": _csp_hash(script),
        "data": data,
    }
    # one pass, so that a placeholder inside a name or title stays text
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _resource("explorer.html"))


def write_explorer(
    hierarchy: Relations,
    path: str | os.PathLike[str],
    *,
    counts: ArrayLike | None = None,
    rules: Any = None,
    title: str | None = None,
) -> None:
    """Write the page of :func:`explorer` to a file."""
    Path(path).write_text(explorer(hierarchy, counts=counts, rules=rules, title=title), encoding="utf-8", newline="\n")


def _page_data(hierarchy: Relations, counts: ArrayLike | None, rules: Any) -> dict[str, Any]:
    """The data of the page: named columns, one entry per category in index order; rules strongest first."""
    columns: dict[str, Any] = {
        "keys": hierarchy.keys,
        "names": hierarchy.names,
        "parents": [row.tolist() for row in hierarchy.parents()],
        "descendants": hierarchy.descendants().lengths.tolist(),
    }
    images = checked_counts(hierarchy, counts)
    if images is not None:
        columns["counts"] = images.tolist()
    if rules is not None:
        checked = checked_rules(hierarchy, rules)
        columns["rules"] = {
            "sources": checked.sources.tolist(),
            "targets": checked.targets.tolist(),
            "p": checked.p.round(4).tolist(),
        }
    return columns


def _embedded(data: dict[str, Any]) -> str:
    """JSON for a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _csp_hash(text: str) -> str:
    """The source expression by which a content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _resource(name: str) -> str:
    return (files("mlimages.hierarchy") / "data" / name).read_text(encoding="utf-8")
