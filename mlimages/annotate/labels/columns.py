"""The columns of labels in a batch as numpy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.storage.arrow import list_offsets
from mlimages.storage.arrow import readonly as readonly
from mlimages.storage.checks import GREATEST, check_memory
from mlimages.storage.column import numbers_of

_ORIGINS = {"origins": GREATEST["origins"]}


class LabelArrays(NamedTuple):
    """The label columns of a table as arrays; row i is ``[offsets[i], offsets[i + 1])`` of the others."""

    offsets: NDArray[np.int32]  # [rows + 1]
    labels: NDArray[np.int16] | NDArray[np.int32]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]

    @classmethod
    def empty(cls, rows: int, entries: int, kind: np.dtype[Any]) -> LabelArrays:
        """Uninitialized arrays for the given numbers of rows and entries, with labels of the type `kind`."""
        return cls(
            np.empty(rows + 1, np.int32),
            np.empty(entries, kind),
            np.empty(entries, np.float32),
            np.empty(entries, np.uint8),
        )

    def used(self) -> LabelArrays:
        """The entries that belong to rows, without the unused ones after them."""
        end = int(self.offsets[-1])
        return LabelArrays(self.offsets, self.labels[:end], self.confidences[:end], self.origins[:end])


class GivenLabels(NamedTuple):
    """The columns of a batch of given labels; only entries from ``offsets[0]`` to ``offsets[-1]`` belong to it."""

    image: pa.StringArray
    offsets: NDArray[np.int32]
    labels: NDArray[np.int16] | NDArray[np.int32]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]  # empty: unknown

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> GivenLabels:
        """View a batch as :meth:`scored`; labels come as int32, and confidences are 1 where the batch has none."""
        given = cls.scored(batch, "confidences", labels=pa.int32())
        if "confidences" in batch.schema.names:
            return given
        return given._replace(confidences=readonly(np.ones(len(given.labels), np.float32)))

    @classmethod
    def scored(cls, batch: pa.RecordBatch, values: str, *, labels: pa.DataType) -> GivenLabels:
        """View a batch whose column `values` holds the confidences, which are empty where it has none.

        Nothing is copied where the types are those of a table. Ranges of labels and confidences are not checked:
        readers of lists set bad rows aside. A LabelError for a missing column, one of another type, a null, lists of
        different lengths, or an unknown origin.
        """
        batch = check_memory(batch, ("image", "labels", values, "origins"), labels=labels, greatest=_ORIGINS)
        lists = batch.column("labels")
        offsets = list_offsets(lists)
        return cls(
            batch.column("image"),
            offsets,
            readonly(numbers_of(lists.values)),
            _aligned(batch, values, offsets, np.float32),
            _aligned(batch, "origins", offsets, np.uint8),
        )

    def own(self) -> GivenLabels:
        """The entries that belong to the batch, and no others: the first begins at 0."""
        start, stop = self.offsets[0], self.offsets[-1]
        labels, confidences, origins = self.labels[start:stop], self.confidences[start:stop], self.origins[start:stop]
        return GivenLabels(self.image, self.offsets - start, labels, confidences, origins)


def _aligned(batch: pa.RecordBatch, name: str, offsets: NDArray[np.int32], kind: type[Any]) -> NDArray[Any]:
    """A column's entries such that entry i belongs to label i; empty where the batch has no such column."""
    if name not in batch.schema.names:
        return readonly(np.empty(0, kind))
    column = batch.column(name)
    own, values = list_offsets(column), numbers_of(column.values)
    if own[0] != offsets[0]:  # sliced differently: line the entries up
        aligned = np.zeros(offsets[-1], kind)
        aligned[offsets[0] :] = values[own[0] : own[-1]]
        values = aligned
    return readonly(values)
