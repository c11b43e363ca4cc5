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


def text_of(images: pa.StringArray) -> tuple[Any, Any]:
    """The bytes of all names, uint8, and where each begins among them, int32 [rows + 1]."""
    offsets, text = _text(images)
    data = np.frombuffer(text, np.uint8) if text.size else np.empty(0, np.uint8)
    return data, offsets - offsets[0]


def _text(images: pa.StringArray) -> tuple[Any, pa.Buffer]:
    if not len(images):
        return np.zeros(1, np.int32), pa.py_buffer(b"")
    offsets = np.frombuffer(images.buffers()[1], np.int32)[images.offset : images.offset + len(images) + 1]
    data = images.buffers()[2]
    if data is None:
        return offsets, pa.py_buffer(b"")
    return offsets, data.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


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
