"""Tables with one row per image: a folder of Parquet parts, their categories and a manifest."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import TableError
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.categories import read_categories, stated_categories
from mlimages.storage.checks import Columns
from mlimages.storage.manifest import CATEGORIES, MANIFEST, Manifest, check_keys
from mlimages.storage.part import DamagedRow, PartReader, open_part, problem_of

if TYPE_CHECKING:
    import pandas as pd

    from mlimages.hierarchy import Hierarchy


class ImageTable(ABC):
    """A table on disk with one row per image; open one with the :meth:`open` of its kind.

    Nothing but the manifest is read until it is asked for, and no method but :meth:`to_table` and :meth:`to_pandas`
    holds more than a batch.

    Attributes
    ----------
    folder : pathlib.Path
        Its folder.
    manifest : Manifest
        Its inputs, parts and counts.
    """

    #: The kind of content stated in the manifest; None for annotations.
    CONTENT: ClassVar[str | None]

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def __reduce__(self) -> tuple[type[Self], tuple[Path, Manifest]]:
        # what was read is not pickled but read again: tasks that are sent to other processes stay small
        return type(self), (self.folder, self.manifest)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, hierarchy: Hierarchy | None = None) -> Self:
        """Open a table.

        Parameters
        ----------
        folder : path-like
            The folder.
        hierarchy : Hierarchy, optional
            The hierarchy the table is meant to be read with.

        Raises
        ------
        TableError
            If there is no table, or an unfinished one, one of another kind, or one made with another hierarchy.
        """
        manifest = Manifest.read(folder)
        content = manifest.metadata.get("content")
        if content != cls.CONTENT:  # other kinds of tables share the manifest
            expected = f"a table of {cls.CONTENT}" if cls.CONTENT else "an annotation table"
            raise TableError(f"{os.fspath(folder)}: holds {content or 'annotations'}, expected {expected}")
        table = cls(Path(folder), manifest)
        table.check_metadata()
        if hierarchy is not None:
            table.check_hierarchy(hierarchy)
        return table

    def check_metadata(self) -> None:
        """Raise a FormatError if the manifest lacks the metadata of this kind of table."""
        check_keys(self.manifest.metadata, {"hierarchy_fingerprint": str, "categories": int}, self.folder / MANIFEST)

    def check_hierarchy(self, hierarchy: Hierarchy) -> None:
        """Raise a TableError if the table was made with another hierarchy than `hierarchy`."""
        stated = self.manifest.metadata.get("hierarchy_fingerprint")
        if stated != hierarchy.fingerprint:
            raise TableError(
                f"{self.folder}: made with the hierarchy {str(stated)[:12]}... "
                f"({self.manifest.metadata.get('categories')} categories), and read with "
                f"{hierarchy.fingerprint[:12]}... ({len(hierarchy)}): indices would mean other categories; "
                f"{self.folder / CATEGORIES} holds the right one"
            )

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The categories, from the table's own ``categories.parquet``."""
        hierarchy = read_categories(self.folder)
        self.check_hierarchy(hierarchy)
        return hierarchy

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns."""

    def __len__(self) -> int:
        return self.manifest.rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.folder}: {len(self):,} images in {len(self.manifest.parts)} parts>"

    # Reading ------------------------------------------------------------------------------------------------------

    def batches(self, *, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """All images in order.

        Parameters
        ----------
        columns : sequence of str, optional
            Some of the columns; all by default.
        rows : int
            Maximum number of images in a batch.

        Yields
        ------
        pyarrow.RecordBatch
        """
        for part in range(len(self.manifest.parts)):
            yield from self.part_batches(part, columns=columns, rows=rows)

    def part_batches(
        self, part: int, *, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The images of one `part`, by number, so that several threads can share a table.

        `columns` and `rows` are those of :meth:`batches`.
        """
        with self.open_part(part) as reader:
            yield from reader.batches(columns or None, rows=rows)

    def sifted_batches(
        self, bad: list[DamagedRow], *, columns: Sequence[str] | None = None, unchecked: Collection[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        """All images in order except invalid rows and parts.

        Parameters
        ----------
        bad : list of DamagedRow
            Receives what is left out, before the batch that contained it is yielded.
        columns : sequence of str, optional
            Some of the columns; all by default.
        unchecked : collection of str
            List columns whose range the caller checks; their labels are int32.
        """
        wanted = self.columns
        if "labels" in unchecked:
            place = wanted.schema.get_field_index("labels")
            schema = wanted.schema.set(place, pa.field("labels", pa.list_(pa.int32())))
            wanted = replace(wanted, schema=schema, categories=None)
        greatest = {name: most for name, most in wanted.greatest.items() if name not in unchecked}
        wanted = replace(wanted, greatest=greatest)
        for number, part in enumerate(self.manifest.parts):
            try:
                with open_part(self.folder, self.manifest, number, wanted) as reader:
                    yield from reader.sifted(columns, bad)
            except TableError as error:
                path = self.folder / part.file
                bad.append(
                    DamagedRow(path, None, None, str(error).partition("; mlimages verify")[0][len(f"{path}: ") :])
                )

    def to_table(self, *, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table in memory.

        Parameters
        ----------
        columns : sequence of str, optional
            Some of the columns; all by default.
        """
        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(list(self.batches(columns=columns)), schema)

    def to_pandas(self, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The whole table as a DataFrame: a numpy array of labels, confidences and origins in each row.

        Parameters
        ----------
        columns : sequence of str, optional
            Some of the columns; all by default.
        """
        frame: pd.DataFrame = self.to_table(columns=columns).to_pandas()
        return frame

    def take(self, rows: ArrayLike, *, columns: Sequence[str] | None = None) -> pa.Table:
        """Some images by number; reads only the row groups that hold them.

        Parameters
        ----------
        rows : int array [m]
            Numbers of images, in the order of the result.
        columns : sequence of str, optional
            Some of the columns; all by default.

        Raises
        ------
        IndexError
            For a number outside the table.
        """
        wanted = np.asarray(rows, np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"row {outside[0]} of a table of {len(self)}")
        order = np.argsort(wanted, kind="stable")
        places, starts = self._groups
        groups = np.searchsorted(starts, wanted[order], side="right") - 1
        pieces = []
        for group in np.unique(groups):
            part, number = places[group]
            with self.open_part(part) as reader:
                read = reader.group(number, columns or None)
            within = wanted[order][groups == group] - starts[group]
            pieces.append(read.take(pa.array(within)))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        if not pieces:
            schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
            return schema.empty_table()
        return pa.concat_tables(pieces).take(pa.array(back))

    def find(self, image: str) -> int:
        """Number of the first row of an image.

        Parameters
        ----------
        image : str
            Its name, as in the list.

        Raises
        ------
        TableError
            If the table does not contain the image.
        """
        at = 0
        for batch in self.batches(columns=["image"]):
            row = pc.index(batch.column("image"), image).as_py()
            if row >= 0:
                return int(at + row)
            at += batch.num_rows
        raise TableError(
            f"{self.folder}: holds no image {image!r}; names are case-sensitive and written as in the list"
        )

    # Parts --------------------------------------------------------------------------------------------------------

    @cached_property
    def categories(self) -> int:
        """Number of categories in the manifest, which agrees with ``categories.parquet`` if that exists."""
        return stated_categories(self.folder, self.manifest)

    @property
    def columns(self) -> Columns:
        """The columns that a part must have."""
        return Columns(self.schema, self.categories)

    def open_part(self, part: int) -> AbstractContextManager[PartReader]:
        """A `part`, by number, whose content is checked when read; a TableError if it cannot be read."""
        return open_part(self.folder, self.manifest, part, self.columns)

    def problems(self) -> Iterator[str]:
        """Read all parts and return the first problem of each invalid part, with its place."""
        for part in range(len(self.manifest.parts)):
            found = problem_of(lambda: self.part_batches(part))  # noqa: B023  # called at once
            if found is not None:
                yield found

    @cached_property
    def _groups(self) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
        """Part and number of every row group, and the number of its first row."""
        places: list[tuple[int, int]] = []
        rows: list[int] = []
        for part in range(len(self.manifest.parts)):
            with self.open_part(part) as reader:
                places += [(part, number) for number in range(len(reader.group_rows))]
                rows += reader.group_rows
        return places, np.cumsum([0, *rows], dtype=np.int64)[: len(rows)]
