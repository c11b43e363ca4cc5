"""Splitting a table into training and validation sets, stratified by category."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.labels.schema import label_type
from mlimages.annotate.tables.annotations import AnnotationTable, TableLike, as_table
from mlimages.annotate.tables.derive import Run, derive, rows_tasks
from mlimages.errors import MlimagesError
from mlimages.job.engines import EngineName
from mlimages.kernels import load_kernels
from mlimages.storage.arrow import offsets_of, readonly

if TYPE_CHECKING:
    from mlimages.job.job import Progress

_MOST_ROWS = 2**31 - 1


class Split(NamedTuple):
    """The two tables that :func:`split` made.

    Attributes
    ----------
    train, validation : AnnotationTable
        No image is in both.
    """

    train: AnnotationTable
    validation: AnnotationTable


def split(
    table: TableLike,
    out: str | os.PathLike[str],
    *,
    validation: float = 0.1,
    seed: int = 0,
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Split:
    """Split the images of a table into training and validation sets, stratified by category.

    Parameters
    ----------
    table : AnnotationTable or path-like
        The table to split.
    out : path-like
        Folder of the two new tables, ``train`` and ``validation``.
    validation : float or int
        The share of the images for validation (0.1), or their number (5000).
    seed : int
        Seed of the random numbers; the same seed gives the same split.
    engine, workers, resume, progress
        As those of :func:`mlimages.annotate.pipeline.annotate`; `engine` and `workers` write the tables; the
        images are divided here.

    Returns
    -------
    Split
        ``train`` and ``validation``, each in the order of the table.

    Raises
    ------
    MlimagesError
        If `validation` would leave one of the two without images.
    JobError
        If `out` is not empty, or the job to resume was begun with other inputs or options.

    Notes
    -----
    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) over present labels, the rarest first. The labels
    are held in temporary files, in the folder that ``TMPDIR`` names: 14 bytes per row and 6 per label.
    """
    table = as_table(table)
    chosen = stratified(table, _count(len(table), validation), seed=seed)
    run = Run(engine, workers, resume, progress)
    made = []
    for name, keep in (("train", ~chosen), ("validation", chosen)):
        options = {"subset": name, "validation": validation, "seed": seed}
        tasks = rows_tasks(table, keep)
        made.append(derive([table], Path(out) / name, tasks, run, operation="split", options=options))
    return Split(*made)


def stratified(table: AnnotationTable, count: int, *, seed: int = 0) -> NDArray[np.bool_]:
    """Choose `count` images, in which every category is in proportion: bool [rows]."""
    from mlimages.annotate.tables import splittingkernels as splitkernels

    rows = len(table)
    if rows > _MOST_ROWS:
        raise MlimagesError(f"{table.folder}: {rows:,} images, and a split takes up to {_MOST_ROWS:,}")
    load_kernels("mlimages.annotate.tables.splittingkernels")
    counts = table.category_counts()
    label_offsets = offsets_of(counts, np.int64)
    share = count / rows
    desired = np.stack([counts * share, counts * (1 - share)])
    lots = np.random.default_rng(seed)
    order = lots.permutation(np.arange(rows, dtype=np.int32))
    chosen = np.empty(rows, bool)
    with tempfile.TemporaryDirectory(prefix="mlimages-split-") as folder:
        offsets, labels = _present_labels(table, int(label_offsets[-1]), Path(folder))
        rows_of = _mapped(Path(folder) / "rows", np.int32, int(label_offsets[-1]))
        arrays = readonly(offsets), readonly(labels), readonly(order), readonly(label_offsets)
        splitkernels.invert(*arrays, rows_of)
        splitkernels.stratify(
            *arrays,
            readonly(rows_of),
            desired,
            np.array([count, rows - count], np.int64),
            lots.integers(2**64, dtype=np.uint64),
            chosen,
        )
    return chosen


def _count(rows: int, validation: float) -> int:
    """The number of validation images, given as a share or a number."""
    count = validation if isinstance(validation, int) else round(validation * rows) if 0 < validation < 1 else -1
    if isinstance(validation, bool) or not 0 < count < rows:
        raise MlimagesError(
            f"validation={validation} of {rows} images: expected a share between 0 and 1 or a number of images, so "
            "that both training and validation have some"
        )
    return count


def _present_labels(table: AnnotationTable, entries: int, folder: Path) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The present labels of all rows in temporary files: int64 [rows + 1] and int16 or int32 [entries]."""
    offsets = _mapped(folder / "offsets", np.int64, len(table) + 1)
    labels = _mapped(folder / "labels", label_type(len(table.hierarchy)).to_pandas_dtype(), entries)
    offsets[0] = at = row = 0
    for batch in table.batches():
        given = GivenLabels.of(batch).own()
        present = given.confidences > 0
        offsets[row + 1 : row + batch.num_rows + 1] = at + offsets_of(present, np.int64)[given.offsets[1:]]
        here = given.labels[present]
        labels[at : at + len(here)] = here
        at += len(here)
        row += batch.num_rows
    return offsets, labels


def _mapped(path: Path, kind: Any, entries: int) -> NDArray[Any]:
    """A new array that lives in a file; a plain one where it is empty, which no file can map."""
    return np.memmap(path, kind, "w+", shape=(entries,)).view(np.ndarray) if entries else np.empty(0, kind)
