"""Labels in memory: DataFrames, Arrow tables and record batches, or any iterable of record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.sources.source import BadRow, Report, Source
from mlimages.errors import MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.batches import BATCH_ROWS, PART_ROWS, cut_into_parts, rebatched


class MemorySource(Source):
    """Read labels that are in memory, or come one batch after another.

    Parameters
    ----------
    labels : DataFrame, pyarrow Table or RecordBatch, or iterable of RecordBatch
        Columns image, labels and, where they are known, confidences.
    hierarchy : Hierarchy
        The categories.
    part_rows, batch_rows : int
        Rows of a part and of a batch; parts do not depend on how the input is cut.

    Raises
    ------
    MlimagesError
        For labels of another type.
    """

    format = "memory"
    repeatable = False

    def __init__(
        self, labels: Any, hierarchy: Hierarchy, *, part_rows: int = PART_ROWS, batch_rows: int = BATCH_ROWS
    ) -> None:
        if not isinstance(labels, Iterable | pa.Table | pa.RecordBatch):
            raise MlimagesError(
                f"found a {type(labels).__name__} as source, expected paths, a DataFrame, a pyarrow Table or "
                "RecordBatches"
            )
        self.inputs: list[Path] = []
        self.state = {}
        self._labels = labels
        self._categories = len(hierarchy)
        self._part_rows, self._batch_rows = part_rows, batch_rows

    def tasks(self, scratch: Path) -> Iterator[BatchTask]:  # noqa: ARG002  (nothing is prepared)
        """A task for each part; without any rows there is one part."""
        index = 0
        for index, part in enumerate(cut_into_parts(memory_batches(self._labels), self._part_rows), start=1):
            given = list(rebatched(part, self._batch_rows))
            yield BatchTask(index - 1, (index - 1) * self._part_rows, given, self._categories)
        if index == 0:
            yield BatchTask(0, 0, [], self._categories)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The labels in batches as they came, cut where these are long."""
        return memory_batches(self._labels)


@dataclass(frozen=True, slots=True)
class BatchTask:
    """Batches in memory, the first of which begins at row `first` of the input."""

    index: int
    first: int
    given: list[pa.RecordBatch]
    categories: int
    size: int = 0

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The given labels, without the bad rows where these are quarantined."""
        row = self.first
        for batch in self.given:
            yield _without_bad_rows(batch, row, self.categories, report) if report.on_error == "quarantine" else batch
            row += batch.num_rows


def memory_batches(labels: Any) -> Iterator[pa.RecordBatch]:
    """Labels in memory as batches of at most `BATCH_ROWS` rows."""
    if isinstance(labels, pa.RecordBatch):
        labels = [labels]
    elif isinstance(labels, pa.Table):
        labels = labels.to_batches()
    elif hasattr(labels, "columns") and hasattr(labels, "index"):  # a DataFrame, without importing pandas to ask
        labels = pa.Table.from_pandas(labels, preserve_index=False).to_batches()
    for batch in labels:
        if not isinstance(batch, pa.RecordBatch):
            raise MlimagesError(f"found a {type(batch).__name__} among the batches, expected pyarrow RecordBatches")
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _without_bad_rows(batch: pa.RecordBatch, first: int, categories: int, report: Report) -> pa.RecordBatch:
    """The batch without the rows whose labels or confidences are out of range; those go to the report."""
    _, offsets, labels, confidences, _ = GivenLabels.of(batch).own()
    wrong_label = (labels < 0) | (labels >= categories)
    wrong = wrong_label | ~((confidences >= 0) & (confidences <= 1))
    if not wrong.any():
        return batch
    row_of = np.repeat(np.arange(batch.num_rows), np.diff(offsets))
    bad_rows, entries = np.unique(row_of[wrong], return_index=True)
    for row, entry in zip(bad_rows.tolist(), np.flatnonzero(wrong)[entries].tolist(), strict=True):
        reason = (
            f"found the label {labels[entry]}, expected an index from 0 to {categories - 1}"
            if wrong_label[entry]
            else f"found the confidence {confidences[entry]:g}, expected 0 to 1"
        )
        report.bad_row(BadRow("(memory)", first + row + 1, reason, str(batch.column("image")[row].as_py()).encode()))
    keep = np.ones(batch.num_rows, bool)
    keep[bad_rows] = False
    return batch.filter(pa.array(keep))
