"""Pictures to be looked at, by name and in order: below a folder, of an annotation table, or packed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import JobError, MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.images.packed.reading import PackedImages, read
from mlimages.images.packed.writing import PACKED
from mlimages.images.picture import PictureError
from mlimages.storage.files import replacing
from mlimages.storage.imagefiles import SUFFIXES, image_bytes, image_names
from mlimages.storage.manifest import MANIFEST, Manifest

_SCHEMA = pa.schema([pa.field("image", pa.string())])


class Pictures(Protocol):
    """Where pictures are; picklable."""

    def names(self) -> Iterator[str]:
        """All names, in order."""

    def image(self, row: int, name: str) -> bytes:
        """The bytes of one, by its number and name; an OSError where it cannot be read."""

    @property
    def inputs(self) -> list[Path]:
        """The files that decide which there are; none for a folder."""

    @property
    def hierarchy(self) -> Hierarchy | None:
        """The categories of the labels beside the pictures."""


@dataclass(frozen=True, slots=True)
class FolderPictures:
    """All pictures below a folder."""

    folder: Path

    @property
    def inputs(self) -> list[Path]:
        """None: what a folder holds is known by its list of names."""
        return []

    @property
    def hierarchy(self) -> None:
        """None: there are no labels."""
        return

    def names(self) -> Iterator[str]:
        """All names, in order."""
        yield from image_names(self.folder)

    def image(self, row: int, name: str) -> bytes:  # noqa: ARG002  (a file is found by its name)
        """The bytes of one."""
        return (self.folder / name).read_bytes()


class TablePictures:
    """The pictures that an annotation table names, below a folder."""

    def __init__(self, table: AnnotationTable, folder: Path) -> None:
        self.table, self.folder = table, folder
        self.inputs = [table.folder / MANIFEST]

    @property
    def hierarchy(self) -> Hierarchy:
        """The categories of the table."""
        return self.table.hierarchy

    def names(self) -> Iterator[str]:
        """All names, in order."""
        for batch in self.table.batches(columns=["image"]):
            yield from batch.column(0).to_pylist()

    def image(self, row: int, name: str) -> bytes:  # noqa: ARG002  (a file is found by its name)
        """The bytes of one."""
        try:
            return image_bytes(self.folder, name)
        except MlimagesError as error:  # the name of no file below the folder
            raise PictureError(str(error)) from None


class PackedPictures:
    """Packed images."""

    def __init__(self, packed: PackedImages) -> None:
        self.packed = packed
        self.inputs = [packed.folder / MANIFEST]

    @property
    def hierarchy(self) -> Hierarchy | None:
        """The categories they were packed with, if any."""
        return self.packed.hierarchy

    def names(self) -> Iterator[str]:
        """All names, in order."""
        yield from self.packed.names()

    def image(self, row: int, name: str) -> bytes:  # noqa: ARG002  (packed images are found by number)
        """The bytes of one."""
        return self.packed.image(row)


def open_pictures(images: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> Pictures:
    """Pictures out of a folder, an annotation table with the folder of its images, or packed images.

    Parameters
    ----------
    images : path-like
        Any of the three.
    root : path-like, optional
        For an annotation table: the folder that its names start from.

    Raises
    ------
    MlimagesError
        Where there is no such folder, and where `root` is missing or out of place.
    """
    path = Path(images)
    if not path.is_dir():
        raise MlimagesError(f"{path}: no such folder: expected images, packed images or an annotation table")
    if not (path / MANIFEST).is_file() or is_download(path / MANIFEST):
        if root is not None:
            raise MlimagesError(f"{path}: a folder of images needs no root, which is for an annotation table")
        return FolderPictures(path)
    if Manifest.read(path).metadata.get("content") == PACKED:
        if root is not None:
            raise MlimagesError(f"{path}: has its images packed: leave out the root {os.fspath(root)}")
        return PackedPictures(read(path))
    table = AnnotationTable.open(path)
    if root is None:
        raise MlimagesError(f"{path}: holds labels without pixels: say in which folder the images are (--root)")
    if not Path(root).is_dir():
        raise MlimagesError(f"{os.fspath(root)}: no such folder: expected the images that {path} names")
    return TablePictures(table, Path(root))


def is_download(path: Path) -> bool:
    """Whether a manifest is that of a folder that mlimages download filled."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False  # whoever reads it as a table's says what is wrong
    return isinstance(content, dict) and content.get("format") == "mlimages-download"


@dataclass(frozen=True, slots=True)
class NameList:
    """The names of pictures in a file, cut into units of equal number; picklable, and read a unit at a time.

    Parameters
    ----------
    path : pathlib.Path
        A Parquet file of one column and a row group a unit.
    unit_images : int
        Pictures of a unit; the last may have fewer.
    """

    path: Path
    unit_images: int

    def __len__(self) -> int:
        return int(pq.read_metadata(self.path).num_row_groups)

    def unit(self, index: int) -> list[str]:
        """The names of a unit, the first of which is that of picture ``index * unit_images``."""
        with pq.ParquetFile(self.path) as file:
            names: list[str] = file.read_row_group(index).column(0).to_pylist()
        return names

    def write(self, names: Iterable[str], *, source: str) -> tuple[int, str]:
        """Write the names of a source; return how many they are and the hash of all.

        Raises
        ------
        JobError
            Where there is none.
        """
        digest, count = xxhash.xxh3_128(), 0
        with replacing(self.path) as file, pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
            left = iter(names)
            while unit := list(islice(left, self.unit_images)):
                try:
                    column = pa.array(unit, pa.string())
                except UnicodeEncodeError as error:
                    raise MlimagesError(f"found the file name {error.object!r}, expected UTF-8: rename it") from None
                writer.write_table(pa.Table.from_arrays([column], schema=_SCHEMA), row_group_size=len(unit))
                for name in unit:
                    digest.update(f"{name}\n".encode())
                count += len(unit)
        if not count:
            raise JobError(
                f"{source}: found no image: expected packed images, a table, or files that end in {' '.join(SUFFIXES)}"
            )
        return count, digest.hexdigest()
