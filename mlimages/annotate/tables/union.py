"""The union of the labels that several rows have for one image: the one rule for tables and for duplicates."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels, LabelArrays
from mlimages.hierarchy import CSR
from mlimages.storage.arrow import list_batch, readonly


def unite(
    batch: pa.RecordBatch, more: pa.RecordBatch, more_of: NDArray[np.int64], closure: CSR, *, keep_largest: bool
) -> tuple[pa.RecordBatch, int]:
    """Add to every row the labels of further rows of the same image.

    A present label beats a verified absence, which takes with it the absences that flowed down from it, unless another
    absence implies these too. A label that any row was given counts as given.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        The rows: image, labels, confidences and origins, labels below the number of categories.
    more : pyarrow.RecordBatch
        The further rows, of the same columns.
    more_of : int64 array [rows + 1]
        Row i is joined by the rows ``more_of[i]`` to ``more_of[i + 1]`` of `more`.
    closure : CSR
        The ancestors of every category.
    keep_largest : bool
        Whether a label that several rows have keeps its largest confidence, or the first.

    Returns
    -------
    batch : pyarrow.RecordBatch
        The rows with the labels of all: their own first, then those of the others in their order.
    beaten : int
        The verified absences that a present label beat.
    """
    from mlimages.annotate.tables import unionkernels as kernels

    ours, theirs = GivenLabels.of(batch), GivenLabels.of(more)
    bound = int(ours.offsets[-1] - ours.offsets[0])
    bound += int(theirs.offsets[more_of[-1]] - theirs.offsets[more_of[0]])
    out = LabelArrays.empty(batch.num_rows, bound, np.dtype(np.int32))
    above = readonly(closure.indptr), readonly(closure.indices)
    beaten = kernels.unite(ours[1:], theirs[1:], readonly(more_of), above, keep_largest, out[:])
    return list_batch(batch.schema, ours.image, *out.used()), int(beaten)
