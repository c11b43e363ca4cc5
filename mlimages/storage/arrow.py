"""Arrow columns as numpy arrays: names and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def same_images(a: pa.StringArray, b: pa.StringArray) -> bool:
    """Whether two columns hold the same names in the same order; compares bytes, not strings."""
    if len(a) != len(b):
        return False
    (offsets_a, text_a), (offsets_b, text_b) = _text(a), _text(b)
    if not text_a.equals(text_b):
        return False
    if offsets_a[0] == offsets_b[0]:
        return bool(pa.py_buffer(offsets_a).equals(pa.py_buffer(offsets_b)))
    return np.array_equal(offsets_a - offsets_a[0], offsets_b - offsets_b[0])


def text_of(strings: pa.StringArray) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The buffers of a text array: string i is ``data[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    data : uint8 array
        The bytes of all strings, read-only, without a copy; the first string need not begin at 0.
    offsets : int32 array [m + 1]
        Where each begins, read-only.
    """
    offsets: NDArray[np.int32] = np.zeros(1, np.int32)
    if len(strings):
        offsets = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset : strings.offset + len(strings) + 1]
    buffer = strings.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer is not None and buffer.size else np.empty(0, np.uint8)
    return readonly(data), readonly(offsets)


def _text(images: pa.StringArray) -> tuple[Any, pa.Buffer]:
    if not len(images):
        return np.zeros(1, np.int32), pa.py_buffer(b"")
    offsets = np.frombuffer(images.buffers()[1], np.int32)[images.offset : images.offset + len(images) + 1]
    data = images.buffers()[2]
    if data is None:
        return offsets, pa.py_buffer(b"")
    return offsets, data.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


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


def list_offsets(lists: pa.ListArray) -> NDArray[np.int32]:
    """Where each row begins among the values, int32 [rows + 1], without a copy."""
    if not len(lists):
        return readonly(np.zeros(1, np.int32))
    return readonly(np.frombuffer(lists.buffers()[1], np.int32)[lists.offset : lists.offset + len(lists) + 1])


def readonly(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory, read-only: the compiled kernels take their inputs so."""
    view = array.view()
    view.flags.writeable = False
    return view
