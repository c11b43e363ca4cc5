"""Let one image of each group of duplicates stand for all: it keeps the union of their labels."""

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

from mlimages.annotate.parquet.writer import TableWriter
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.duplicates.groups import GROUPS
from mlimages.images.duplicates.groups import SCHEMA as GROUPS_SCHEMA
from mlimages.images.packed.reading import PackedImages, is_packed, read
from mlimages.images.packed.writing import Row, finish_packed, packed_schema, write_shard
from mlimages.job.shardjob import ShardJob, ShardTask
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.checks import Columns
from mlimages.storage.files import replacing
from mlimages.storage.manifest import MANIFEST, Manifest, Part, encode_metadata, part_path
from mlimages.storage.part import read_file

DROPPED = "dropped.parquet"

#: Columns of the names that were dropped, in the order of the table.
DROPPED_SCHEMA = pa.schema(
    [pa.field("image", pa.string()), pa.field("kept", pa.string()), pa.field("group", pa.int64())]
)

_GREATEST = {"group": (1 << 28) - 1, "width": (1 << 31) - 1, "height": (1 << 31) - 1}  # an array is as long as groups
_LISTS = ("labels", "confidences", "origins")
_PACKED_ROWS = 256  # a batch with the bytes of images: some 30 MB
_LABEL_ROWS = 1 << 20  # a batch without: each looks all grouped names up anew


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
    """Write a table anew without duplicates.

    Of each group one row is kept: the picture with the most pixels, of equal ones that with the most specific label,
    of those the first. It gets the labels of all rows of the group, most specific (deepest) first, then by
    confidence; of a category that several have, the greatest confidence counts, so that a present label beats a
    verified absent one. Other rows stay as they are.

    Parameters
    ----------
    table : path-like
        An annotation table, or packed images.
    groups : path-like
        What :func:`~mlimages.images.duplicates.groups.find_duplicates` wrote: its folder, or the ``groups.parquet`` in it.
        Images are known by their names.
    out : path-like
        A new or empty folder, for the same kind of table. ``dropped.parquet`` lists each name that was dropped, the
        name that stands for it, and the group.
    hierarchy : Hierarchy, optional
        What decides how specific a label is: the table's own by default.
    resume : bool
        Go on where an interrupted merge stopped.

    Raises
    ------
    TableError
        Where there is no such table, it has no hierarchy and none is given, or was made with another.
    FormatError
        Where the file of groups is none.
    JobError
        Where the folder is not empty.
    """
    source = _Source.open(Path(table), hierarchy)
    path = Path(groups) / GROUPS if Path(groups).is_dir() else Path(groups)
    found = _collect(source, _read_groups(path))
    merge = _Merge.of(found, source.hierarchy.depth(longest=True))
    folder = Path(out)
    tasks = source.tasks()
    options = {"merged": os.fspath(table), "groups": os.fspath(path)}
    inputs = [source.folder / MANIFEST, path]
    job = ShardJob(folder, source.manifest.metadata, options, inputs)
    counts = {"duplicates_dropped": len(merge.dropped), "groups_merged": len(merge.kept)}

    def make(task: ShardTask) -> Part:
        return source.write(part_path(folder, task.index), merge.batches(source.batches(task.index), task.start))

    def finish(manifest: Manifest) -> Manifest:
        with replacing(folder / DROPPED) as file:
            pq.write_table(_dropped_table(found, merge), file, compression="zstd")
        done = Manifest(manifest.metadata, manifest.options, manifest.inputs, manifest.parts, counts)
        return finish_packed(folder, done, source.hierarchy)

    done = job.run(
        make,
        tasks,
        path_of=lambda index: part_path(Path(), index).name,
        rows_of=lambda part: int(pq.read_metadata(part).num_rows),
        finish=finish,
        workers=1,  # the labels of the groups are in memory here, and copying is no work for many
        resume=resume,
        progress=None,
    )
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
        for batch in self.table.batches(columns=[name, *_LISTS], rows=_LABEL_ROWS):
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
    """The rows of a table that are in a group, and all their labels."""

    row: NDArray[np.int64]
    group: NDArray[np.int64]
    pixels: NDArray[np.int64]
    names: pa.Array
    member: NDArray[np.int64]  # of each label, which of the rows has it
    labels: NDArray[np.int64]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Merge:
    """What becomes of which row."""

    kept: NDArray[np.int64]  # row numbers, ascending
    kept_member: NDArray[np.int64]  # which of the found rows each is
    lists: list[pa.ListArray]  # labels, confidences and origins of the kept rows
    dropped: NDArray[np.int64]  # row numbers, ascending
    dropped_member: NDArray[np.int64]

    @classmethod
    def of(cls, found: _Found, depth: NDArray[Any]) -> _Merge:
        size = np.bincount(found.group) if len(found.group) else np.zeros(0, np.int64)
        several = size[found.group] > 1
        deepest = np.full(len(found.row), -1, np.int64)
        np.maximum.at(deepest, found.member, np.where(found.confidences > 0, depth[found.labels], -1))
        order = np.lexsort((found.row, -deepest, -found.pixels, found.group))
        order = order[several[order]]
        first = np.diff(found.group[order], prepend=-1) != 0
        kept, dropped = np.sort(order[first]), np.sort(order[~first])  # found rows are in the order of the table
        lists = _union(found, found.group[kept], depth)
        return cls(found.row[kept], kept, lists, found.row[dropped], dropped)

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
    names = pa.concat_arrays([pa.array([], pa.string()), *groups.column("image").chunks])
    group = groups.column("group").to_numpy()
    pixels = groups.column("width").to_numpy().astype(np.int64) * groups.column("height").to_numpy()
    rows, members, kept_names = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [pa.array([], pa.string())]
    lists: list[list[NDArray[Any]]] = [[], [], []]
    lengths = [np.empty(0, np.int64)]
    at = 0
    for name, batch in source.label_batches():
        found = pc.index_in(name, value_set=names)
        here = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        rows.append(at + here)
        members.append(found.drop_null().to_numpy().astype(np.int64))
        chosen = batch.take(pa.array(here))
        kept_names.append(name.take(pa.array(here)))
        lengths.append(pc.list_value_length(chosen.column("labels")).to_numpy().astype(np.int64))
        for values, column in zip(lists, _LISTS, strict=True):
            values.append(chosen.column(column).flatten().to_numpy())
        at += batch.num_rows
    member = np.concatenate(members)
    length = np.concatenate(lengths)
    kinds = (np.int64, np.float32, np.uint8)
    flat = [np.concatenate([np.empty(0, kind), *each]).astype(kind) for kind, each in zip(kinds, lists, strict=True)]
    return _Found(
        np.concatenate(rows), group[member], pixels[member], pa.concat_arrays(kept_names),
        np.repeat(np.arange(len(member)), length), *flat,
    )  # fmt: skip


def _union(found: _Found, groups: NDArray[np.int64], depth: NDArray[Any]) -> list[pa.ListArray]:
    """The labels of these groups together, most specific first: labels, confidences, origins, a list for each."""
    place = np.full(int(found.group.max(initial=-1)) + 1, -1, np.int64)
    place[groups] = np.arange(len(groups))
    of_label = place[found.group[found.member]]
    labels, confidences, origins = found.labels, found.confidences, found.origins
    # of equal confidences the lower origin counts: given before derived
    order = np.lexsort((origins, -confidences, labels, of_label))
    order = order[of_label[order] >= 0]
    again = (np.diff(of_label[order], prepend=-1) == 0) & (np.diff(labels[order], prepend=-1) == 0)
    order = order[~again]
    order = order[np.lexsort((labels[order], -confidences[order], -depth[labels[order]], of_label[order]))]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(of_label[order], minlength=len(groups)))]).astype(np.int32)
    return [
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(each[order])) for each in (labels, confidences, origins)
    ]


def _dropped_table(found: _Found, merge: _Merge) -> pa.Table:
    kept_of_group = np.empty(int(found.group.max(initial=-1)) + 1, np.int64)
    kept_of_group[found.group[merge.kept_member]] = merge.kept_member
    group = found.group[merge.dropped_member]
    columns = [found.names.take(pa.array(merge.dropped_member)), found.names.take(pa.array(kept_of_group[group]))]
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
