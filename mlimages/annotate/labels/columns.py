"""Arrow columns of lists as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import LabelError
from mlimages.storage.arrow import as_list, list_offsets
from mlimages.storage.arrow import readonly as readonly

if TYPE_CHECKING:
    pass


class ScoredLabels(NamedTuple):
    """Labels with a value each; only entries from ``offsets[0]`` to ``offsets[-1]`` belong to the batch."""

    image: pa.StringArray
    offsets: NDArray[np.int32]
    labels: NDArray[np.int16] | NDArray[np.int32]
    values: NDArray[np.float32]  # empty: all 1
    origins: NDArray[np.uint8]  # empty: unknown

    @classmethod
    def of(cls, batch: pa.RecordBatch, values: str) -> ScoredLabels:
        """Look into a batch whose column `values` belongs to its labels, without a copy where its types allow.

        Raises
        ------
        LabelError
            For a missing column, a null, or lists of different lengths.
        """
        image = image_names(batch)
        column = batch.column("labels")
        kept = pa.int16() if column.type == pa.list_(pa.int16()) else pa.int32()
        lists = as_list(column, "labels", kept)
        offsets = list_offsets(lists)
        given = entries_of(batch, values, pa.float32(), offsets)
        origins = entries_of(batch, "origins", pa.uint8(), offsets)
        return cls(
            image,
            offsets,
            readonly(lists.values.to_numpy()),
            given if given is not None else readonly(np.empty(0, np.float32)),
            origins if origins is not None else readonly(np.empty(0, np.uint8)),
        )


def image_names(batch: pa.RecordBatch) -> pa.StringArray:
    """The names of the images of a batch.

    Raises
    ------
    LabelError
        For a missing column, or a null among the names.
    """
    names = batch.schema.names
    for name in ("image", "labels"):
        if name not in names:
            raise LabelError(f"found the columns {', '.join(names)}, expected {name} among them")
    image = batch.column("image")
    if image.null_count:
        raise LabelError("found a null in the column image, expected a name in every row")
    return image if image.type == pa.string() else image.cast(pa.string())


def entries_of(batch: pa.RecordBatch, name: str, kind: pa.DataType, offsets: NDArray[np.int32]) -> Any:
    """A column's entries such that entry i belongs to label i; None where the batch has no such column."""
    if name not in batch.schema.names:
        return None
    lists = as_list(batch.column(name), name, kind)
    own = list_offsets(lists)
    if not (np.array_equal(own, offsets) or np.array_equal(np.diff(own), np.diff(offsets))):
        row = int(np.flatnonzero(np.diff(own) != np.diff(offsets))[0])
        raise LabelError(
            f"row {row} ({batch.column('image')[row].as_py()!r}): {own[row + 1] - own[row]} {name} for "
            f"{offsets[row + 1] - offsets[row]} labels, expected as many"
        )
    values = lists.values.to_numpy()
    if own[0] != offsets[0]:  # sliced differently: line the entries up
        aligned = np.zeros(offsets[-1], values.dtype)
        aligned[offsets[0] :] = values[own[0] : own[-1]]
        values = aligned
    return readonly(values)


class Expanded(NamedTuple):
    """Rows of labels with all that a table says of them."""

    offsets: NDArray[np.int32]  # [rows + 1]
    labels: NDArray[np.int16] | NDArray[np.int32]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]


class GivenLabels(NamedTuple):
    """The columns of a batch as arrays; only entries from ``offsets[0]`` to ``offsets[-1]`` belong to it."""

    image: pa.StringArray
    offsets: NDArray[np.int32]
    labels: NDArray[np.int32]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]  # empty: all given

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> GivenLabels:
        """Look into a batch, without a copy where its types are those of a table."""
        image = image_names(batch)
        lists = as_list(batch.column("labels"), "labels", pa.int32())
        offsets = list_offsets(lists)
        labels = readonly(lists.values.to_numpy())
        confidences = entries_of(batch, "confidences", pa.float32(), offsets)
        if confidences is None:
            confidences = readonly(np.ones(len(labels), np.float32))
        origins = entries_of(batch, "origins", pa.uint8(), offsets)
        return cls(
            image,
            offsets,
            labels,
            confidences,
            origins if origins is not None else readonly(np.empty(0, np.uint8)),
        )
