"""The figure of judged rules: precision and recall by threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlimages.errors import MlimagesError, import_extra
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    from mlimages.annotate.cooccurrence.judging import RuleJudgement

_BLUE, _ORANGE, _GREEN, _GREY = "#3b6ea8", "#d1662a", "#4a8c5a", "#999999"
_SIZE = (10.0, 4.2)  # inches
_DPI = 150


def plot_judgement(judgement: RuleJudgement) -> Any:
    """A matplotlib figure: precision, recall and f1 by threshold on the left, precision over recall on the right."""
    import_extra("matplotlib", extra="plot")
    figures = import_extra("matplotlib.figure", extra="plot")
    figure = figures.Figure(figsize=_SIZE, layout="constrained")
    left, right = figure.subplots(1, 2)
    curve = judgement.at(np.linspace(0, 0.99, 100))
    for name, color in (("precision", _BLUE), ("recall", _ORANGE), ("f1", _GREEN)):
        left.step(curve["threshold"], curve[name], where="post", color=color, label=name)
    left.axvline(0.5, color=_GREY, linewidth=1, linestyle="--")
    left.set_xlabel("rules with p above")
    left.set_xlim(0, 1)
    left.legend(frameon=False)
    right.plot(curve["recall"], curve["precision"], color=_BLUE)
    published = judgement.at([0.5]).iloc[0]
    if published["right"] > 0:
        right.plot(published["recall"], published["precision"], "o", color=_ORANGE)
        right.annotate(
            "p > 0.5", (published["recall"], published["precision"]), xytext=(6, 6), textcoords="offset points"
        )
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    right.set_xlim(0, 1.02)
    for axes in (left, right):
        axes.set_ylim(0, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"What rules add to {judgement.images:,} images", fontsize=11)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure in the format of the file's name.

    Raises
    ------
    MlimagesError
        For a format that matplotlib does not write.
    """
    kind = path.suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise MlimagesError(f"{path}: expected a name that ends in one of {', '.join(sorted(known))}")
    with replacing(path) as file:
        figure.savefig(file, format=kind, dpi=_DPI, metadata={"Software": None} if kind == "png" else None)
