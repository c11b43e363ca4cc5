"""Evaluation of a network on a table: top-k accuracy for one class per image, or multi-label metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import ModelError, TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.packed.reading import is_packed, read
from mlimages.models.data.dataset import Batch, MultiHot, ParquetImages
from mlimages.models.data.unlisted import BELOW, LEFT_OUT, background
from mlimages.models.evaluation.metrics import MultiLabelMetrics, TopKAccuracy
from mlimages.models.inference.inference import Inference, feed_of, outputs, probabilities
from mlimages.models.networks.build import Network
from mlimages.models.networks.outputs import output_hierarchy, outputs_of, table_hierarchy

PUBLISHED_SIZES = (224, 299)
_HEADER = ("Checkpoints", "Train and finetune setting")


@dataclass(frozen=True, slots=True)
class TopK:
    """Top-k accuracy at one size.

    Attributes
    ----------
    size : int
        Height and width of the input in pixels.
    images : int
        Number of images that were counted.
    left_out : int
        Number of images with none or several of the classes, for which accuracy is not defined.
    broken : int
        Number of images that could not be read.
    accuracy : dict of str to float
        ``top1``, ``top5``: from 0 to 1.
    """

    size: int
    images: int
    left_out: int
    broken: int
    accuracy: dict[str, float]


@dataclass(frozen=True, slots=True)
class MultiLabelResult:
    """The metrics of :class:`mlimages.models.evaluation.metrics.MultiLabelMetrics`, overall and per class.

    Attributes
    ----------
    metrics : dict of str to float
        See :meth:`mlimages.models.evaluation.metrics.MultiLabelMetrics.compute`.
    broken : int
        Number of images that could not be read; they are in no metric.
    keys : tuple of str
        Keys of the C classes.
    images_of_class : int64 array [C]
    average_precision : float64 array [C]
        nan where no image has the class.
    trainable : bool array [C]
        The classes that averages are taken over.
    """

    metrics: dict[str, float]
    broken: int
    keys: tuple[str, ...]
    images_of_class: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    trainable: NDArray[np.bool_]


def evaluate_top_k(
    model: Network,
    table: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    sizes: Sequence[int] = PUBLISHED_SIZES,
    how: Inference | None = None,
) -> list[TopK]:
    """Top-1 and top-5 accuracy on the images with exactly one class of the network, at each size.

    Parameters
    ----------
    model : torch.nn.Module
        From :func:`mlimages.models.load_model`.
    table, images : path-like
        An annotation table and the folder of its images, or packed images.
    sizes : sequence of int, optional
        Heights and widths in pixels.
    how : Inference, optional
        Settings, of which `size` is not used.
    """
    how = how or Inference()
    chosen = outputs_of(model.card, table_hierarchy(table))
    results = []
    for size in sizes:
        sized = replace(how, size=size)
        pictures = ParquetImages(table, images, preprocess=sized.preprocess(model), categories=chosen)
        counted = TopKAccuracy()
        left_out = broken = 0
        for batch, logits in outputs(model, feed_of(pictures, sized), how=sized):
            rows, labels = single_labels(batch)
            counted.update(logits.numpy()[rows], labels)
            broken += len(batch.broken)
            left_out += len(batch) - len(batch.broken) - len(rows)
        results.append(TopK(size, int(counted.images), left_out, broken, counted.compute()))
    return results


def evaluate_multi_label(
    model: Network,
    table: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    unknown: str = LEFT_OUT,
    make_consistent: bool = False,
    trainable: ArrayLike | None = None,
    ks: Sequence[int] = (1, 5),
    how: Inference | None = None,
) -> MultiLabelResult:
    """Multi-label and hierarchical metrics over a table.

    Parameters
    ----------
    model : torch.nn.Module
        From :func:`mlimages.models.load_model`.
    table, images : path-like
        An annotation table and the folder of its images, or packed images.
    unknown : {"left-out", "absent", "below"}, optional
        How classes count that an image does not list: left out; absent, for tables that list all that images show; or
        absent except for descendants of the most specific labels, which are left out.
    make_consistent : bool, optional
        Whether the probability of each ancestor is raised to that of its descendants.
    trainable : bool array [n], optional
        The categories of the table to average over: see :func:`trainable_categories`.
    ks : sequence of int, optional
        Numbers of best classes that are taken as the predictions of an image.
    how : Inference, optional

    Raises
    ------
    ModelError
        For another value of `unknown`; and where unlisted classes are left out and the table lists no class as absent,
        so that no prediction could be wrong.
    """
    how = how or Inference()
    hierarchy = table_hierarchy(table)
    if unknown == LEFT_OUT and not lists_absences(table):
        raise ModelError(
            f"{os.fspath(table)}: lists no class as absent, so that no prediction could be wrong: count unlisted ones "
            "as absent (--unknown absent) if images list all that they show"
        )
    chosen = outputs_of(model.card, hierarchy)
    of_outputs = output_hierarchy(model.card, hierarchy)
    pictures = ParquetImages(
        table,
        images,
        preprocess=how.preprocess(model),
        categories=chosen,
        below=unknown == BELOW,
    )
    counted = MultiLabelMetrics(
        of_outputs, ks=ks, trainable=None if trainable is None else np.asarray(trainable, bool)[chosen]
    )
    hot = MultiHot(len(chosen), unknown=background(unknown))
    broken = 0
    for batch, logits in outputs(model, feed_of(pictures, how), how=how):
        scores = probabilities(logits, model.card.activation, hierarchy=of_outputs if make_consistent else None)
        count_multi_label(counted, batch, scores, hot)
        broken += len(batch.broken)
    return MultiLabelResult(
        counted.compute(), broken, of_outputs.keys, counted.actual, counted.per_class(), counted.trainable
    )


def count_multi_label(counted: MultiLabelMetrics, batch: Batch, scores: NDArray[Any], hot: MultiHot) -> None:
    """Count the images of a batch that are not broken; `scores` are probabilities float32 [B, C]."""
    good = [at for at in range(len(batch)) if at not in batch.broken]
    counted.update(scores[good], hot(batch).cpu().numpy()[good])


def single_labels(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Position in the batch and class of each image with exactly one class, int64 [m] each."""
    present = (batch.values > 0).numpy()
    rows, columns = batch.rows.numpy()[present], batch.columns.numpy()[present]
    alone = np.bincount(rows, minlength=len(batch))[rows] == 1
    return rows[alone], columns[alone]


def trainable_categories(
    table: str | os.PathLike[str], *, more_than: int = 100, hierarchy: Hierarchy | None = None
) -> NDArray[np.bool_]:
    """The categories with more than `more_than` images in a training table, bool [n]: trainable as published.

    Parameters
    ----------
    table : path-like
        The annotation table, or the packed images, that the network was trained on.
    more_than : int
        Number of images; 100 as published.
    hierarchy : Hierarchy, optional
        That of the evaluated table, which the training table must have as well.

    Raises
    ------
    TableError
        For a table of another hierarchy.
    """
    own = table_hierarchy(table)
    if hierarchy is not None and own.fingerprint != hierarchy.fingerprint:
        raise TableError(
            f"{os.fspath(table)}: its {len(own)} categories are not the {len(hierarchy)} of the table that is "
            "evaluated: indices would mean others; give a table that was made with the same hierarchy"
        )
    counts = np.zeros(len(own), np.int64)
    for labels, confidences in _label_columns(table):
        counts += np.bincount(labels[confidences > 0], minlength=len(own))
    return counts > more_than


def lists_absences(table: str | os.PathLike[str]) -> bool:
    """Whether any image of a table lists a class with confidence 0."""
    return any((confidences == 0).any() for _, confidences in _label_columns(table))


def _label_columns(table: str | os.PathLike[str]) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
    """Labels int [m] and confidences float32 [m] of a table or of packed images, batch by batch."""
    opened = read(table) if is_packed(table) else AnnotationTable.open(table)
    for batch in opened.batches(columns=["labels", "confidences"]):
        labels, confidences = (batch.column(name).flatten().to_numpy() for name in ("labels", "confidences"))
        yield labels, confidences


def results_table(rows: Sequence[tuple[str, str, list[TopK]]]) -> str:
    """A Markdown table of results in the published layout: model, setting, top-1 and top-5 at each size."""
    sizes = [each.size for each in rows[0][2]]
    header = [*_HEADER, *(f"Top-{k} acc on Val {size}" for size in sizes for k in (1, 5))]
    lines = [header, [":---", ":---", *["---:"] * (2 * len(sizes))]]
    for name, setting, results in rows:
        numbers = (
            f"{100 * each.accuracy[k]:.2f}" if each.images else "--" for each in results for k in ("top1", "top5")
        )
        lines.append([name, setting or "--", *numbers])
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
