"""Arrow columns of lists as numpy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import LabelError


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


def as_list(column: Any, name: str, kind: pa.DataType) -> pa.ListArray:
    """A column as lists of a type, none of them null."""
    wanted = pa.list_(kind)
    if column.type != wanted:
        try:
            column = column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise LabelError(f"column {name} has the type {column.type}, expected {wanted} ({error})") from None
    if column.null_count or column.values.null_count:
        raise LabelError(f"found a null in the column {name}, expected lists of {kind} without nulls")
    return column


def list_offsets(lists: pa.ListArray) -> NDArray[np.int32]:
    """Where each row begins among the values, int32 [rows + 1], without a copy."""
    if not len(lists):
        return readonly(np.zeros(1, np.int32))
    return np.frombuffer(lists.buffers()[1], np.int32)[lists.offset : lists.offset + len(lists) + 1]


def readonly(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory, read-only: the compiled kernels take their inputs so."""
    view = array.view()
    view.flags.writeable = False
    return view
