"""Packing the images of an annotation table beside their labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import JobError, MlimagesError, TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.packed.reading import PackedImages, read
from mlimages.images.packed.shards import ShardMaker, ShardTask, plan
from mlimages.images.packed.writing import (
    PACKED,
    ROW_GROUP_MIB,
    SHARD_MIB,
    Row,
    packed_schema,
    write_categories,
    write_shard,
)
from mlimages.job.engines import EngineName
from mlimages.job.job import Job, Progress
from mlimages.job.task import Made, StopSignal, until_stopped
from mlimages.storage.files import replacing
from mlimages.storage.imagefiles import image_bytes, image_file
from mlimages.storage.manifest import MANIFEST, Manifest, part_path

#: Rows without an image are an error, or left out.
OnMissing = Literal["raise", "skip"]

#: Lists the rows that were left out, one name per line.
MISSING = "missing.txt"


class RowSource(Protocol):
    """A source of rows with images; picklable."""

    @property
    def folder(self) -> Path:
        """The folder of the table."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the table."""

    @property
    def hierarchy(self) -> Hierarchy | None:
        """The categories."""

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of every image, int64 [n]; -1 where there is none."""

    def names(self) -> Iterator[str]:
        """The names of all images."""

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Rows from `start` up to, not including, `stop`, without those that have no image."""


class TableWithImages:
    """The rows of an annotation table, with the image files of a folder.

    Raises
    ------
    MlimagesError
        Where there is no folder of images.
    """

    def __init__(self, table: Path, images: Path) -> None:
        self.folder = table
        self.images = images
        if not images.is_dir():
            raise MlimagesError(f"{images}: no such folder: expected the images that the table names")

    def __reduce__(self) -> tuple[type[TableWithImages], tuple[Path, Path]]:
        return TableWithImages, (self.folder, self.images)

    @cached_property
    def _table(self) -> AnnotationTable:
        return AnnotationTable.open(self.folder)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the table."""
        return self._table.manifest

    @property
    def hierarchy(self) -> Hierarchy:
        """The categories of the table."""
        return self._table.hierarchy

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of every file, int64 [n]; -1 where there is none."""
        return np.fromiter((_size(image_file(self.images, name)) for name in self.names()), np.int64, len(self._table))

    def names(self) -> Iterator[str]:
        """The names of all images."""
        for batch in self._table.batches(columns=["image"]):
            yield from batch.column(0).to_pylist()

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Rows from `start` up to, not including, `stop`, without those that have no file."""
        taken = self._table.take(np.arange(start, len(self._table) if stop is None else stop))
        names = taken.column("image").to_pylist()
        lists = [_list_parts(taken.column(name)) for name in ("labels", "confidences", "origins")]
        for number, name in enumerate(names):
            try:
                data = image_bytes(self.images, name)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                continue
            yield Row(name, data, *(values[offsets[number] : offsets[number + 1]] for offsets, values in lists))


def open_rows(table: str | os.PathLike[str], images: str | os.PathLike[str] | None) -> RowSource:
    """Open an annotation table with a folder of images, or packed images where `images` is None.

    Raises
    ------
    TableError
        Where the folder holds neither, an annotation table has no folder of images, or packed images have one.
    """
    path = Path(table)
    manifest = Manifest.read(path)
    content = manifest.metadata.get("content")
    if content not in (None, PACKED):
        raise TableError(f"{path}: holds {content}, expected an annotation table or packed images")
    packed = content == PACKED
    if packed and images is not None:
        raise TableError(f"{path}: has its images packed: leave out the folder {os.fspath(images)}")
    if packed:
        return read(path)
    if images is None:
        raise TableError(f"{path}: holds labels without pixels: say in which folder the images are (--images)")
    return TableWithImages(path, Path(images))


def pack(
    table: str | os.PathLike[str],
    images: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    row_group_mib: int = ROW_GROUP_MIB,
    shard_mib: int = SHARD_MIB,
    on_missing: OnMissing = "raise",
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> PackedImages:
    """Pack the images of an annotation table beside their labels.

    Parameters
    ----------
    table : path-like
        The annotation table; or packed images, to repack them with other sizes.
    images : path-like or None
        Folder with the image file of every row; None for packed images.
    out : path-like
        A new or empty folder.
    row_group_mib : int
        Image bytes of a row group, MiB.
    shard_mib : int
        Upper bound on the image bytes of a shard, MiB; all shards hold about the same.
    on_missing : {"raise", "skip"}
        Whether a row without an image is an error before anything is written, or is left out and listed in
        ``missing.txt``.
    engine : {"local", "ray"}
        Where the work is done.
    workers : int, optional
        Threads (or, with Ray, shards at a time); as many as cores by default. The bytes of the result do not depend
        on it.
    resume : bool
        Continue an interrupted job.
    progress : callable, optional
        Called with a :class:`~mlimages.job.job.Progress` after every shard.

    Returns
    -------
    PackedImages

    Raises
    ------
    JobError
        Where the folder is not empty, a resumed job was begun with other input or options, or images change meanwhile.
    MlimagesError
        For a missing image, unless these are skipped; for a name that leads out of the folder.
    """
    if row_group_mib < 1:
        raise MlimagesError(f"row_group_mib={row_group_mib}: expected at least 1")
    source, tasks, options, write_beside = plan_shards(
        table, images, shard_mib=shard_mib, on_missing=on_missing, own={"row_group_mib": row_group_mib}
    )
    metadata = {**source.manifest.metadata, "content": PACKED}
    folder = Path(out)
    schema = packed_schema(metadata["categories"], metadata=metadata)
    make = partial(_pack_shard, source=source, folder=folder, schema=schema, row_group_mib=row_group_mib)
    job = Job(
        maker=ShardMaker(folder=folder, make=make),
        metadata=metadata,
        options=options,
        inputs=[source.folder / MANIFEST],
        beside=write_beside,
    )
    job.run(tasks, engine=engine, workers=workers, resume=resume, progress=progress)
    return read(folder)


def plan_shards(
    table: str | os.PathLike[str],
    images: str | os.PathLike[str] | None,
    *,
    shard_mib: int,
    on_missing: OnMissing,
    own: Mapping[str, Any],
) -> tuple[RowSource, list[ShardTask], dict[str, Any], Callable[[Path], None]]:
    """The rows that become shards, the tasks, the options for the manifest (with `own`), and the job's beside."""
    source = open_rows(table, images)
    sizes = source.sizes()
    missing = _missing_names(source, sizes, on_missing=on_missing)
    tasks = plan(sizes, shard_mib=shard_mib)
    options = {
        "images": None if images is None else os.fspath(images),
        "image_bytes": sum(task.size for task in tasks),
        "missing": len(missing),
        **own,
        "shard_mib": shard_mib,
    }
    return source, tasks, options, partial(_write_beside, missing=missing, hierarchy=source.hierarchy)


def _missing_names(source: RowSource, sizes: NDArray[np.int64], *, on_missing: OnMissing) -> list[str]:
    """The names of rows without an image; a MlimagesError names the first if these are errors."""
    if on_missing not in ("raise", "skip"):
        raise MlimagesError(f"on_missing={on_missing!r}: expected raise or skip")
    if not (sizes < 0).any():
        return []
    missing = [name for name, size in zip(source.names(), sizes, strict=True) if size < 0]
    if on_missing == "raise":
        raise MlimagesError(
            f"{source.folder}: {len(missing)} of {len(sizes)} images have no file, the first is {missing[0]!r}: "
            "bring them, or leave them out (--on-missing skip)"
        )
    return missing


def _write_beside(folder: Path, *, missing: list[str], hierarchy: Hierarchy | None) -> None:
    """Write the categories, if there are any, and list the images that were left out, if any."""
    write_categories(folder, hierarchy)
    if missing:
        with replacing(folder / MISSING) as file:
            file.writelines(f"{name}\n".encode() for name in missing)


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return status.st_size if path.is_file() else -1


def _list_parts(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[Any]]:
    lists = column.combine_chunks()
    return lists.offsets.to_numpy(), lists.values.to_numpy()


def _pack_shard(
    task: ShardTask, stop: StopSignal, *, source: RowSource, folder: Path, schema: pa.Schema, row_group_mib: int
) -> Made:
    rows = checked_rows(source, task, stop)
    part = write_shard(rows, part_path(folder, task.index), schema=schema, row_group_mib=row_group_mib)
    return Made(part, size=task.size)


def checked_rows(source: RowSource, task: ShardTask, stop: StopSignal) -> Iterator[Row]:
    """The rows of a task.

    Raises
    ------
    Stopped
        Once `stop` is set.
    JobError
        After the last row, if the number of rows differs from the plan.
    """
    count = 0
    for row in until_stopped(source.rows(task.start, task.stop), stop):
        count += 1
        yield row
    if count != task.rows:
        raise JobError(
            f"{source.folder}: found {count} images for the rows {task.start} to {task.stop}, expected {task.rows}: "
            "files came or went while they were read: start again in a new folder"
        )
