"""Recovery of the given labels of a propagated list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.labels.schema import GIVEN_SCHEMA
from mlimages.annotate.propagation.augment import Augmenter, Propagation
from mlimages.errors import LabelError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.arrow import list_batch
from mlimages.storage.table import ImageTable


def recover_given(rows: Any, hierarchy: Hierarchy, propagation: Propagation | None = None) -> Any:
    """Find the labels that a propagated list was made from.

    A row is read from its front: a label that no earlier one added is given, and what it adds under the rules must
    follow it. Where it does not, a label that is already in the row may have been given again and add what follows:
    the nearest such label is taken. Propagating the result gives back every row that the rules can make, in order and
    confidence, where the first confidence stays (as in the published lists) or where all ancestors are added; in a
    row that the rules cannot make, unexplained labels count as given.

    Parameters
    ----------
    rows : sequence of (label, confidence) pairs, RecordBatch, Table, AnnotationTable or iterable of RecordBatch
        One row, or many with the columns image, labels and confidences. Origins are ignored.
    hierarchy : Hierarchy
        The categories.
    propagation : Propagation, optional
        The rules that the rows were made with; those of the published lists by default.

    Returns
    -------
    list of (int, float) pairs for one row, RecordBatch or Table for the same, else iterator of RecordBatch
        The given labels, in order.

    Raises
    ------
    LabelError
        For a label outside the hierarchy, a confidence outside [0, 1], or a label that occurs twice in a row.

    Examples
    --------
    >>> h = Hierarchy(["animal", "dog", "puppy"], [[], [0], [1]])
    >>> recover_given([("puppy", 0.9), ("dog", 0.9)], h)
    [(2, 0.9)]
    """
    propagation = propagation or Propagation.published()
    augmenter = Augmenter(hierarchy, propagation)
    if isinstance(rows, pa.RecordBatch):
        return _recover(rows, augmenter)
    if isinstance(rows, pa.Table):
        return pa.Table.from_batches((_recover(batch, augmenter) for batch in rows.to_batches()), GIVEN_SCHEMA)
    if isinstance(rows, ImageTable):
        rows.check_hierarchy(hierarchy)
        return _recover_all(rows.batches(columns=["image", "labels", "confidences"]), augmenter)
    if isinstance(rows, Sequence):
        return _recover_row(rows, hierarchy, augmenter)
    return _recover_all(rows, augmenter)


def _recover_all(batches: Iterable[pa.RecordBatch], augmenter: Augmenter) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield _recover(batch, augmenter)


def _recover_row(
    row: Sequence[tuple[Any, float]], hierarchy: Hierarchy, augmenter: Augmenter
) -> list[tuple[int, float]]:
    labels = [hierarchy.index(label) for label, _ in row]
    confidences = [float(confidence) for _, confidence in row]
    columns = [
        pa.array([value], field.type) for value, field in zip(("row", labels, confidences), GIVEN_SCHEMA, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=GIVEN_SCHEMA)
    given = _recover(batch, augmenter)
    # the confidences as they came: float32 and back would make 0.8999999761581421 of 0.9
    exact = {np.float32(confidence): confidence for confidence in confidences}
    found = zip(given["labels"][0].as_py(), given["confidences"][0].as_py(), strict=True)
    return [(label, exact[np.float32(confidence)]) for label, confidence in found]


def _recover(batch: pa.RecordBatch, augmenter: Augmenter) -> pa.RecordBatch:
    from mlimages.annotate.propagation import recoverkernels as kernels

    given = GivenLabels.of(batch)
    augmenter.check(batch, given)
    most = 2 * int(given.offsets[-1] - given.offsets[0])  # a label may be given again to raise its confidence
    offsets = np.empty(batch.num_rows + 1, np.int32)
    labels, confidences = np.empty(most, np.int32), np.empty(most, np.float32)
    wrong = kernels.recover(given[1:4], *augmenter.brought, augmenter.keep_largest, (offsets, labels, confidences))
    if wrong >= 0:
        raise LabelError(
            f"row {wrong} ({batch.column('image')[wrong].as_py()!r}): a label stands twice; expected each once, as "
            "propagation leaves them"
        )
    end = int(offsets[-1])
    return list_batch(GIVEN_SCHEMA, given.image, offsets, labels[:end], confidences[:end])
