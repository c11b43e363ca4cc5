"""Annotation tables: which image carries which labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from mlimages.annotate.labels.schema import Origin, table_schema
from mlimages.annotate.propagation.augment import Propagation
from mlimages.annotate.propagation.rules import Rules
from mlimages.errors import FormatError, MlimagesError, TableError
from mlimages.storage.manifest import MANIFEST, check_keys, stated_rules
from mlimages.storage.table import ImageTable

if TYPE_CHECKING:
    from mlimages.hierarchy import Category


@dataclass(frozen=True, slots=True)
class Label:
    """A label of one image.

    Parameters
    ----------
    category : Category
        The category of the label.
    confidence : float
        Above 0 to 1: present; 0: verified absent.
    origin : Origin
        Why the label is there.
    """

    category: Category
    confidence: float
    origin: Origin


class AnnotationTable(ImageTable):
    """An annotation table on disk; open one with :meth:`open`."""

    CONTENT = None

    def check_metadata(self) -> None:
        """Raise a FormatError if the manifest lacks the metadata of an annotation table."""
        super().check_metadata()
        path = self.folder / MANIFEST
        check_keys(self.manifest.metadata, {"propagation": dict}, path)
        try:
            Propagation(**self.manifest.metadata["propagation"])
        except (TypeError, MlimagesError) as error:
            raise FormatError(f"not the manifest of a table: found another propagation ({error})", path=path) from None
        stated_rules(self.manifest, path)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return table_schema(self.categories)

    @cached_property
    def rules(self) -> Rules | None:
        """The co-occurrence rules it was made with; None if there were none."""
        stated = self.manifest.metadata.get("rules")
        if stated is None:
            return None
        path = self.folder / stated["file"]
        if not path.is_file():
            raise TableError(f"{path}: missing; mlimages verify checks all files")
        return Rules.of(path, self.hierarchy, confidence=stated["confidence"])

    def multi_hot(self, rows: ArrayLike, *, unknown: float = 0.0) -> NDArray[np.float32]:
        """Confidences of some images as a matrix.

        Parameters
        ----------
        rows : int array [m]
            Numbers of images.
        unknown : float
            The value for a category that an image does not list; -1 distinguishes it from a verified absence.

        Returns
        -------
        float32 array [m, n]
            One column per category: the confidence, 0 where verified absent.
        """
        read = self.take(rows, columns=["labels", "confidences"])
        labels = read.column("labels").combine_chunks()
        lengths = pc.list_value_length(labels).to_numpy()
        result = np.full((len(lengths), self.categories), unknown, np.float32)
        at = np.repeat(np.arange(len(lengths)), lengths)
        result[at, labels.flatten().to_numpy()] = read.column("confidences").combine_chunks().flatten().to_numpy()
        return result

    def labels_of(self, image: str) -> list[Label]:
        """The labels of an image, in their order.

        Parameters
        ----------
        image : str
            Its name, as in the list.

        Raises
        ------
        TableError
            If the table does not contain the image.
        """
        row = self.take([self.find(image)])
        columns = (row.column(name)[0].as_py() for name in ("labels", "confidences", "origins"))
        return [
            Label(self.hierarchy[label], confidence, Origin(origin))
            for label, confidence, origin in zip(*columns, strict=True)
        ]

    def category_counts(self) -> NDArray[np.int64]:
        """Images in which each category is present (confidence above 0), int64 [n]."""
        n = self.categories
        counts = np.zeros(n, np.int64)
        for batch in self.batches(columns=["labels", "confidences"]):
            labels, confidences = (batch.column(i).flatten().to_numpy() for i in range(2))
            counts += np.bincount(labels[confidences > 0], minlength=n)
        return counts


TableLike = AnnotationTable | str | os.PathLike[str]


def as_table(table: TableLike) -> AnnotationTable:
    """A table, opened where its folder is given."""
    return table if isinstance(table, AnnotationTable) else AnnotationTable.open(table)
