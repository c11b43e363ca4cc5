"""Images to predict on: in a folder, named by an annotation table, packed, or single files.

:func:`open_pictures` opens what has names and bytes, for jobs that address images by number; :func:`open_unlabelled`
opens what gives whole batches, as :class:`mlimages.models.data.dataset.ParquetImages` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash
from torch.utils.data import Dataset

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import DataNotFoundError, JobError, MlimagesError, ModelError
from mlimages.hierarchy import Hierarchy
from mlimages.hierarchy.text import read_utf8
from mlimages.images.packed.reading import PackedImages, is_packed, read
from mlimages.images.packed.writing import PACKED
from mlimages.images.picture import PictureError
from mlimages.models.data.dataset import Batch, ParquetImages
from mlimages.models.data.decode import load_pictures
from mlimages.models.data.order import Ticket
from mlimages.models.data.preprocess import Preprocess
from mlimages.storage.files import replacing
from mlimages.storage.imagefiles import SUFFIXES, image_bytes, image_names
from mlimages.storage.manifest import MANIFEST, Manifest

_SCHEMA = pa.schema([pa.field("image", pa.string())])


class Pictures(Protocol):
    """Where images are, by name and number; picklable."""

    def names(self) -> Iterator[str]:
        """The names of all images, in order."""

    def image(self, row: int, name: str) -> bytes:
        """The bytes of one image, by its number and name; raises an OSError or PictureError where it cannot be read."""

    @property
    def inputs(self) -> list[Path]:
        """The files that determine the names; none for a folder."""

    @property
    def hierarchy(self) -> Hierarchy | None:
        """The categories of the labels that come with the images, if any."""


class FolderPictures:
    """Image files below a folder: all that there are, or those that an annotation table names."""

    def __init__(self, folder: Path, table: AnnotationTable | None = None) -> None:
        self.folder, self.table = folder, table
        self.inputs = [] if table is None else [table.folder / MANIFEST]

    @property
    def hierarchy(self) -> Hierarchy | None:
        """The categories of the table, if any."""
        return None if self.table is None else self.table.hierarchy

    def names(self) -> Iterator[str]:
        """The names of all images, in order."""
        if self.table is None:
            yield from image_names(self.folder)
            return
        for batch in self.table.batches(columns=["image"]):
            yield from batch.column(0).to_pylist()

    def image(self, row: int, name: str) -> bytes:  # noqa: ARG002  (a file is found by its name)
        """The bytes of one image."""
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
        """The categories that they were packed with, if any."""
        return self.packed.hierarchy

    def names(self) -> Iterator[str]:
        """The names of all images, in order."""
        yield from self.packed.names()

    def image(self, row: int, name: str) -> bytes:  # noqa: ARG002  (packed images are found by number)
        """The bytes of one image."""
        return self.packed.image(row)


def open_pictures(images: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> Pictures:
    """Open a folder of images, an annotation table with the folder of its images, or packed images.

    Parameters
    ----------
    images : path-like
        A folder of images, an annotation table or packed images.
    root : path-like, optional
        For an annotation table: the folder that its names are relative to.

    Raises
    ------
    MlimagesError
        Where there is no such folder, `root` is missing for a table, or given for anything else.
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
    return FolderPictures(Path(root), table)


def is_download(path: Path) -> bool:
    """Whether a manifest is that of a download rather than of a table."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False  # reading it as that of a table says what is wrong
    return isinstance(content, dict) and content.get("format") == "mlimages-download"


# Whole batches --------------------------------------------------------------------------------------------------------


class ImageFiles(Dataset[Batch]):
    """Image files without labels, a whole batch at a time: ``images[ticket]`` is a :class:`Batch`.

    Parameters
    ----------
    paths : sequence of str
    preprocess : Preprocess

    Attributes
    ----------
    groups : list of int
        One group of all files, for :class:`mlimages.models.data.order.Batches`.
    """

    def __init__(self, paths: Sequence[str], *, preprocess: Preprocess) -> None:
        self.paths, self.preprocess = list(paths), preprocess
        self.groups = [len(self.paths)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, ticket: Ticket) -> Batch:
        """Read, decode and preprocess a batch; it has no labels."""
        names = [self.paths[row] for row in ticket.rows]
        read = [Path(name).read_bytes for name in names]
        pictures, broken = load_pictures(read, self.preprocess, seeds=[0] * len(names))
        return Batch(
            pictures=pictures,
            rows=torch.empty(0, dtype=torch.int64),
            columns=torch.empty(0, dtype=torch.int64),
            values=torch.empty(0),
            names=names,
            broken=broken,
            epoch=ticket.epoch,
            number=ticket.number,
        )


def open_unlabelled(given: Sequence[str | os.PathLike[str]], *, preprocess: Preprocess) -> ImageFiles | ParquetImages:
    """Open images as batches without labels.

    Parameters
    ----------
    given : sequence of path-like
        Image files; folders, searched with their subfolders, in the order of the paths; ``.txt`` lists in the format of
        the published classifier, one path per line, up to the first tab; or one folder of packed images.
    preprocess : Preprocess

    Raises
    ------
    DataNotFoundError
        For a path that does not exist; a path in a list that does not exist is a broken image instead.
    FormatError
        For a list that is not UTF-8.
    ModelError
        Where there is no image.
    """
    if len(given) == 1 and (manifest := Path(given[0]) / MANIFEST).is_file() and not is_download(manifest):
        return ParquetImages(given[0], preprocess=preprocess)
    paths: list[str] = []
    for each in given:
        path = Path(each)
        if is_packed(path):
            raise ModelError(f"{path}: holds packed images, which are taken alone: run once for each")
        if path.is_dir():
            found = (below for below in path.rglob("*") if below.suffix.lower() in SUFFIXES and below.is_file())
            paths += sorted(map(str, found))
        elif not path.is_file():
            raise DataNotFoundError(f"{path}: no such file; expected a picture, a folder of them or a .txt list")
        elif path.suffix == ".txt":
            lines = read_utf8(path).splitlines()
            paths += [name for line in lines if (name := line.partition("\t")[0].strip())]
        else:
            paths.append(str(path))
    if not paths:
        raise ModelError(f"{', '.join(map(str, given))}: no picture there, expected {', '.join(sorted(SUFFIXES))}")
    return ImageFiles(paths, preprocess=preprocess)


# The images of a job --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NameList:
    """The names of images in a Parquet file of one column, one row group for each unit of `unit_images`, the last of
    which may have fewer; picklable, and read a unit at a time.
    """

    path: Path
    unit_images: int

    def __len__(self) -> int:
        return int(pq.read_metadata(self.path).num_row_groups)

    def unit(self, index: int) -> list[str]:
        """The names of a unit, of which the first belongs to image number ``index * unit_images``."""
        with pq.ParquetFile(self.path) as file:
            names: list[str] = file.read_row_group(index).column(0).to_pylist()
        return names

    def write(self, names: Iterable[str], *, source: str) -> tuple[int, str]:
        """Write the names of a source; return their number and the xxh3-128 hash of all, in hexadecimal.

        Raises
        ------
        JobError
            Where there is no name.
        MlimagesError
            For a name that is not UTF-8.
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
