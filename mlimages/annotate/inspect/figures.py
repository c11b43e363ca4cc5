"""The two published figures of a table: images per class, and labels per image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import import_extra
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    from mlimages.annotate.inspect.statistics import TableStatistics

_BLUE, _ORANGE, _GREY, _INK = "#3b6ea8", "#d1662a", "#d9d9d9", "#333333"
#: Bars of the histogram, at most; the last takes all images with as many labels or more.
_MOST_BARS = 60
_SIZE = (8.0, 4.5)  # inches
_DPI = 150


def plot_images_per_class(statistics: TableStatistics) -> Any:
    """A matplotlib figure: categories by their number of images, most first, on a logarithmic scale."""
    counts = _sorted_counts(statistics)
    figure, axes = _axes("Images per category")
    ranks = np.arange(1, len(counts) + 1)
    axes.fill_between(ranks, counts, 0.8, step="mid", color=_BLUE, alpha=0.2, linewidth=0)
    axes.step(ranks, counts, where="mid", color=_BLUE, linewidth=1.6)
    axes.set_yscale("log")
    axes.set_xlim(0.5, max(len(counts), 1) + 0.5)
    axes.set_ylim(0.8, max(int(counts.max(initial=1)), statistics.trainable_over) * 2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel(f"{len(counts):,} categories, by number of images")
    axes.set_ylabel("images")
    if statistics.trainable_over > 0:
        axes.axhline(statistics.trainable_over, color=_ORANGE, linewidth=1, linestyle="--")
        axes.annotate(
            f"{statistics.trainable:,} categories over {statistics.trainable_over:,} images",
            (1, statistics.trainable_over),
            xycoords=("axes fraction", "data"),
            xytext=(-6, 5),
            textcoords="offset points",
            ha="right",
            color=_ORANGE,
        )
    _subtitle(axes, f"mean {statistics.mean_images_per_category:,.0f} images per category")
    return figure


def plot_labels_per_image(statistics: TableStatistics) -> Any:
    """A matplotlib figure: how many images have how many labels."""
    bars, last = _bars(statistics)
    figure, axes = _axes("Labels per image")
    axes.bar(np.arange(len(bars)), bars, width=0.85, color=_BLUE)
    axes.axvline(statistics.mean_labels_per_image, color=_ORANGE, linewidth=1, linestyle="--")
    axes.annotate(
        f"mean {statistics.mean_labels_per_image:,.2f}",
        (statistics.mean_labels_per_image, 1),
        xycoords=("data", "axes fraction"),
        xytext=(6, -12),
        textcoords="offset points",
        color=_ORANGE,
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_xlabel(f"present labels{last}")
    axes.set_ylabel("images")
    _subtitle(axes, f"{statistics.images:,} images, {statistics.labels:,} labels")
    return figure


def plotly_images_per_class(statistics: TableStatistics) -> Any:
    """The same as a plotly figure; hovering names the category."""
    plotly = import_extra("plotly.graph_objects", extra="plot")
    counts = _sorted_counts(statistics)
    order = np.argsort(-statistics.images_per_category, kind="stable")[: len(counts)]
    named = [f"{each.name} ({each.key})" for each in (statistics.hierarchy[int(index)] for index in order)]
    trace = plotly.Scatter(
        x=np.arange(1, len(counts) + 1),
        y=counts,
        text=named,
        mode="lines",
        line={"color": _BLUE, "shape": "hvh"},
        fill="tozeroy",
        hovertemplate="%{text}<br>%{y:,} images<br>rank %{x:,}<extra></extra>",
    )
    figure = plotly.Figure(trace)
    if statistics.trainable_over > 0:
        note = f"{statistics.trainable:,} categories over {statistics.trainable_over:,} images"
        figure.add_hline(
            y=statistics.trainable_over,
            line={"color": _ORANGE, "dash": "dash", "width": 1},
            annotation={"text": note, "font": {"color": _ORANGE}},
            annotation_position="top right",
        )
    figure.update_yaxes(type="log", title="images", dtick=1, tickformat=",")
    figure.update_xaxes(title=f"{len(counts):,} categories, by number of images", tickformat=",")
    subtitle = f"mean {statistics.mean_images_per_category:,.0f} images per category"
    return figure.update_layout(**_layout("Images per category", subtitle))


def plotly_labels_per_image(statistics: TableStatistics) -> Any:
    """The same as a plotly figure."""
    plotly = import_extra("plotly.graph_objects", extra="plot")
    bars, last = _bars(statistics)
    trace = plotly.Bar(
        x=np.arange(len(bars)),
        y=bars,
        marker={"color": _BLUE},
        hovertemplate="%{x} labels<br>%{y:,} images<extra></extra>",
    )
    figure = plotly.Figure(trace)
    figure.add_vline(
        x=statistics.mean_labels_per_image,
        line={"color": _ORANGE, "dash": "dash", "width": 1},
        annotation={"text": f"mean {statistics.mean_labels_per_image:,.2f}", "font": {"color": _ORANGE}},
    )
    figure.update_xaxes(title=f"present labels{last}")
    figure.update_yaxes(title="images", tickformat=",")
    return figure.update_layout(
        **_layout("Labels per image", f"{statistics.images:,} images, {statistics.labels:,} labels")
    )


def save_figures(statistics: TableStatistics, folder: Path, *, html: bool = False) -> list[Path]:
    """Write ``images_per_class`` and ``labels_per_image`` as PNG, and with `html` as pages too; return the files.

    Raises
    ------
    MissingExtraError
        Where matplotlib, or for the pages plotly, is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("images_per_class", "labels_per_image")
    written = []
    for name, draw in zip(names, (plot_images_per_class, plot_labels_per_image), strict=True):
        written.append(folder / f"{name}.png")
        with replacing(written[-1]) as file:
            draw(statistics).savefig(file, format="png", dpi=_DPI, metadata={"Software": "mlimages"})
    if html:
        for name, draw in zip(names, (plotly_images_per_class, plotly_labels_per_image), strict=True):
            written.append(folder / f"{name}.html")
            with replacing(written[-1]) as file:
                file.write(draw(statistics).to_html(include_plotlyjs=True).encode())
    return written


def _sorted_counts(statistics: TableStatistics) -> NDArray[np.int64]:
    """Images of the categories that are present, most first."""
    counts = np.sort(statistics.images_per_category)[::-1]
    return counts[counts > 0]


def _bars(statistics: TableStatistics) -> tuple[NDArray[np.int64], str]:
    """Heights of the bars, and what to say of the last where it stands for several."""
    histogram = statistics.histogram
    if len(histogram) <= _MOST_BARS + 1:
        return histogram, ""
    bars = np.append(histogram[:_MOST_BARS], histogram[_MOST_BARS:].sum())
    return bars, f" (the last bar: {_MOST_BARS} to {len(histogram) - 1})"


def _axes(title: str) -> tuple[Any, Any]:
    """An empty figure, without the state that pyplot keeps, and its axes."""
    figure = import_extra("matplotlib.figure", extra="plot").Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontweight="bold", color=_INK, pad=22)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(which="both", color=_GREY, labelcolor=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(axis="y", color=_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _subtitle(axes: Any, text: str) -> None:
    axes.annotate(text, (0, 1), xycoords="axes fraction", xytext=(0, 8), textcoords="offset points", color=_INK)


def _layout(title: str, subtitle: str) -> dict[str, Any]:
    return {
        "title": {"text": f"<b>{title}</b><br><sup>{subtitle}</sup>"},
        "template": "plotly_white",
        "showlegend": False,
    }
