"""The HTML explorer: a whole hierarchy in one file that needs no network."""

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
from mlimages.hierarchy.hierarchy import Hierarchy

#: The page's script, in this order: the tree, the details of a category, the search and the start.
SCRIPTS = ("explorer_tree.js", "explorer_details.js", "explorer_search.js")


def explorer(
    hierarchy: Hierarchy, *, counts: ArrayLike | None = None, rules: Any = None, title: str | None = None
) -> str:
    """A hierarchy as one self-contained HTML page to search and browse.

    The page loads nothing: style, script and data are in it, and its content security policy forbids the rest.
    ``#KEY`` after its address opens it at a category.

    Parameters
    ----------
    hierarchy : Hierarchy
        What to show.
    counts : int array [n], optional
        Images of each category, closed over its ancestors. The page then shows images beside each category, and for
        its subtree the labels on it and below and how many of its categories have any image.
    rules : DataFrame or mapping, optional
        Co-occurrence rules: columns source and target, keys or indices, and p. The page then shows what is usually seen
        on the images of a category, and on whose images it is.
    title : str, optional
        Title of the page.

    Returns
    -------
    str
        HTML, ASCII but for the title.

    Raises
    ------
    MlimagesError
        For counts or rules that do not fit the hierarchy.
    """
    title = title if title is not None else "Category hierarchy"
    data = _embedded(_page_data(hierarchy, counts, rules))
    style = _resource("explorer.css")
    # the braces keep the script's names out of the window's, which has a `top` of its own
    script = '"use strict";\n{\n' + "\n".join(_resource(name) for name in SCRIPTS) + "}\n"
    parts = {
        "title": escape(title),
        "style": style,
        "style_hash": _csp_hash(style),
        "script": script,
        "script_hash": _csp_hash(script),
        "data": data,
    }
    # one pass, so that a name or title that looks like a placeholder stays text
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _resource("explorer.html"))


def write_explorer(
    hierarchy: Hierarchy,
    path: str | os.PathLike[str],
    *,
    counts: ArrayLike | None = None,
    rules: Any = None,
    title: str | None = None,
) -> None:
    """Write :func:`explorer`'s page into a file."""
    Path(path).write_text(explorer(hierarchy, counts=counts, rules=rules, title=title), encoding="utf-8", newline="\n")


def _page_data(hierarchy: Hierarchy, counts: ArrayLike | None, rules: Any) -> dict[str, Any]:
    """What the page reads: named columns, one entry a category, in index order; of rules the strongest first."""
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
    """JSON that may stand in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _csp_hash(text: str) -> str:
    """How a content security policy names an inline style or script that is allowed."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _resource(name: str) -> str:
    return (files("mlimages.hierarchy") / "data" / name).read_text(encoding="utf-8")
