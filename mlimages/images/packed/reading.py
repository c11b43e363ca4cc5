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
from numpy.typing import ArrayLike, NDArray

from mlimages.annotate.labels.schema import INT32_FROM
from mlimages.errors import TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.packed.writing import OFFSETS_KEY, PACKED, Row, packed_schema
from mlimages.storage.categories import read_categories, stated_categories
from mlimages.storage.checks import Columns
from mlimages.storage.manifest import CATEGORIES, MANIFEST, Manifest
from mlimages.storage.part import PartReader, open_mapped_part, problem_of

_BATCH_ROWS = 256  # about 30 MB of images
_OPEN_SHARDS = 512  # whose labels and memory maps are kept
_LENGTH_BYTES = 4  # before each image


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
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, RecursionError):
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
        stated = self.manifest.metadata.get("hierarchy_fingerprint")
        if not path.exists() and stated is None:
            return None
        hierarchy = read_categories(self.folder)
        if stated not in (None, hierarchy.fingerprint):
            raise TableError(
                f"{path}: found the hierarchy {hierarchy.fingerprint[:12]}..., expected {str(stated)[:12]}... as the "
                "manifest says; mlimages verify checks all files"
            )
        return hierarchy

    @cached_property
    def categories(self) -> int:
        """How many there are, by the manifest; 0 where the images were packed without."""
        return stated_categories(self.folder, self.manifest)

    @cached_property
    def columns(self) -> Columns:
        """The columns that a shard must have."""
        # packed without a hierarchy, the number may be unknown: labels have the type that such shards have
        return Columns(packed_schema(self.categories).remove_metadata(), self.categories or INT32_FROM)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, with the metadata of the first shard."""
        if not self.manifest.parts:
            raise TableError(f"{self.folder}: holds no shard")
        return packed_schema(self.categories).with_metadata(self._shard(0).reader.file.schema_arrow.metadata)

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
            yield from self.part_batches(shard, columns=columns, rows=rows)

    def part_batches(
        self, part: int, *, columns: Sequence[str] | None = None, rows: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The images of one shard, by number; `columns` and `rows` are those of :meth:`batches`."""
        return self._shard(part).reader.batches(columns, rows=rows)

    def problems(self) -> Iterator[str]:
        """Read all shards and return the first problem of each invalid one, with its place."""
        for number in range(len(self.manifest.parts)):
            found = problem_of(lambda: self._open_shard(number).contents())  # noqa: B023  # called at once
            if found is not None:
                yield found

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
            for group in range(len(self._shard(shard).reader.group_rows))
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
        return _Shard(*open_mapped_part(self.folder, self.manifest, number, self.columns))


class _Shard:
    """One shard: its labels in memory, its images memory-mapped."""

    def __init__(self, reader: PartReader, view: memoryview) -> None:
        self.reader = reader
        self._view = view
        self._starts = np.cumsum([0, *reader.group_rows])
        self._group_images = lru_cache(1)(self._read_group_images)

    @cached_property
    def offsets(self) -> NDArray[np.int64] | None:
        """Offset of each image in the file, int64 [rows]; None in a file written by another program."""
        packed = (self.reader.file.metadata.metadata or {}).get(OFFSETS_KEY)
        if packed is None:
            return None
        try:
            offsets = np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<i8"))
        except (ValueError, zlib.error) as error:
            raise self.reader.error(f"found no offsets of images in its footer ({error})") from None
        rows = int(self._starts[-1])
        if len(offsets) != rows:
            raise self.reader.error(f"found {len(offsets)} offsets of images, expected {rows}, one a row")
        outside = (offsets < _LENGTH_BYTES) | (offsets > len(self._view))
        if outside.any():
            row = int(outside.argmax())
            raise self.reader.error(f"found the image at byte {offsets[row]} of {len(self._view)}", row)
        return offsets

    @cached_property
    def names(self) -> pa.Array:
        return self.reader.read(["image.path"]).column("image").combine_chunks().field("path")

    @cached_property
    def _labels(self) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Offsets [rows + 1] and values of each list column."""
        table = self.reader.read(["labels", "confidences", "origins"])
        columns = (column.combine_chunks() for column in table.columns)
        return [(column.offsets.to_numpy(), column.values.to_numpy()) for column in columns]

    def image(self, row: int) -> bytes:
        if self.offsets is None:
            group = int(np.searchsorted(self._starts, row, side="right")) - 1
            found: bytes = self._group_images(group)[row - int(self._starts[group])].as_py()
            return found
        at = int(self.offsets[row])
        size = int.from_bytes(self._view[at - _LENGTH_BYTES : at], "little")
        if at + size > len(self._view):
            raise self._overlong(row, at, size)
        return bytes(self._view[at : at + size])

    def _overlong(self, row: int, at: int, size: int) -> TableError:
        most = len(self._view) - at
        return self.reader.error(f"found an image of {size} bytes at byte {at}, expected {most} at most", row)

    def contents(self) -> Iterator[None]:
        """Read and check everything, including the image offsets in the footer, if there are any."""
        row = 0
        for batch in self.reader.batches(rows=_BATCH_ROWS):
            for image in batch.column("image").field("bytes"):
                if self.offsets is not None and self.image(row) != image.as_py():
                    raise self.reader.error("found another image where the footer says that it lies", row)
                row += 1
            yield

    def row(self, row: int) -> Row:
        return Row(self.names[row].as_py(), self.image(row), *self._row_labels(row))

    def _row_labels(self, row: int) -> list[Any]:
        return [values[offsets[row] : offsets[row + 1]] for offsets, values in self._labels]

    def group(self, group: int) -> list[Row]:
        """The rows of a row group."""
        return [self.row(row) for row in range(int(self._starts[group]), int(self._starts[group + 1]))]

    def sizes(self) -> NDArray[np.int64]:
        if self.offsets is not None:
            places = self.offsets[:, None] + np.arange(-_LENGTH_BYTES, 0)
            sizes: NDArray[np.int64] = (
                np.frombuffer(self._view, np.uint8)[places].view("<u4").reshape(-1).astype(np.int64)
            )
            overlong = self.offsets + sizes > len(self._view)
            if overlong.any():
                row = int(overlong.argmax())
                raise self._overlong(row, int(self.offsets[row]), int(sizes[row]))
            return sizes
        groups = (self._read_group_images(group) for group in range(len(self.reader.group_rows)))
        return np.array([len(value.as_py()) for group in groups for value in group], np.int64)

    def _read_group_images(self, group: int) -> pa.Array:
        return self.reader.group(group, ["image.bytes"]).column("image").combine_chunks().field("bytes")
