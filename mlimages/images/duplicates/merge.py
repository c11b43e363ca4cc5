"""Merge each group of duplicates into one image with the union of their labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlimages.annotate.labels.schema import table_schema
from mlimages.annotate.parquet.writer import TableWriter
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.annotate.tables.union import unite
from mlimages.errors import TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.duplicates.groups import GROUPS
from mlimages.images.duplicates.groups import SCHEMA as GROUPS_SCHEMA
from mlimages.images.packed.reading import PackedImages, is_packed, read
from mlimages.images.packed.shards import ShardMaker, ShardTask
from mlimages.images.packed.writing import Row, packed_schema, write_categories, write_shard
from mlimages.job.job import Job
from mlimages.job.task import Made, StopSignal, until_stopped
from mlimages.storage.arrow import list_column
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.checks import Columns
from mlimages.storage.files import replacing
from mlimages.storage.manifest import MANIFEST, Manifest, Part, encode_metadata, part_path
from mlimages.storage.names import NameIndex, hash_names
from mlimages.storage.part import read_file

DROPPED = "dropped.parquet"

#: Columns of the names that were dropped, in the order of the table.
DROPPED_SCHEMA = pa.schema(
    [pa.field("image", pa.string()), pa.field("kept", pa.string()), pa.field("group", pa.int64())]
)

_GREATEST = {"group": (1 << 28) - 1, "width": (1 << 31) - 1, "height": (1 << 31) - 1}  # an array is as long as groups
_LISTS = ("labels", "confidences", "origins")
_PACKED_ROWS = 256  # a batch with the bytes of images: some 30 MB


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: rows before and after, and groups that were merged."""

    rows_before: int
    rows_after: int
    groups: int


def merge_duplicates(
    table: str | os.PathLike[str],
    groups: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    hierarchy: Hierarchy | None = None,
    resume: bool = False,
) -> Merged:
    """Write a copy of a table without duplicates.

    Of each group one row is kept: the image with the most pixels, of equal ones that with the most specific label,
    of those the first. It gets the labels of all rows of the group, most specific (deepest) first, then by
    confidence; for a category that several have, the greatest confidence counts, so that a present label beats a
    verified absent one. Other rows stay as they are.

    Parameters
    ----------
    table : path-like
        An annotation table, or packed images.
    groups : path-like
        What :func:`~mlimages.images.duplicates.groups.find_duplicates` wrote: its folder, or the ``groups.parquet`` in
        it. Images are identified by their names.
    out : path-like
        A new or empty folder, for the same kind of table. ``dropped.parquet`` lists each name that was dropped, the
        name that replaces it, and the group.
    hierarchy : Hierarchy, optional
        Determines how specific a label is; the table's own by default.
    resume : bool
        Resume an interrupted merge.

    Raises
    ------
    TableError
        If there is no such table, if neither it nor the caller has a hierarchy, or if it was made with another one.
    FormatError
        If the file of groups is not one.
    JobError
        Where the folder is not empty.
    """
    source = _Source.open(Path(table), hierarchy)
    path = Path(groups) / GROUPS if Path(groups).is_dir() else Path(groups)
    found = _collect(source, _read_groups(path))
    merge = _Merge.of(found, source.hierarchy)
    folder = Path(out)
    tasks = source.tasks()
    options = {"merged": os.fspath(table), "groups": os.fspath(path)}
    inputs = [source.folder / MANIFEST, path]

    def make(task: ShardTask, stop: StopSignal) -> Made:
        batches = merge.batches(source.batches(task.index), task.start)
        return Made(source.write(part_path(folder, task.index), until_stopped(batches, stop)), size=task.size)

    def write_beside(folder: Path) -> None:
        write_categories(folder, source.hierarchy)
        with replacing(folder / DROPPED) as file:
            pq.write_table(_dropped_table(found, merge), file, compression="zstd")

    job = Job(
        maker=ShardMaker(folder=folder, make=make, exact=False),
        metadata=source.manifest.metadata,
        options=options,
        inputs=inputs,
        beside=write_beside,
        counts={"duplicates_dropped": len(merge.dropped), "groups_merged": len(merge.kept)},
    )
    # the labels of the groups are in memory here, and copying is no work for many
    done = job.run(tasks, workers=1, resume=resume)
    return Merged(source.manifest.rows, done.rows, len(merge.kept))


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of either kind, part by part."""

    table: AnnotationTable | PackedImages
    hierarchy: Hierarchy

    @classmethod
    def open(cls, folder: Path, hierarchy: Hierarchy | None) -> _Source:
        table = read(folder) if is_packed(folder) else AnnotationTable.open(folder)
        own = table.hierarchy
        if own is None and hierarchy is None:
            raise TableError(f"{folder}: was packed without a hierarchy: say which one (--hierarchy)")
        if own is not None and hierarchy is not None and own != hierarchy:
            raise TableError(
                f"{folder}: was made with another hierarchy ({own.fingerprint[:12]}..., not "
                f"{hierarchy.fingerprint[:12]}...): indices would mean other categories"
            )
        return cls(table, own or hierarchy)  # type: ignore[arg-type]  # one of them is there

    @property
    def folder(self) -> Path:
        return self.table.folder

    @property
    def manifest(self) -> Manifest:
        return self.table.manifest

    @property
    def packed(self) -> bool:
        return isinstance(self.table, PackedImages)

    def tasks(self) -> list[ShardTask]:
        tasks, at = [], 0
        for index, part in enumerate(self.manifest.parts):
            tasks.append(ShardTask(index, at, at + part.rows, part.rows, part.bytes))
            at += part.rows
        return tasks

    def batches(self, part: int) -> Iterator[pa.RecordBatch]:
        """The rows of a part."""
        return self.table.part_batches(part, rows=_PACKED_ROWS if self.packed else BATCH_ROWS)

    def label_batches(self) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
        """Names, and the batch of their labels."""
        name = "image.path" if self.packed else "image"
        for batch in self.table.batches(columns=[name, *_LISTS], rows=BATCH_ROWS):
            yield _names(batch), batch

    def write(self, path: Path, batches: Iterator[pa.RecordBatch]) -> Part:
        metadata, categories = self.manifest.metadata, self.table.categories
        if self.packed:
            return write_shard(
                _as_rows(batches), path, schema=packed_schema(categories, metadata=metadata), **_sizes(self.manifest)
            )
        with replacing(path) as file:
            writer = TableWriter(file, categories=categories, metadata=encode_metadata(metadata))
            for batch in batches:
                writer.write(batch)
            written = writer.close()
        return Part(path.name, written.rows, written.bytes, written.xxh3_128)


@dataclass(frozen=True, slots=True)
class _Found:
    """The m rows of a table that are in a group, in the order of the table."""

    row: NDArray[np.int64]  # [m], their numbers
    group: NDArray[np.int64]  # [m]
    pixels: NDArray[np.int64]  # [m]
    labelled: pa.RecordBatch  # image, labels, confidences, origins

    def deepest(self, depth: NDArray[Any]) -> NDArray[np.int64]:
        """Depth of the most specific present label of each row, -1 where there is none: int64 [m]."""
        labels, confidences = (self.labelled.column(name).flatten().to_numpy() for name in _LISTS[:2])
        deepest = np.full(len(self.row), -1, np.int64)
        at = np.repeat(np.arange(len(self.row)), _lengths(self.labelled))
        np.maximum.at(deepest, at, np.where(confidences > 0, depth[labels], -1))
        return deepest


@dataclass(frozen=True, slots=True)
class _Merge:
    """Which rows are kept, and with which labels, and which are dropped."""

    kept: NDArray[np.int64]  # row numbers, ascending
    kept_member: NDArray[np.int64]  # which of the found rows each is
    lists: list[pa.ListArray]  # labels, confidences and origins of the kept rows
    dropped: NDArray[np.int64]  # row numbers, ascending
    dropped_member: NDArray[np.int64]

    @classmethod
    def of(cls, found: _Found, hierarchy: Hierarchy) -> _Merge:
        depth = hierarchy.depth(longest=True)
        size = np.bincount(found.group) if len(found.group) else np.zeros(0, np.int64)
        order = np.lexsort((found.row, -found.deepest(depth), -found.pixels, found.group))
        order = order[size[found.group[order]] > 1]
        first = np.diff(found.group[order], prepend=-1) != 0
        joining = order[~first]  # by group, best first
        kept, dropped = np.sort(order[first]), np.sort(joining)
        place = np.full(len(size), -1, np.int64)
        place[found.group[kept]] = np.arange(len(kept))
        joining = joining[np.argsort(place[found.group[joining]], kind="stable")]
        more_of = np.searchsorted(place[found.group[joining]], np.arange(len(kept) + 1))
        own, more = (found.labelled.take(pa.array(rows)) for rows in (kept, joining))
        united, _ = unite(own, more, more_of, hierarchy.closure, keep_largest=True)
        return cls(found.row[kept], kept, _most_specific_first(united, depth), found.row[dropped], dropped)

    def batches(self, batches: Iterator[pa.RecordBatch], start: int) -> Iterator[pa.RecordBatch]:
        """The batches of a part, which begins at row `start`, merged."""
        for batch in batches:
            stop = start + batch.num_rows
            index = np.arange(batch.num_rows)
            first, last = np.searchsorted(self.kept, [start, stop])
            index[self.kept[first:last] - start] = np.arange(batch.num_rows, batch.num_rows + last - first)
            stays = np.ones(batch.num_rows, bool)
            stays[self.dropped[slice(*np.searchsorted(self.dropped, [start, stop]))] - start] = False
            columns = [batch.column("image").filter(pa.array(stays))]
            chosen = pa.array(index[stays])
            for name, merged in zip(_LISTS, self.lists, strict=True):
                column = batch.column(name)
                both = pa.concat_arrays([column, merged.slice(first, last - first).cast(column.type)])
                columns.append(both.take(chosen))
            yield pa.RecordBatch.from_arrays(columns, names=["image", *_LISTS])
            start = stop


def _read_groups(path: Path) -> pa.Table:
    schema = pa.schema([GROUPS_SCHEMA.field(name) for name in ("group", "image", "width", "height")])
    advice = f"expected the columns {', '.join(GROUPS_SCHEMA.names)}: write it with mlimages duplicates"
    return read_file(path, Columns(schema, None, _GREATEST), advice=advice)


def _collect(source: _Source, groups: pa.Table) -> _Found:
    """The rows of the table that are in a group."""
    index = NameIndex(hash_names(pa.concat_arrays([pa.array([], pa.string()), *groups.column("image").chunks])))
    group = groups.column("group").to_numpy()
    pixels = groups.column("width").to_numpy().astype(np.int64) * groups.column("height").to_numpy()
    schema = table_schema(source.table.categories)
    rows, members = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    labelled = [pa.RecordBatch.from_pylist([], schema)]
    at = 0
    for name, batch in source.label_batches():
        found = index.find(hash_names(name))
        here = np.flatnonzero(found >= 0)
        rows.append(at + here)
        members.append(found[here])
        columns = [name, *(batch.column(each) for each in _LISTS)]
        chosen = pa.RecordBatch.from_arrays(columns, names=schema.names).take(pa.array(here))
        labelled.append(chosen.cast(schema))
        at += batch.num_rows
    member = np.concatenate(members)
    return _Found(np.concatenate(rows), group[member], pixels[member], pa.concat_batches(labelled))


def _most_specific_first(batch: pa.RecordBatch, depth: NDArray[Any]) -> list[pa.ListArray]:
    """Labels, confidences and origins, in each row by depth, then confidence (greatest first), then category."""
    labels, confidences, origins = (batch.column(name).flatten().to_numpy() for name in _LISTS)
    lengths = _lengths(batch)
    order = np.lexsort((labels, -confidences, -depth[labels], np.repeat(np.arange(batch.num_rows), lengths)))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return [
        list_column(batch.column(name).type, offsets, values[order])
        for name, values in zip(_LISTS, (labels, confidences, origins), strict=True)
    ]


def _lengths(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Labels of each row, int64 [rows]."""
    lengths: NDArray[np.int64] = pc.list_value_length(batch.column("labels")).to_numpy().astype(np.int64)
    return lengths


def _dropped_table(found: _Found, merge: _Merge) -> pa.Table:
    kept_of_group = np.empty(int(found.group.max(initial=-1)) + 1, np.int64)
    kept_of_group[found.group[merge.kept_member]] = merge.kept_member
    group = found.group[merge.dropped_member]
    names = found.labelled.column("image")
    columns = [names.take(pa.array(merge.dropped_member)), names.take(pa.array(kept_of_group[group]))]
    return pa.Table.from_arrays([*columns, pa.array(group)], schema=DROPPED_SCHEMA)


def _names(batch: pa.RecordBatch) -> pa.Array:
    column = batch.column("image")
    return column.field("path") if pa.types.is_struct(column.type) else column


def _as_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        images = batch.column("image")
        lists = [(batch.column(name).offsets.to_numpy(), batch.column(name).values.to_numpy()) for name in _LISTS]
        for row, (name, image) in enumerate(
            zip(images.field("path").to_pylist(), images.field("bytes").to_pylist(), strict=True)
        ):
            yield Row(name, image, *(values[offsets[row] : offsets[row + 1]] for offsets, values in lists))


def _sizes(manifest: Manifest) -> dict[str, int]:
    size = manifest.options.get("row_group_mib")
    return {"row_group_mib": size} if type(size) is int and size > 0 else {}
