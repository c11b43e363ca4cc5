"""The figures of a table and of judged rules, drawn from plain arrays.

Images per category and labels per image are the two that were published of ML-Images; both are drawn by matplotlib and,
for a page, by plotly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import MlimagesError, import_extra
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    import pandas as pd

_BLUE, _ORANGE, _GREEN = "#3b6ea8", "#d1662a", "#4a8c5a"
_GREY, _DARK_GREY, _INK = "#d9d9d9", "#999999", "#333333"
#: Bars of the histogram, at most; the last takes all images with as many labels or more.
_MOST_BARS = 60
_DPI = 150
#: Where the line below the title stands: place, coordinates, offset.
_SUBTITLE = (0, 1), "axes fraction", (0, 8)


def plot_images_per_category(images: NDArray[np.int64], *, trainable_over: int) -> Any:
    """A matplotlib figure: categories by their number of `images` [n], most first, on a logarithmic scale.

    A line shows where categories are trainable, if that is above 0.
    """
    counts = _sorted_counts(images)
    figure, axes = _axes("Images per category")
    ranks = np.arange(1, len(counts) + 1)
    axes.fill_between(ranks, counts, 0.8, step="mid", color=_BLUE, alpha=0.2, linewidth=0)
    axes.step(ranks, counts, where="mid", color=_BLUE, linewidth=1.6)
    axes.set_yscale("log")
    axes.set_xlim(0.5, max(len(counts), 1) + 0.5)
    axes.set_ylim(0.8, max(int(counts.max(initial=1)), trainable_over) * 2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel(f"{len(counts):,} categories, by number of images")
    axes.set_ylabel("images")
    if trainable_over > 0:
        axes.axhline(trainable_over, color=_ORANGE, linewidth=1, linestyle="--")
        text = _trainable(counts, trainable_over)
        _note(axes, text, (1, trainable_over), ("axes fraction", "data"), (-6, 5), color=_ORANGE, ha="right")
    _note(axes, _mean_images(counts), *_SUBTITLE)
    return figure


def plot_labels_per_image(histogram: NDArray[np.int64]) -> Any:
    """A matplotlib figure: how many images have how many labels; `histogram` [m] counts those with 0, 1, 2, ..."""
    bars, last = _bars(histogram)
    mean = _mean_labels(histogram)
    figure, axes = _axes("Labels per image")
    axes.bar(np.arange(len(bars)), bars, width=0.85, color=_BLUE)
    axes.axvline(mean, color=_ORANGE, linewidth=1, linestyle="--")
    _note(axes, f"mean {mean:,.2f}", (mean, 1), ("data", "axes fraction"), (6, -12), color=_ORANGE)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_xlabel(f"present labels{last}")
    axes.set_ylabel("images")
    _note(axes, _images_and_labels(histogram), *_SUBTITLE)
    return figure


def plotly_images_per_category(images: NDArray[np.int64], names: Sequence[str], *, trainable_over: int) -> Any:
    """The same as a plotly figure; hovering shows the names of categories, `names` [n]."""
    plotly = import_extra("plotly.graph_objects", extra="plot")
    counts = _sorted_counts(images)
    order = np.argsort(-images, kind="stable")[: len(counts)]
    trace = plotly.Scatter(
        x=np.arange(1, len(counts) + 1),
        y=counts,
        text=[names[index] for index in order.tolist()],
        mode="lines",
        line={"color": _BLUE, "shape": "hvh"},
        fill="tozeroy",
        hovertemplate="%{text}<br>%{y:,} images<br>rank %{x:,}<extra></extra>",
    )
    figure = plotly.Figure(trace)
    if trainable_over > 0:
        figure.add_hline(
            y=trainable_over,
            line={"color": _ORANGE, "dash": "dash", "width": 1},
            annotation={"text": _trainable(counts, trainable_over), "font": {"color": _ORANGE}},
            annotation_position="top right",
        )
    figure.update_yaxes(type="log", title="images", dtick=1, tickformat=",")
    figure.update_xaxes(title=f"{len(counts):,} categories, by number of images", tickformat=",")
    return figure.update_layout(**_layout("Images per category", _mean_images(counts)))


def plotly_labels_per_image(histogram: NDArray[np.int64]) -> Any:
    """The same as a plotly figure."""
    plotly = import_extra("plotly.graph_objects", extra="plot")
    bars, last = _bars(histogram)
    mean = _mean_labels(histogram)
    trace = plotly.Bar(
        x=np.arange(len(bars)),
        y=bars,
        marker={"color": _BLUE},
        hovertemplate="%{x} labels<br>%{y:,} images<extra></extra>",
    )
    figure = plotly.Figure(trace)
    figure.add_vline(
        x=mean,
        line={"color": _ORANGE, "dash": "dash", "width": 1},
        annotation={"text": f"mean {mean:,.2f}", "font": {"color": _ORANGE}},
    )
    figure.update_xaxes(title=f"present labels{last}")
    figure.update_yaxes(title="images", tickformat=",")
    return figure.update_layout(**_layout("Labels per image", _images_and_labels(histogram)))


def plot_judgement(curve: pd.DataFrame, published: pd.Series, *, images: int) -> Any:
    """A matplotlib figure: precision, recall and f1 by threshold on the left, precision over recall on the right.

    `curve` has a row for each threshold: ``threshold``, ``precision``, ``recall``, ``f1``; `published` is that of 0.5,
    with ``right`` too; `images` were judged.
    """
    figure = _figure((10.0, 4.2))
    left, right = figure.subplots(1, 2)
    for name, color in (("precision", _BLUE), ("recall", _ORANGE), ("f1", _GREEN)):
        left.step(curve["threshold"], curve[name], where="post", color=color, label=name)
    left.axvline(0.5, color=_DARK_GREY, linewidth=1, linestyle="--")
    left.set_xlabel("rules with p above")
    left.set_xlim(0, 1)
    left.legend(frameon=False)
    right.plot(curve["recall"], curve["precision"], color=_BLUE)
    if published["right"] > 0:
        at = published["recall"], published["precision"]
        right.plot(*at, "o", color=_ORANGE)
        right.annotate("p > 0.5", at, xytext=(6, 6), textcoords="offset points")
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    right.set_xlim(0, 1.02)
    for axes in (left, right):
        axes.set_ylim(0, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"What rules add to {images:,} images", fontsize=11)
    return figure


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure: one of matplotlib in the format that the name ends in, one of plotly as a page; return the file.

    Raises a MlimagesError for a format that matplotlib does not write.
    """
    if hasattr(figure, "to_html"):
        content = figure.to_html(include_plotlyjs=True).encode()
        with replacing(path) as file:
            file.write(content)
        return path
    kind = path.suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise MlimagesError(f"{path}: expected a name that ends in one of {', '.join(sorted(known))}")
    with replacing(path) as file:
        figure.savefig(file, format=kind, dpi=_DPI, metadata={"Software": "mlimages"} if kind == "png" else None)
    return path


def _sorted_counts(images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Images of the categories that are present, most first."""
    counts = np.sort(images)[::-1]
    return counts[counts > 0]


def _mean_images(counts: NDArray[np.int64]) -> str:
    return f"mean {counts.mean() if len(counts) else 0:,.0f} images per category"


def _trainable(counts: NDArray[np.int64], over: int) -> str:
    return f"{np.count_nonzero(counts > over):,} categories over {over:,} images"


def _labels(histogram: NDArray[np.int64]) -> int:
    return int(histogram @ np.arange(len(histogram)))


def _mean_labels(histogram: NDArray[np.int64]) -> float:
    return _labels(histogram) / max(1, int(histogram.sum()))


def _images_and_labels(histogram: NDArray[np.int64]) -> str:
    return f"{histogram.sum():,} images, {_labels(histogram):,} labels"


def _bars(histogram: NDArray[np.int64]) -> tuple[NDArray[np.int64], str]:
    """Heights of the bars, and a label for the last if it stands for several."""
    if len(histogram) <= _MOST_BARS + 1:
        return histogram, ""
    bars = np.append(histogram[:_MOST_BARS], histogram[_MOST_BARS:].sum())
    return bars, f" (the last bar: {_MOST_BARS} to {len(histogram) - 1})"


def _figure(size: tuple[float, float]) -> Any:
    """An empty figure of the given size in inches, without the state that pyplot keeps."""
    return import_extra("matplotlib.figure", extra="plot").Figure(figsize=size, layout="constrained")


def _axes(title: str) -> tuple[Any, Any]:
    """An empty figure and its axes."""
    figure = _figure((8.0, 4.5))
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


def _note(axes: Any, text: str, at: Any, coordinates: Any, offset: Any, *, color: str = _INK, ha: str = "left") -> None:
    """Write a text at a place in these coordinates, with an offset in points."""
    axes.annotate(text, at, xycoords=coordinates, xytext=offset, textcoords="offset points", color=color, ha=ha)


def _layout(title: str, subtitle: str) -> dict[str, Any]:
    return {
        "title": {"text": f"<b>{title}</b><br><sup>{subtitle}</sup>"},
        "template": "plotly_white",
        "showlegend": False,
    }
