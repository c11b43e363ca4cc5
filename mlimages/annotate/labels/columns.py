"""The columns of labels in a batch as numpy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.storage.arrow import list_offsets
from mlimages.storage.arrow import readonly as readonly
from mlimages.storage.checks import GREATEST, check_memory, numbers_of

_ORIGINS = {"origins": GREATEST["origins"]}


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
            For a missing column, one of another type, a null, lists of different lengths, or an unknown origin.
        """
        plain = "labels" in batch.schema.names and batch.column("labels").type == pa.list_(pa.int16())
        names = ("image", "labels", values, "origins")
        batch = check_memory(batch, names, labels=pa.int16() if plain else pa.int32(), greatest=_ORIGINS)
        offsets, labels = entries_of(batch, "labels")
        given = aligned_entries(batch, values, offsets)
        origins = aligned_entries(batch, "origins", offsets)
        return cls(
            batch.column("image"),
            offsets,
            labels,
            given if given is not None else readonly(np.empty(0, np.float32)),
            origins if origins is not None else readonly(np.empty(0, np.uint8)),
        )


def entries_of(batch: pa.RecordBatch, name: str) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Where each row of a list column begins, int32 [rows + 1], and the entries, without a copy."""
    column = batch.column(name)
    offsets = list_offsets(column)
    return offsets, readonly(numbers_of(column.values))


def aligned_entries(batch: pa.RecordBatch, name: str, offsets: NDArray[np.int32]) -> NDArray[Any] | None:
    """A column's entries such that entry i belongs to label i; None where the batch has no such column."""
    if name not in batch.schema.names:
        return None
    own, values = entries_of(batch, name)
    if own[0] != offsets[0]:  # sliced differently: line the entries up
        aligned = np.zeros(offsets[-1], values.dtype)
        aligned[offsets[0] :] = values[own[0] : own[-1]]
        values = aligned
    return readonly(values)


class LabelArrays(NamedTuple):
    """The label columns of a table as arrays; row i is ``[offsets[i], offsets[i + 1])`` of the others."""

    offsets: NDArray[np.int32]  # [rows + 1]
    labels: NDArray[np.int16] | NDArray[np.int32]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]

    @classmethod
    def empty(cls, rows: int, entries: int, kind: np.dtype[Any]) -> LabelArrays:
        """Uninitialized room for so many rows and entries, with labels of the type `kind`."""
        return cls(
            np.empty(rows + 1, np.int32),
            np.empty(entries, kind),
            np.empty(entries, np.float32),
            np.empty(entries, np.uint8),
        )


class GivenLabels(NamedTuple):
    """The columns of a batch of given labels; only entries from ``offsets[0]`` to ``offsets[-1]`` belong to it."""

    image: pa.StringArray
    offsets: NDArray[np.int32]
    labels: NDArray[np.int32]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]  # empty: all given

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> GivenLabels:
        """Look into a batch, without a copy where its types are those of a table.

        Ranges of labels and confidences are not checked: who reads lists sets bad rows aside.

        Raises
        ------
        LabelError
            For a missing column, one of another type, a null, lists of different lengths, or an unknown origin.
        """
        names = ("image", "labels", "confidences", "origins")
        batch = check_memory(batch, names, labels=pa.int32(), greatest=_ORIGINS)
        offsets, labels = entries_of(batch, "labels")
        confidences = aligned_entries(batch, "confidences", offsets)
        origins = aligned_entries(batch, "origins", offsets)
        return cls(
            batch.column("image"),
            offsets,
            labels,
            confidences if confidences is not None else readonly(np.ones(len(labels), np.float32)),
            origins if origins is not None else readonly(np.empty(0, np.uint8)),
        )
