"""Drawings of a hierarchy: a text tree, plotly's treemap and sunburst, and the HTML that Jupyter shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import MlimagesError, import_extra
from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.relations import Relations

if TYPE_CHECKING:
    import plotly.graph_objects

#: Characters of a category's names on one line of a tree.
NAME_WIDTH = 60

#: Boxes in one figure, as many as a browser still draws; only a DAG has more paths than this.
MAX_BOXES = 50_000


def tree(
    hierarchy: Relations,
    root: CategoryLike | None = None,
    *,
    depth: int | None = None,
    counts: ArrayLike | None = None,
    width: int | None = 50,
) -> str:
    """An indented text tree, one category per line: key, names, and its index or number of images.

    A category with several parents is printed under each of them, its descendants only once: elsewhere the line ends in
    ``(above)``. Omitted categories are counted: ``(+12 below)`` at the depth limit, an own line at the width limit.

    Parameters
    ----------
    hierarchy : Hierarchy
        The hierarchy to draw.
    root : category, optional
        Where to start: an index, a key or a Category. Default: all roots.
    depth : int, optional
        Edges to go down from the root. Default: to the leaves.
    counts : int array [n], optional
        Number of images of each category, printed instead of the indices; siblings are sorted by it, descending.
    width : int, optional
        Maximum number of children to print of each category; None for all.

    Raises
    ------
    UnknownCategoryError
        For a root that is not in the hierarchy.
    MlimagesError
        For a negative depth or width, or counts that do not match the hierarchy.

    Examples
    --------
    >>> from mlimages import Hierarchy
    >>> h = Hierarchy(["animal", "dog", "pet", "puppy"], [[], [0], [0], [1, 2]], [["creature"], ["dog"], [], []])
    >>> print(h.tree())
    animal creature [0]
    ├── dog dog [1]
    │   └── puppy [3]
    └── pet [2]
        └── puppy [3] (above)
    """
    images = checked_counts(hierarchy, counts)
    deepest = _checked_limit("depth", depth)
    widest = _checked_limit("width", width)
    lines: list[str] = []
    expanded: set[int] = set()
    seen: set[int] = set()
    # still to print, the next one last: category, depth, and the prefixes of its line and of the lines below it
    waiting: list[tuple[int, int, str, str]] = [(i, 0, "", "") for i in reversed(_tops(hierarchy, root, images))]
    while waiting:
        category, level, before, below = waiting.pop()
        if category < 0:  # not a category: the negated number of those that the width leaves out
            lines.append(f"{before}… {-category:,} more")
            continue
        children = _siblings(hierarchy.children(category), images)
        open_here = level < deepest and category not in expanded
        note = ""
        if category in expanded or (category in seen and not children):
            note = " (above)"
        elif children and not open_here:
            note = f" (+{len(hierarchy.descendants(category)):,} below)"
        lines.append(f"{before}{_line(hierarchy, category, images)}{note}")
        seen.add(category)
        if children and open_here:
            expanded.add(category)
            left_out = max(0, len(children) - widest)
            rows = [*children[:widest], *([-left_out] if left_out else [])]
            last = len(rows) - 1
            for at in range(last, -1, -1):
                branch, stem = ("└── ", "    ") if at == last else ("├── ", "│   ")
                waiting.append((rows[at], level + 1, below + branch, below + stem))
    return "\n".join(lines)


def treemap(
    hierarchy: Relations,
    root: CategoryLike | None = None,
    *,
    counts: ArrayLike | None = None,
    depth: int | None = None,
    maxdepth: int = 3,
    title: str | None = None,
    max_boxes: int = MAX_BOXES,
) -> plotly.graph_objects.Figure:
    """A plotly treemap: nested boxes, sized by their number of leaves or images; a click zooms in.

    A category with several parents has a box under each. The top levels are drawn first; a box whose children would
    exceed `max_boxes`, which a DAG with very many paths can reach, is drawn without them.

    Parameters
    ----------
    hierarchy : Hierarchy
        The hierarchy to draw.
    root : category, optional
        Where to start. Default: all roots.
    counts : int array [n], optional
        Number of images of each category, its descendants included. An image may have several children of a category
        as labels: a box is as large as its children together if they have more images; the hover text gives its own.
    depth : int, optional
        Edges to go down from the root. Default: to the leaves.
    maxdepth : int
        Number of levels that are visible at a time, at least 1.
    title : str, optional
        Title of the figure.
    max_boxes : int
        Maximum number of boxes.

    Raises
    ------
    MissingExtraError
        If plotly is not installed.
    UnknownCategoryError
        For a root that is not in the hierarchy.
    MlimagesError
        For a negative depth, a maxdepth below 1, or counts that do not match the hierarchy.
    """
    plotly = import_extra("plotly.graph_objects", extra="plot")
    boxes = _boxes(hierarchy, root, counts=counts, depth=depth, maxdepth=maxdepth, max_boxes=max_boxes)
    trace = plotly.Treemap(**boxes, tiling={"pad": 2}, pathbar={"visible": True})
    return _figure(plotly, trace, title)


def sunburst(
    hierarchy: Relations,
    root: CategoryLike | None = None,
    *,
    counts: ArrayLike | None = None,
    depth: int | None = None,
    maxdepth: int = 4,
    title: str | None = None,
    max_boxes: int = MAX_BOXES,
) -> plotly.graph_objects.Figure:
    """A plotly sunburst: rings around the root, arcs sized by their number of leaves or images; a click zooms in.

    Parameters and errors are those of :func:`treemap`.
    """
    plotly = import_extra("plotly.graph_objects", extra="plot")
    boxes = _boxes(hierarchy, root, counts=counts, depth=depth, maxdepth=maxdepth, max_boxes=max_boxes)
    return _figure(plotly, plotly.Sunburst(**boxes, insidetextorientation="radial"), title)


def repr_html(hierarchy: Relations, *, depth: int = 2, width: int = 12) -> str:
    """HTML for Jupyter, without scripts: the main statistics and the top levels as collapsible lists.

    It goes `depth` edges down from the roots, and shows at most `width` children of each category. It inherits the
    colours of the page, so it is readable on light and dark ones. All text is escaped.
    """
    statistics = hierarchy.statistics()
    shown = ["categories", "roots", "leaves", "edges", "categories_with_several_parents", "max_depth", "max_children"]
    style = ' style="text-align:right;padding:2px 10px"'
    head = "".join(f"<th{style}>{name.replace('_', ' ')}</th>" for name in shown)
    body = "".join(f"<td{style}>{statistics[name]:,}</td>" for name in shown)
    roots = hierarchy.roots.tolist()
    return (
        f'<div style="line-height:1.5"><strong>Hierarchy</strong>'
        f"<table><thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"
        f"{''.join(_html_rows(hierarchy, roots, depth, width))}</div>"
    )


def checked_counts(hierarchy: Relations, counts: ArrayLike | None) -> NDArray[np.int64] | None:
    """`counts` as int64 array [n], or None.

    Raises
    ------
    MlimagesError
        If they are not one non-negative integer for each category.
    """
    if counts is None:
        return None
    images = np.asarray(counts)
    if images.shape != (len(hierarchy),):
        raise MlimagesError(
            f"counts have the shape {images.shape}: expected ({len(hierarchy)},), the images of each category"
        )
    if images.dtype.kind not in "iu" and len(images):
        raise MlimagesError(f"counts are of type {images.dtype}: expected whole numbers, the images of each category")
    if len(images) and images.min() < 0:
        at = int(images.argmin())
        raise MlimagesError(f"counts has {images[at]} for category {at} ({hierarchy.keys[at]}): expected 0 or more")
    return images.astype(np.int64)


def _checked_limit(name: str, limit: int | None, *, least: int = 0) -> int:
    if limit is None:
        return sys.maxsize
    if limit < least:
        raise MlimagesError(f"{name} is {limit}: expected {least} or more, or None for no limit")
    return limit


def _siblings(categories: NDArray[np.int32], images: NDArray[np.int64] | None) -> list[int]:
    """Categories in index order, or by descending number of images."""
    if images is not None:
        categories = categories[np.argsort(-images[categories], kind="stable")]
    ordered: list[int] = categories.tolist()
    return ordered


def _tops(hierarchy: Relations, root: CategoryLike | None, images: NDArray[np.int64] | None) -> list[int]:
    return _siblings(hierarchy.roots, images) if root is None else [hierarchy.index(root)]


def _line(hierarchy: Relations, category: int, images: NDArray[np.int64] | None) -> str:
    number = f"[{category}]" if images is None else f"{images[category]:,}"
    parts = _printable(hierarchy.keys[category]), _short_names(hierarchy, category), number
    return " ".join(part for part in parts if part)


def _short_names(hierarchy: Relations, category: int) -> str:
    names = _printable(", ".join(hierarchy.names[category]))
    return names if len(names) <= NAME_WIDTH else names[: NAME_WIDTH - 1].rstrip(" ,") + "…"


def _printable(text: str) -> str:
    """Text for one line of a terminal, without line breaks and escape sequences."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _boxes(
    hierarchy: Relations,
    root: CategoryLike | None,
    *,
    counts: ArrayLike | None,
    depth: int | None,
    maxdepth: int,
    max_boxes: int,
) -> dict[str, Any]:
    """The arguments that treemap and sunburst share: one box per path, breadth first, each with a unique id."""
    images = checked_counts(hierarchy, counts)
    deepest = _checked_limit("depth", depth)
    _checked_limit("maxdepth", maxdepth, least=1)
    sizes = _leaf_counts(hierarchy) if images is None else images
    tops = _tops(hierarchy, root, images)
    boxes, above = list(tops), [-1] * len(tops)  # the category of each box, and the box of its parent
    values = sizes[tops].tolist()  # the value of a box beyond that of its children: branchvalues="remainder"
    start, stop, level = 0, len(boxes), 0
    while start < stop and level < deepest:
        for box in range(start, stop):
            children = _siblings(hierarchy.children(boxes[box]), images)
            if children and len(boxes) + len(children) <= max_boxes:
                boxes += children
                above += [box] * len(children)
                values += sizes[children].tolist()
                values[box] = max(0, values[box] - int(sizes[children].sum()))
        start, stop, level = stop, len(boxes), level + 1
    ids = [str(box) for box in range(len(boxes))]
    parents = ["" if box < 0 else str(box) for box in above]
    unit, below = "leaves" if images is None else "images", hierarchy.descendants().lengths
    hover = [
        f"<b>{escape(', '.join(hierarchy.names[i]) or hierarchy.keys[i], quote=False)}</b><br>"
        f"{escape(hierarchy.keys[i], quote=False)} · index {i}<br>"
        f"{sizes[i]:,} {unit} · {below[i]:,} categories below"
        for i in boxes
    ]
    labels = [escape(hierarchy[i].name, quote=False) for i in boxes]
    if len(tops) > 1:  # one box around all roots, so that a click can return to it
        parents = [parent or "all" for parent in parents]
        ids, parents, values = ["all", *ids], ["", *parents], [0, *values]
        labels, hover = ["all", *labels], [f"<b>all</b><br>{len(hierarchy):,} categories", *hover]
    return {
        "ids": ids,
        "parents": parents,
        "labels": labels,
        "values": values,
        "hovertext": hover,
        "hoverinfo": "text",
        "branchvalues": "remainder",
        "maxdepth": maxdepth + (len(tops) > 1),
    }


def _leaf_counts(hierarchy: Relations) -> NDArray[np.int64]:
    """Number of leaves below each category, int64 [n]; 1 for a leaf."""
    leaves = hierarchy.leaves
    counted = np.bincount(hierarchy.ancestors(leaves).indices, minlength=len(hierarchy)).astype(np.int64)
    counted[leaves] = 1
    return counted


def _figure(plotly: Any, trace: Any, title: str | None) -> plotly.graph_objects.Figure:
    figure = plotly.Figure(trace)
    figure.update_layout(margin={"t": 40 if title else 10, "l": 10, "r": 10, "b": 10})
    if title:
        figure.update_layout(title={"text": escape(title, quote=False)})
    return figure


def _html_rows(hierarchy: Relations, categories: list[int], depth: int, width: int) -> Iterator[str]:
    for category in categories[:width]:
        key, children = escape(hierarchy.keys[category]), hierarchy.children(category).tolist()
        names = escape(_short_names(hierarchy, category))
        below = f' <span style="opacity:.75">+{len(hierarchy.descendants(category)):,}</span>' if children else ""
        text = f"<code>{key}</code> {names}{below}"
        if children and depth > 0:
            inner = "".join(_html_rows(hierarchy, children, depth - 1, width))
            yield f'<details style="margin-left:1.2em"><summary>{text}</summary>{inner}</details>'
        else:
            yield f'<div style="margin-left:1.2em;padding-left:1em">{text}</div>'
    if len(categories) > width:
        yield f'<div style="margin-left:1.2em;padding-left:1em;opacity:.75">… {len(categories) - width:,} more</div>'
