"""Reading packed images: one by its row number, many in order, or all in shuffled order."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.packed.writing import OFFSETS_KEY, PACKED, Row
from mlimages.storage.manifest import CATEGORIES, MANIFEST, Manifest

_BATCH_ROWS = 256  # about 30 MB of images
_OPEN_SHARDS = 512  # whose labels and memory maps are kept


def read(folder: str | os.PathLike[str]) -> PackedImages:
    """Open packed images.

    Raises
    ------
    TableError
        Where the folder holds no packed images, or unfinished ones.
    FormatError
        Where its manifest is damaged.
    """
    path = Path(folder)
    manifest = Manifest.read(path)
    content = manifest.metadata.get("content", "labels without pixels")
    if content != PACKED:
        raise TableError(f"{path}: holds {content}, expected packed images: make them with mlimages pack")
    return PackedImages(path, manifest)


def is_packed(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds packed images, rather than files or another table."""
    try:
        content = json.loads((Path(folder) / MANIFEST).read_bytes())
        return bool(content["content"] == PACKED)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return False


class PackedImages(Sequence[Row]):
    """Packed images on disk, a sequence of :class:`~mlimages.images.packed.writing.Row`; open them with :func:`read`.

    Any row is read with one access. Can be pickled; loader processes then open the files themselves.

    Attributes
    ----------
    folder : pathlib.Path
        The folder.
    manifest : Manifest
        Its shards and inputs.

    Examples
    --------
    >>> images = read("packed")  # doctest: +SKIP
    >>> images[12].name, len(images[12].image), images[12].labels  # doctest: +SKIP
    ('n04310904/n04310904_8388.JPEG', 110243, array([2367, 2172], dtype=int16))
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._starts = np.cumsum([0, *(part.rows for part in manifest.parts)])
        self._shard = lru_cache(_OPEN_SHARDS)(self._open_shard)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedImages, (self.folder, self.manifest)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"<PackedImages {self.folder}: {len(self):,} images in {len(self.manifest.parts)} shards>"

    @cached_property
    def hierarchy(self) -> Hierarchy | None:
        """The categories; None where the images were packed without a hierarchy."""
        path = self.folder / CATEGORIES
        return Hierarchy.from_parquet(path) if path.exists() else None

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, with the metadata of the first shard."""
        if not self.manifest.parts:
            raise TableError(f"{self.folder}: holds no shard")
        return self._shard(0).schema

    def __getitem__(self, row: Any) -> Any:
        """One row by its number, where a negative one counts from the end; or a list of rows for a slice."""
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        shard, within = self._place(row)
        return shard.row(within)

    def image(self, row: int) -> bytes:
        """The bytes of one image, by its number."""
        shard, within = self._place(row)
        return shard.image(within)

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of every image, int64 [n]; reads four bytes of each where the footer holds the offsets."""
        return np.concatenate(
            [np.empty(0, np.int64), *(self._shard(i).sizes() for i in range(len(self.manifest.parts)))]
        )

    def names(self) -> Iterator[str]:
        """The names of all images in order."""
        for shard in range(len(self.manifest.parts)):
            yield from self._shard(shard).names.to_pylist()

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Rows from `start` up to `stop`, in order."""
        for row in range(start, len(self) if stop is None else min(stop, len(self))):
            yield self[row]

    def batches(self, *, columns: Sequence[str] | None = None, rows: int = _BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most `rows` in a batch, with all columns or some of them."""
        for shard in range(len(self.manifest.parts)):
            file = self._shard(shard).file
            yield from file.iter_batches(batch_size=rows, columns=list(columns) if columns is not None else None)

    def take(self, rows: ArrayLike) -> pa.Table:
        """Some images by number, int [m], in the given order, as a table of the packed columns."""
        taken = [self[int(row)] for row in np.asarray(rows, np.int64).reshape(-1)]
        image = [{"bytes": row.image, "path": row.name} for row in taken]
        lists = ([getattr(row, name) for row in taken] for name in ("labels", "confidences", "origins"))
        return pa.Table.from_arrays(
            [pa.array(values, field.type) for values, field in zip((image, *lists), self.schema, strict=True)],
            schema=self.schema,
        )

    def shuffled(self, *, seed: int, groups: int = 8) -> Iterator[Row]:
        """All rows once, in an order that depends on the seed and `groups` alone, reading whole row groups.

        Parameters
        ----------
        seed : int
            Seed of the order; use another one for each epoch.
        groups : int
            Row groups that are held in memory and shuffled together: more give a better shuffle.
        """
        random = np.random.default_rng(seed)
        places = [
            (shard, group)
            for shard in range(len(self.manifest.parts))
            for group in range(self._shard(shard).file.metadata.num_row_groups)
        ]
        order = random.permutation(len(places))
        for first in range(0, len(order), groups):
            pool: list[Row] = []
            for place in order[first : first + groups]:
                shard, group = places[place]
                pool += self._shard(shard).group(group)
            for row in random.permutation(len(pool)):
                yield pool[row]

    def _place(self, row: int) -> tuple[_Shard, int]:
        number = row + len(self) if row < 0 else row
        if not 0 <= number < len(self):
            raise IndexError(f"row {row} of {len(self)} packed images")
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self._shard(shard), number - int(self._starts[shard])

    def _open_shard(self, number: int) -> _Shard:
        return _Shard(self.folder / self.manifest.parts[number].file)


class _Shard:
    """One shard: its labels in memory, its images memory-mapped."""

    def __init__(self, path: Path) -> None:
        try:
            mapped = pa.memory_map(str(path))
            self._view = memoryview(mapped.read_buffer())
            self.file = pq.ParquetFile(mapped)
        except pa.ArrowInvalid as error:
            raise TableError(
                f"{path}: damaged ({str(error).splitlines()[0]}); mlimages verify checks all shards"
            ) from None
        except FileNotFoundError:
            raise TableError(f"{path}: missing; mlimages verify checks all shards") from None
        self.path = path
        self.schema = self.file.schema_arrow
        self._starts = np.cumsum([0, *(self._group_rows(group) for group in range(self.file.num_row_groups))])
        self._group_images = lru_cache(1)(self._read_group_images)

    def _group_rows(self, group: int) -> int:
        return int(self.file.metadata.row_group(group).num_rows)

    @cached_property
    def offsets(self) -> NDArray[np.int64] | None:
        """Offset of each image in the file, int64 [rows]; None in a file written by another program."""
        packed = (self.file.metadata.metadata or {}).get(OFFSETS_KEY)
        if packed is None:
            return None
        return np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<i8"))

    @cached_property
    def names(self) -> pa.Array:
        column = self.file.read(columns=["image.path"]).column("image").combine_chunks()
        return column.field("path")

    @cached_property
    def _labels(self) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Offsets [rows + 1] and values of each list column."""
        table = self.file.read(columns=["labels", "confidences", "origins"])
        columns = (column.combine_chunks() for column in table.columns)
        return [(column.offsets.to_numpy(), column.values.to_numpy()) for column in columns]

    def image(self, row: int) -> bytes:
        if self.offsets is None:
            group = int(np.searchsorted(self._starts, row, side="right")) - 1
            found: bytes = self._group_images(group)[row - int(self._starts[group])].as_py()
            return found
        at = int(self.offsets[row])
        return bytes(self._view[at : at + int.from_bytes(self._view[at - 4 : at], "little")])

    def row(self, row: int) -> Row:
        return Row(self.names[row].as_py(), self.image(row), *self._row_labels(row))

    def _row_labels(self, row: int) -> list[Any]:
        return [values[offsets[row] : offsets[row + 1]] for offsets, values in self._labels]

    def group(self, group: int) -> list[Row]:
        """The rows of a row group."""
        return [self.row(row) for row in range(int(self._starts[group]), int(self._starts[group + 1]))]

    def sizes(self) -> NDArray[np.int64]:
        if self.offsets is not None:
            return np.array(
                [int.from_bytes(self._view[at - 4 : at], "little") for at in self.offsets.tolist()], np.int64
            )
        groups = (self._read_group_images(group) for group in range(self.file.num_row_groups))
        return np.array([len(value.as_py()) for group in groups for value in group], np.int64)

    def _read_group_images(self, group: int) -> pa.Array:
        table = self.file.read_row_group(group, columns=["image.bytes"])
        return table.column("image").combine_chunks().field("bytes")
