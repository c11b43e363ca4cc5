"""Statistics of an annotation table, as those of ML-Images were published."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.annotate.inspect import figures
from mlimages.annotate.labels.schema import Origin
from mlimages.annotate.tables.annotations import AnnotationTable, TableLike, as_table
from mlimages.errors import MlimagesError
from mlimages.hierarchy import CSR, Hierarchy
from mlimages.job.engines import EngineName, engine_named
from mlimages.job.local import checked_workers
from mlimages.job.task import Calls
from mlimages.kernels import load_kernels
from mlimages.storage.arrow import list_offsets, readonly
from mlimages.storage.column import numbers_of

if TYPE_CHECKING:
    import pandas as pd

Backend = Literal["matplotlib", "plotly"]

#: A category with more training images than this is called trainable: in ML-Images 10,505 of 11,166 are.
TRAINABLE_OVER = 100


class _Counts(NamedTuple):
    """Counts over some rows of a table of n categories, all int64."""

    by_origin: NDArray[np.int64]  # [origins, n]: labels, present or verified absent
    absent: NDArray[np.int64]  # [n]: verified absent labels
    subtree: NDArray[np.int64]  # [n]: images in which the category or one below it is present
    histogram: NDArray[np.int64]  # [n + 1]: images by their number of present labels

    @classmethod
    def zero(cls, n: int) -> _Counts:
        return cls(*(np.zeros(shape, np.int64) for shape in ((len(Origin), n), n, n, n + 1)))


@dataclass(frozen=True, eq=False)
class TableStatistics:
    """Counts over a table; see :func:`statistics`.

    Parameters
    ----------
    hierarchy : Hierarchy
        Its n categories.
    trainable_over : int
        A category with more images than this is trainable.
    counts_by_origin : int64 array [origins, n]
        Labels by :class:`~mlimages.annotate.labels.schema.Origin` and category, verified absences included.
    absent : int64 array [n]
        Images in which each category is verified absent.
    subtree_images : int64 array [n]
        Images in which each category or one below it is present.
    histogram : int64 array [m]
        Images with 0, 1, 2, ... present labels.
    """

    hierarchy: Hierarchy = field(repr=False)
    trainable_over: int
    counts_by_origin: NDArray[np.int64] = field(repr=False)
    absent: NDArray[np.int64] = field(repr=False)
    subtree_images: NDArray[np.int64] = field(repr=False)
    histogram: NDArray[np.int64] = field(repr=False)

    @cached_property
    def images_per_category(self) -> NDArray[np.int64]:
        """Images in which each category is present, int64 [n]."""
        present: NDArray[np.int64] = self.counts_by_origin.sum(0) - self.absent
        return present

    @property
    def images(self) -> int:
        """Images, with labels or without."""
        return int(self.histogram.sum())

    @property
    def labels(self) -> int:
        """Present labels of all images."""
        return int(self.images_per_category.sum())

    @property
    def categories(self) -> int:
        """Categories that are present in at least one image."""
        return int(np.count_nonzero(self.images_per_category))

    @property
    def trainable(self) -> int:
        """Categories present in more than `trainable_over` images."""
        return int(np.count_nonzero(self.images_per_category > self.trainable_over))

    @property
    def mean_labels_per_image(self) -> float:
        """Mean number of present labels of an image; images without labels count."""
        return self.labels / self.images if self.images else 0.0

    @property
    def mean_images_per_category(self) -> float:
        """Mean number of images of a category, over the categories that are present in at least one image."""
        return self.labels / self.categories if self.categories else 0.0

    @property
    def by_origin(self) -> dict[str, int]:
        """Labels by origin, verified absences included."""
        return {each.name.lower(): int(self.counts_by_origin[each].sum()) for each in Origin}

    @cached_property
    def per_category(self) -> pd.DataFrame:
        """One row for each category, by index: key, name, images, subtree images, absent, and labels by origin."""
        import pandas as pd

        columns: dict[str, Any] = {
            "key": self.hierarchy.keys,
            "name": [each.name for each in self.hierarchy],
            "images": self.images_per_category,
            "subtree_images": self.subtree_images,
            "absent": self.absent,
        }
        columns |= {each.name.lower(): self.counts_by_origin[each] for each in Origin}
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self.hierarchy), name="index"))

    def to_dict(self) -> dict[str, Any]:
        """All numbers but those of single categories, as plain values that JSON holds."""
        return {
            "images": self.images,
            "labels": self.labels,
            "verified_absences": int(self.absent.sum()),
            "images_without_labels": int(self.histogram[0]),
            "categories_of_the_hierarchy": len(self.hierarchy),
            "categories": self.categories,
            "trainable_categories": self.trainable,
            "trainable_over": self.trainable_over,
            "mean_labels_per_image": self.mean_labels_per_image,
            "most_labels_of_an_image": len(self.histogram) - 1,
            "mean_images_per_category": self.mean_images_per_category,
            "by_origin": self.by_origin,
            "labels_per_image": self.histogram.tolist(),
        }

    def figure_images_per_class(self, *, backend: Backend = "matplotlib") -> Any:
        """Images of each category, most first, on a logarithmic scale: a matplotlib or plotly figure."""
        if _checked(backend) == "matplotlib":
            return figures.plot_images_per_category(self.images_per_category, trainable_over=self.trainable_over)
        names = [f"{each.name} ({each.key})" for each in self.hierarchy]
        return figures.plotly_images_per_category(self.images_per_category, names, trainable_over=self.trainable_over)

    def figure_labels_per_image(self, *, backend: Backend = "matplotlib") -> Any:
        """How many images have how many labels: a matplotlib or plotly figure."""
        draw = {"matplotlib": figures.plot_labels_per_image, "plotly": figures.plotly_labels_per_image}
        return draw[_checked(backend)](self.histogram)

    def save_figures(self, folder: str | os.PathLike[str], *, html: bool = False) -> list[Path]:
        """Write ``images_per_class`` and ``labels_per_image`` as PNG, with `html` as pages too; return the files.

        Raises
        ------
        MissingExtraError
            If matplotlib, or for the pages plotly, is not installed.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        drawn = {"images_per_class": self.figure_images_per_class, "labels_per_image": self.figure_labels_per_image}
        kinds: list[tuple[Backend, str]] = [("matplotlib", "png"), ("plotly", "html")]
        return [
            figures.save_figure(draw(backend=backend), folder / f"{name}.{ending}")
            for backend, ending in kinds[: 1 + html]
            for name, draw in drawn.items()
        ]

    def __repr__(self) -> str:
        lines = [
            (f"{self.images:,}", "images"),
            (f"{self.categories:,}", f"categories present, of {len(self.hierarchy):,}"),
            (f"{self.trainable:,}", f"trainable categories (over {self.trainable_over:,} images)"),
            (f"{self.mean_labels_per_image:,.2f}", "labels per image on average"),
            (f"{self.mean_images_per_category:,.1f}", "images per category on average"),
        ]
        width = max(len(number) for number, _ in lines)
        return "\n".join(f"{number:>{width}}  {what}" for number, what in lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def statistics(
    table: TableLike,
    *,
    trainable_over: int = TRAINABLE_OVER,
    engine: EngineName = "local",
    workers: int | None = None,
) -> TableStatistics:
    """Count the images and labels of a table, as those of ML-Images were published.

    A label is counted as present where its confidence is above 0. Reads the table once, a batch at a time.

    Parameters
    ----------
    table : AnnotationTable or path-like
        The table to count.
    trainable_over : int
        A category with more images than this is trainable.
    engine : {"local", "ray"}
        The engine that reads and counts the parts.
    workers : int, optional
        Threads (or, with Ray, actors), each of which counts a part at a time; as many as there are cores by default.

    Returns
    -------
    TableStatistics
        Counts of every category, the histogram of labels per image and both figures; prints as a summary.

    Raises
    ------
    TableError
        For a damaged table.
    """
    table = as_table(table)
    run, workers = engine_named(engine), checked_workers(workers)
    if trainable_over < 0:
        raise MlimagesError(f"trainable_over={trainable_over}: expected 0 or more images")
    load_kernels("mlimages.annotate.inspect.statisticskernels")
    hierarchy = table.hierarchy
    total = _Counts.zero(len(hierarchy))
    count = Calls(partial(_count_part, table, hierarchy.parents()))
    for counts in run(count, range(len(table.manifest.parts)), workers):
        total = _Counts(*map(np.add, total, counts))
    most = int(np.flatnonzero(total.histogram)[-1]) if total.histogram.any() else 0
    return TableStatistics(
        hierarchy, trainable_over, total.by_origin, total.absent, total.subtree, total.histogram[: most + 1]
    )


def _count_part(table: AnnotationTable, parents: CSR, part: int) -> _Counts:
    from mlimages.annotate.inspect import statisticskernels as kernels

    n = len(parents)
    counts = _Counts.zero(n)
    for batch in table.part_batches(part, columns=["labels", "confidences", "origins"]):
        offsets = list_offsets(batch.column("labels"))
        labels, confidences, origins = (readonly(numbers_of(column.flatten())) for column in batch.columns)
        above = readonly(parents.indptr), readonly(parents.indices)
        kernels.count(readonly(offsets - offsets[0]), labels, confidences, origins, *above, *counts)
    return counts


def _checked(backend: str) -> str:
    if backend not in ("matplotlib", "plotly"):
        raise MlimagesError(f"backend={backend!r}: expected matplotlib or plotly")
    return backend
