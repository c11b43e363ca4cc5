"""Co-occurrence counts: how often a teacher sees one category in the images of another, and rules derived from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from mlimages.annotate.cooccurrence.counting import Side, count_pairs
from mlimages.annotate.cooccurrence.paircounter import DEFAULT_SIZES, CountingSizes
from mlimages.annotate.cooccurrence.storedcounts import StoredCounts, read_counts, write_counts
from mlimages.annotate.cooccurrence.wilson import wilson_lower
from mlimages.annotate.labels.schema import Origin
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.annotate.tables.predictions import PredictionTable
from mlimages.errors import MlimagesError, TableError
from mlimages.hierarchy import CategoryLike, Hierarchy
from mlimages.job.engines import EngineName
from mlimages.job.local import checked_workers
from mlimages.storage.rows import rows_of
from mlimages.storage.table import ImageTable

if TYPE_CHECKING:
    import pandas as pd

Categories = Iterable[CategoryLike] | NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cooccurrence:
    """Counts of images by source and target category; :meth:`count` makes one.

    Sources are categories of annotations, targets those of a teacher. The sum of the counts of two disjoint sets of
    images is that of the whole, exactly.

    Parameters
    ----------
    hierarchy : Hierarchy
        The categories.
    sources, targets : int32 array [m] and [k]
        The axes, as indices.
    counts : int64 csr_array [m, k]
        Images that carry the source and on which the teacher sees the target.
    images : int64 array [m]
        Images that carry the source: n(i).
    target_images : int64 array [k]
        Images on which the teacher sees the target.
    total : int
        Images counted: those that both tables have.
    teacher_threshold : float
        A prediction counts where its score is above this.
    unmatched : (int, int)
        Images of the annotations without predictions, and of the predictions without annotations; not counted.
    """

    hierarchy: Hierarchy = field(repr=False)
    sources: NDArray[np.int32] = field(repr=False)
    targets: NDArray[np.int32] = field(repr=False)
    counts: scipy.sparse.csr_array = field(repr=False)
    images: NDArray[np.int64] = field(repr=False)
    target_images: NDArray[np.int64] = field(repr=False)
    total: int
    teacher_threshold: float
    unmatched: tuple[int, int] = (0, 0)

    @classmethod
    def count(
        cls,
        annotations: Any,
        predictions: Any,
        *,
        hierarchy: Hierarchy | None = None,
        teacher_threshold: float = 0.95,
        sources: Categories | None = None,
        targets: Categories | None = None,
        origins: Iterable[Origin] | None = None,
        engine: EngineName = "local",
        workers: int | None = None,
        sizes: CountingSizes = DEFAULT_SIZES,
        progress: Callable[[int, int], None] | None = None,
    ) -> Cooccurrence:
        """Count over two tables, joined by image.

        An image counts where both tables have it. Tables in the same order are read once, side by side; where the
        names differ, the rest is joined by name through temporary files (in the folder that ``TMPDIR`` names), and
        then no image may have several rows.

        Parameters
        ----------
        annotations : AnnotationTable, path-like, DataFrame, pyarrow Table or RecordBatch
            Columns image, labels and, where they are known, confidences and origins. A label of confidence above 0
            counts.
        predictions : PredictionTable, path-like, DataFrame, pyarrow Table or RecordBatch
            Columns image, labels, scores.
        hierarchy : Hierarchy, optional
            The categories; may be left out where one of the tables is on disk.
        teacher_threshold : float
            A prediction counts where its score is above this.
        sources : categories, optional
            The sources; all categories by default.
        targets : categories, optional
            The targets; by default the outputs of the teacher, or all categories where these are not known.
        origins : iterable of Origin, optional
            Count only labels of these origins; by default all.
        engine : {"local", "ray"}
            The engine that counts rows in the same order; joining by name is done in this process.
        workers : int, optional
            Threads (or, with Ray, actors); as many as there are cores by default. The result does not depend on it.
        sizes : CountingSizes
            Sizes of the units of work. The result does not depend on it.
        progress : callable, optional
            Called with the number of rows compared and the number to compare.

        Raises
        ------
        TableError
            For a table of another hierarchy or kind, a threshold below that of the table of predictions, and an image
            with several rows where these must be joined.
        LabelError
            For a label that is not a category, and for a missing column.
        """
        annotations, predictions = _opened(annotations, AnnotationTable), _opened(predictions, PredictionTable)
        hierarchy = _common_hierarchy(hierarchy, annotations, predictions)
        _check_threshold(teacher_threshold, predictions)
        workers = checked_workers(workers)
        if targets is None and isinstance(predictions, PredictionTable):
            targets = predictions.outputs
        source_axis, target_axis = (_axis(hierarchy, each) for each in (sources, targets))
        columns = ["image", "labels", "confidences", *(["origins"] if origins is not None else [])]
        allowed = sum({1 << int(each) for each in origins}) if origins is not None else None
        seen = ["image", "labels", "scores"]
        if isinstance(predictions, PredictionTable) and np.float32(predictions.threshold) >= np.float32(
            teacher_threshold
        ):
            seen.remove("scores")  # the table holds only such as are above it: no need to read by how much
        source_places, target_places = (_inverse(axis, len(hierarchy)) for axis in (source_axis, target_axis))
        given = rows_of(annotations, columns), "confidences", 0.0, allowed
        predicted = rows_of(predictions, seen), "scores", teacher_threshold, None
        if isinstance(annotations, PredictionTable):
            given = predicted
        sides = (
            Side(_name(annotations, "the annotations"), *given, source_places, len(source_axis)),
            Side(_name(predictions, "the predictions"), *predicted, target_places, len(target_axis)),
        )
        pairs, unmatched = count_pairs(sides, engine=engine, workers=workers, sizes=sizes, progress=progress)
        return cls(
            hierarchy,
            source_axis,
            target_axis,
            *(pairs.counts, pairs.images, pairs.target_images, pairs.rows),
            float(teacher_threshold),
            unmatched,
        )

    @classmethod
    def among_predictions(cls, predictions: Any, **options: Any) -> Cooccurrence:
        """Count the pairs of categories that a teacher predicts on the same image.

        Parameters
        ----------
        predictions : PredictionTable or path-like
            A table on disk.
        **options
            Those of :meth:`count`, without `origins`.
        """
        table = _opened(predictions, PredictionTable)
        if not isinstance(table, PredictionTable):
            raise MlimagesError(f"found a {type(predictions).__name__}, expected the path of a table of predictions")
        if "origins" in options:
            raise MlimagesError("origins: no option of predictions, which all come from the teacher")
        return cls.count(table, table, **{"sources": table.outputs, **options})

    # Merging, saving ----------------------------------------------------------------------------------------------

    def __add__(self, other: Cooccurrence) -> Cooccurrence:
        """The counts of both, which must have the same axes and threshold and are of different images."""
        if not isinstance(other, Cooccurrence):
            return NotImplemented
        for what, ours, theirs in (
            ("the hierarchy", self.hierarchy.fingerprint[:12], other.hierarchy.fingerprint[:12]),
            ("the teacher threshold", self.teacher_threshold, other.teacher_threshold),
            ("the number of sources", len(self.sources), len(other.sources)),
            ("the number of targets", len(self.targets), len(other.targets)),
        ):
            if ours != theirs:
                raise MlimagesError(f"cannot add counts: {what} is {ours} in one and {theirs} in the other")
        if not (np.array_equal(self.sources, other.sources) and np.array_equal(self.targets, other.targets)):
            raise MlimagesError("cannot add counts: sources or targets are other categories or in another order")
        return replace(
            self,
            counts=self.counts + other.counts,
            images=self.images + other.images,
            target_images=self.target_images + other.target_images,
            total=self.total + other.total,
            unmatched=(self.unmatched[0] + other.unmatched[0], self.unmatched[1] + other.unmatched[1]),
        )

    def __eq__(self, other: object) -> bool:
        """Same categories, axes, counts and threshold."""
        if not isinstance(other, Cooccurrence):
            return NotImplemented
        return (
            self.hierarchy.fingerprint == other.hierarchy.fingerprint
            and (self.total, self.teacher_threshold, self.unmatched)
            == (other.total, other.teacher_threshold, other.unmatched)
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("sources", "targets", "images", "target_images")
            )
            and abs(self.counts - other.counts).sum() == 0
        )

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the counts into one file.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.npz`` gives a file that ``scipy.sparse.load_npz`` reads, its rows and columns those
            of the axes; any other a Parquet file of the columns source, target (category indices) and count. Both
            hold, as metadata, the keys and fingerprints of both axes and all other numbers.
        """
        values = (getattr(self, name) for name in StoredCounts._fields)
        write_counts(StoredCounts(*values), Path(path), self.hierarchy)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, hierarchy: Hierarchy) -> Cooccurrence:
        """Read counts that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        hierarchy : Hierarchy
            The categories, the same as the counts were made with.

        Raises
        ------
        FormatError
            For a file of another format, or of a newer version.
        TableError
            For another hierarchy.
        """
        return cls(hierarchy, *read_counts(Path(path), hierarchy))

    # Probabilities and rules ------------------------------------------------------------------------------------------

    def normalised(self) -> scipy.sparse.csr_array:
        """The share of the images of a source on which the teacher sees the target: p(j|i), float64 CSR [m, k]."""
        rows = np.repeat(self.images, np.diff(self.counts.indptr))
        return scipy.sparse.csr_array(
            (self.counts.data / np.maximum(rows, 1), self.counts.indices.copy(), self.counts.indptr.copy()),
            shape=self.counts.shape,
        )

    def rules(
        self,
        *,
        min_probability: float = 0.5,
        min_images: int = 1,
        teacher_threshold: float | None = None,
        exclude_related: bool = True,
    ) -> pd.DataFrame:
        """The pairs that strongly co-occur: a rule i -> j for every p(j|i) above `min_probability`.

        Parameters
        ----------
        min_probability : float
            p must be above this; 0.5 is the published choice.
        min_images : int
            Sources with fewer images give no rule.
        teacher_threshold : float, optional
            The threshold that the counts must have been made with, since it is applied in counting.
        exclude_related : bool
            Leave out pairs in which one is an ancestor of the other. A category and itself are always left out.

        Returns
        -------
        pandas.DataFrame
            The strongest first: ``source``, ``target`` (keys); ``p``; ``support``, the images that have both;
            ``images``, those of the source; ``lower``, the lower end of Wilson's interval of 95 % for p (Wilson 1927);
            ``lift``, p over the share of the target among all images; ``source_index``, ``target_index``,
            ``source_name``, ``target_name``.

        Raises
        ------
        MlimagesError
            For a probability outside [0, 1], fewer than 1 image, another teacher threshold.
        """
        from mlimages.annotate.propagation.rules import rule_frame

        if not 0 <= min_probability <= 1:
            raise MlimagesError(f"min_probability={min_probability}: expected 0 to 1")
        if min_images < 1:
            raise MlimagesError(f"min_images={min_images}: expected at least 1")
        if teacher_threshold is not None and teacher_threshold != self.teacher_threshold:
            raise MlimagesError(
                f"teacher_threshold={teacher_threshold}: the counts were made with {self.teacher_threshold}, and do "
                "not hold the scores: count again"
            )
        rows = np.repeat(np.arange(len(self.sources)), np.diff(self.counts.indptr))
        columns, support = self.counts.indices, self.counts.data
        images = self.images[rows]
        chosen = (images >= min_images) & (support > min_probability * images)
        rows, columns, support, images = rows[chosen], columns[chosen], support[chosen], images[chosen]
        sources, targets = self.sources[rows], self.targets[columns]
        kept = sources != targets
        if exclude_related:
            kept &= ~(self.hierarchy.is_ancestor(sources, targets) | self.hierarchy.is_ancestor(targets, sources))
        p = support / images
        share = self.target_images[columns] / max(1, self.total)
        order = np.lexsort((targets, sources, -support, -p))
        order = order[kept[order]]
        return rule_frame(
            self.hierarchy,
            sources[order],
            targets[order],
            p=p[order],
            support=support[order],
            images=images[order],
            lower=wilson_lower(support, images)[order],
            lift=(p / share)[order],
        )


def _opened(source: Any, kind: type[ImageTable]) -> Any:
    """A table on disk if a path is given, anything else unchanged."""
    return kind.open(source) if isinstance(source, str | os.PathLike) else source


def _name(table: Any, default: str) -> str:
    return os.fspath(table.folder) if isinstance(table, ImageTable) else default


def _common_hierarchy(hierarchy: Hierarchy | None, *tables: Any) -> Hierarchy:
    stored = [table for table in tables if isinstance(table, ImageTable)]
    if hierarchy is None:
        if not stored:
            raise MlimagesError("labels in memory do not name their categories: pass hierarchy=")
        hierarchy = stored[0].hierarchy
    for table in stored:
        table.check_hierarchy(hierarchy)
    return hierarchy


def _check_threshold(threshold: float, predictions: Any) -> None:
    if not 0 <= threshold < 1:
        raise MlimagesError(f"teacher_threshold={threshold}: expected 0 up to less than 1")
    if isinstance(predictions, PredictionTable):
        if threshold < predictions.threshold:
            raise TableError(
                f"{predictions.folder}: holds only scores above {predictions.threshold}, and teacher_threshold is "
                f"{threshold}: predict again with a lower threshold"
            )
    elif not isinstance(predictions, ImageTable) and "scores" not in _columns(predictions):
        raise MlimagesError(
            f"the predictions have the columns {', '.join(_columns(predictions))}, expected image, labels, scores"
        )


def _columns(source: Any) -> list[str]:
    """The columns of a DataFrame, a pyarrow Table or a RecordBatch."""
    names = source.schema.names if hasattr(source, "schema") else getattr(source, "columns", ())
    return [str(each) for each in names]


def _axis(hierarchy: Hierarchy, categories: Categories | None) -> NDArray[np.int32]:
    """Indices of the categories, each once."""
    if categories is None:
        return np.arange(len(hierarchy), dtype=np.int32)
    axis = np.asarray(hierarchy.index(categories), np.int32).reshape(-1)
    found, counts = np.unique(axis, return_counts=True)
    if (counts > 1).any():
        raise MlimagesError(f"{hierarchy.keys[int(found[counts > 1][0])]}: named twice among sources or targets")
    return axis


def _inverse(axis: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """Position of each category on the axis, or -1, int32 [n]."""
    inverse = np.full(n, -1, np.int32)
    inverse[axis] = np.arange(len(axis), dtype=np.int32)
    return inverse
