"""Arrow columns as numpy arrays: names and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def text_of(strings: pa.StringArray) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The buffers of a text array: string i is ``data[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    data : uint8 array
        The bytes of all strings, read-only, without a copy; the first string need not begin at 0.
    offsets : int32 array [m + 1]
        Where each begins, read-only.
    """
    buffer = strings.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer is not None and buffer.size else np.empty(0, np.uint8)
    return readonly(data), list_offsets(strings)


def list_column(kind: pa.DataType, offsets: NDArray[np.int32], values: NDArray[Any]) -> pa.ListArray:
    """An Arrow column of lists over numpy arrays, without a copy where `values` have the type of its entries.

    Parameters
    ----------
    kind : pyarrow.DataType
        The type of the column, a list type.
    offsets : int32 array [rows + 1], contiguous
        Where each row begins among the values.
    values : array
        The entries of all rows.

    Examples
    --------
    >>> list_column(pa.list_(pa.int16()), np.array([0, 2, 2], np.int32), np.array([5, 7], np.int16)).to_pylist()
    [[5, 7], []]
    """
    children = [pa.array(values, kind.value_type)]
    return pa.ListArray.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets)], children=children)


def list_batch(
    schema: pa.Schema, image: pa.StringArray, offsets: NDArray[np.int32], *lists: NDArray[Any]
) -> pa.RecordBatch:
    """A batch of names and of list columns in the order of the schema, whose rows begin at the same `offsets`."""
    columns = [list_column(field.type, offsets, values) for field, values in zip(list(schema)[1:], lists, strict=True)]
    return pa.RecordBatch.from_arrays([image, *columns], schema=schema)


def list_offsets(lists: pa.ListArray | pa.StringArray) -> NDArray[np.int32]:
    """Where each row of lists or text begins among the values, int32 [rows + 1], without a copy."""
    if not len(lists):
        return readonly(np.zeros(1, np.int32))
    return readonly(np.frombuffer(lists.buffers()[1], np.int32)[lists.offset : lists.offset + len(lists) + 1])


def offsets_of(lengths: NDArray[Any] | Sequence[int], kind: type[Any] = np.int32) -> NDArray[Any]:
    """Where each of some rows of these lengths begins, and the last one ends: [rows + 1]."""
    offsets = np.zeros(len(lengths) + 1, kind)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def readonly(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory, read-only: the compiled kernels take their inputs so."""
    view = array.view()
    view.flags.writeable = False
    return view
