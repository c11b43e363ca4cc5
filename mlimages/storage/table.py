"""Tables with a row an image: a folder of Parquet parts, their categories and a manifest."""

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
    """A table on disk with a row an image; open one with the :meth:`open` of its kind.

    Nothing but the manifest is read until it is asked for, and no method but :meth:`to_table` and :meth:`to_pandas`
    holds more than a batch.

    Attributes
    ----------
    folder : pathlib.Path
        Where it is.
    manifest : Manifest
        What it was made of, its parts and counts.
    """

    #: What its rows hold, as the manifest says it; of annotations it says nothing.
    CONTENT: ClassVar[str | None]

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def __reduce__(self) -> tuple[type[Self], tuple[Path, Manifest]]:
        # what was read of it is read again by whoever gets it: tasks that travel to other processes stay small
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
            Where there is no table, an unfinished one, one of another kind, or one made with another hierarchy.
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
        """Raise a FormatError where the manifest lacks what a table of this kind says of itself."""
        check_keys(self.manifest.metadata, {"hierarchy_fingerprint": str, "categories": int}, self.folder / MANIFEST)

    def check_hierarchy(self, hierarchy: Hierarchy) -> None:
        """Raise a TableError where the table was made with another hierarchy than this `hierarchy`."""
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
            Images of a batch, at most.

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
        """All images in order but for those whose rows, or parts, are not as they should be.

        Parameters
        ----------
        bad : list of DamagedRow
            Takes what is left out, before the batch comes that it stood in.
        columns : sequence of str, optional
            Some of the columns; all by default.
        unchecked : collection of str
            List columns whose range the caller looks at; labels come as int32 then.
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
            Numbers of images, in the order they shall have.
        columns : sequence of str, optional
            Some of the columns; all by default.

        Raises
        ------
        IndexError
            For a number beyond the table.
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
            Where the table does not hold it.
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
        """How many there are, by the manifest, which agrees with ``categories.parquet`` where that is there."""
        return stated_categories(self.folder, self.manifest)

    @property
    def columns(self) -> Columns:
        """What a part must hold to be read."""
        return Columns(self.schema, self.categories)

    def open_part(self, part: int) -> AbstractContextManager[PartReader]:
        """A `part`, by number, to read checked; what of it cannot be read is a TableError."""
        return open_part(self.folder, self.manifest, part, self.columns)

    def problems(self) -> Iterator[str]:
        """Read all parts, and say what is wrong first with each that is not as it should be: what, and where."""
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
