"""Drawings of co-occurrence rules: a heat map, and a network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import MlimagesError, import_extra
from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.relations import Relations

if TYPE_CHECKING:
    import plotly.graph_objects

_BLUE, _ORANGE, _GREY = "#3b6ea8", "#d1662a", "#9aa5b1"


class RuleArrays(NamedTuple):
    """Rules as arrays [m] of category indices and probabilities, strongest first."""

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    p: NDArray[np.float64]  # in (0, 1]

    def take(self, rows: NDArray[np.bool_] | slice) -> RuleArrays:
        """The selected rules, in order."""
        return RuleArrays(self.sources[rows], self.targets[rows], self.p[rows])


def draw_rules(
    hierarchy: Relations,
    rules: Any,
    root: CategoryLike | None = None,
    *,
    kind: Literal["heatmap", "network"] = "heatmap",
    top: int = 40,
    title: str | None = None,
) -> plotly.graph_objects.Figure:
    """A plotly figure of the strongest rules.

    Parameters
    ----------
    hierarchy : Hierarchy
        The categories.
    rules : DataFrame or mapping
        Columns ``source`` and ``target``, keys or indices, and ``p``; see :meth:`Cooccurrence.rules
        <mlimages.annotate.cooccurrence.counts.Cooccurrence.rules>`.
    root : category, optional
        Draw only rules whose source is this category or a descendant.
    kind : {"heatmap", "network"}
        One cell per rule, with a row per source and a column per target; or one arrow per rule, from source to target.
    top : int
        Maximum number of rules to draw: those with the greatest p.
    title : str, optional
        Title of the figure.

    Raises
    ------
    MissingExtraError
        If plotly is not installed.
    UnknownCategoryError
        For a category that is not in the hierarchy.
    MlimagesError
        If there is no rule to draw, and for invalid rules or options.
    """
    plotly = import_extra("plotly.graph_objects", extra="plot")
    if top < 1:
        raise MlimagesError(f"top={top}: expected at least 1")
    if kind not in ("heatmap", "network"):
        raise MlimagesError(f"kind={kind!r}: expected heatmap or network")
    arrays = checked_rules(hierarchy, rules)
    if root is not None:
        inside = np.zeros(len(hierarchy), bool)
        inside[[hierarchy.index(root), *hierarchy.descendants(root).tolist()]] = True
        arrays = arrays.take(inside[arrays.sources])
    if not len(arrays.p):
        where = "" if root is None else f" whose source is {hierarchy[root].key} or below it"
        raise MlimagesError(f"found no rules{where}, expected at least one to draw")
    drawn = arrays.take(slice(top))
    figure = _heatmap(plotly, hierarchy, drawn) if kind == "heatmap" else _network(plotly, hierarchy, drawn)
    figure.update_layout(margin={"t": 50 if title else 20, "l": 10, "r": 10, "b": 10}, template="plotly_white")
    if title:
        figure.update_layout(title={"text": escape(title, quote=False), "y": 0.99, "yanchor": "top"})
    return figure


def checked_rules(hierarchy: Relations, rules: Any) -> RuleArrays:
    """Rules as arrays, sorted by descending p, then by source and target.

    Raises
    ------
    UnknownCategoryError
        For a category that is not in the hierarchy.
    MlimagesError
        For missing columns, columns of different lengths, or a p outside (0, 1].
    """
    names = list(rules.columns if hasattr(rules, "columns") else rules if isinstance(rules, Mapping) else ())
    missing = {"source", "target", "p"} - set(names)
    if missing:
        found = ", ".join(map(str, names)) or f"a {type(rules).__name__}"
        raise MlimagesError(f"rules: found {found}, expected the columns source, target and p")
    sources, targets = (
        np.asarray(hierarchy.index(list(rules[name])), np.int32).reshape(-1) for name in ("source", "target")
    )
    p = np.asarray(list(rules["p"]), np.float64)
    if not len(sources) == len(targets) == len(p):
        raise MlimagesError(f"rules: found {len(sources)} sources, {len(targets)} targets and {len(p)} p, must agree")
    wrong = ~((p > 0) & (p <= 1))
    if wrong.any():
        raise MlimagesError(f"rules: found p {p[wrong][0]:g}, expected above 0 to 1")
    order = np.lexsort((targets, sources, -p))
    return RuleArrays(sources[order], targets[order], p[order])


def _heatmap(plotly: Any, hierarchy: Relations, rules: RuleArrays) -> Any:
    rows, row_of = _first_seen(rules.sources)
    columns, column_of = _first_seen(rules.targets)
    cells = np.full((len(rows), len(columns)), np.nan)
    cells[row_of, column_of] = rules.p
    hover = [["" for _ in columns] for _ in rows]
    for row, column, text in zip(row_of.tolist(), column_of.tolist(), _hover(hierarchy, rules), strict=True):
        hover[row][column] = text
    figure = plotly.Figure(
        plotly.Heatmap(
            z=[[None if np.isnan(cell) else cell for cell in line] for line in cells.tolist()],
            x=list(range(len(columns))),
            y=list(range(len(rows))),
            text=hover,
            hoverinfo="text",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "p"}},
        )
    )
    # names are not unique: the axes are numeric, with names as tick labels
    ticks = {"tickmode": "array", "automargin": True, "showgrid": False, "zeroline": False}
    x = {"tickvals": list(range(len(columns))), "ticktext": _labels(hierarchy, columns), "tickangle": -40}
    y = {"tickvals": list(range(len(rows))), "ticktext": _labels(hierarchy, rows), "autorange": "reversed"}
    figure.update_layout(xaxis={**ticks, **x, "side": "top"}, yaxis={**ticks, **y})
    return figure


def _network(plotly: Any, hierarchy: Relations, rules: RuleArrays) -> Any:
    import networkx

    graph: networkx.DiGraph[int] = networkx.DiGraph()
    graph.add_weighted_edges_from(zip(rules.sources.tolist(), rules.targets.tolist(), rules.p.tolist(), strict=True))
    place = networkx.spring_layout(graph, seed=1, k=2.2 / np.sqrt(max(1, len(graph))))
    figure = plotly.Figure()
    for source, target, p in zip(*(column.tolist() for column in rules), strict=True):
        (x0, y0), (x1, y1) = place[source], place[target]
        figure.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
            arrowhead=2, arrowsize=1, arrowwidth=0.5 + 2.5 * p, arrowcolor=_GREY, standoff=8, startstandoff=8,
            opacity=0.7,
        )  # fmt: skip
    middles = [(place[a] + place[b]) / 2 for a, b in zip(rules.sources.tolist(), rules.targets.tolist(), strict=True)]
    figure.add_scatter(
        x=[float(at[0]) for at in middles],
        y=[float(at[1]) for at in middles],
        mode="markers",
        marker={"size": 10, "opacity": 0},
        hovertext=_hover(hierarchy, rules),
        hoverinfo="text",
        showlegend=False,
    )
    targets = set(rules.targets.tolist())
    for name, color, nodes in (
        ("source", _BLUE, [node for node in graph if node not in targets]),
        ("target", _ORANGE, [node for node in graph if node in targets]),
    ):
        figure.add_scatter(
            x=[float(place[node][0]) for node in nodes],
            y=[float(place[node][1]) for node in nodes],
            mode="markers+text",
            marker={"size": 12, "color": color},
            text=_labels(hierarchy, nodes),
            textposition="top center",
            hovertext=[escape(hierarchy.keys[node], quote=False) for node in nodes],
            hoverinfo="text",
            name=name,
        )
    hidden = {"visible": False}
    figure.update_layout(xaxis=hidden, yaxis=hidden)
    return figure


def _first_seen(categories: NDArray[np.int32]) -> tuple[list[int], NDArray[np.int64]]:
    """The distinct categories by first occurrence, and the position of each entry among them."""
    order = list(dict.fromkeys(categories.tolist()))
    place = {category: at for at, category in enumerate(order)}
    return order, np.array([place[category] for category in categories.tolist()], np.int64)


def _labels(hierarchy: Relations, categories: list[int]) -> list[str]:
    return [escape(hierarchy[category].name, quote=False) for category in categories]


def _hover(hierarchy: Relations, rules: RuleArrays) -> list[str]:
    return [
        f"{escape(hierarchy[source].name, quote=False)} → {escape(hierarchy[target].name, quote=False)}<br>p {p:.2f}"
        for source, target, p in zip(*(column.tolist() for column in rules), strict=True)
    ]
