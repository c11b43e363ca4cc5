"""Writing packed images: encoded images beside their labels, in Parquet shards.

A folder like an annotation table (parts, ``categories.parquet`` where there is a hierarchy, ``manifest.json``), with
other columns:

===========  =================================  =====================================================
image        struct<bytes: binary,              the encoded image and its name: what Hugging Face
             path: string>                      ``datasets`` reads as an ``Image`` feature
labels       list<int16 or int32>               as in an annotation table
confidences  list<float32>
origins      list<uint8>
===========  =================================  =====================================================

Image bytes are stored uncompressed, and the footer holds their offsets in the file (``mlimages.offsets``), so that one
image is read with one access. Readers that do not use the offsets read ordinary Parquet.
"""

from __future__ import annotations

import base64
import json
import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from mlimages.annotate.labels.schema import table_schema
from mlimages.errors import JobError, MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.arrow import list_column
from mlimages.storage.files import replacing
from mlimages.storage.manifest import CATEGORIES, FORMAT_VERSION, MANIFEST, Manifest, Part, encode_metadata, part_path

#: Image bytes of a row group, MiB: larger ones are no faster to read in random order, and smaller ones shuffle better.
ROW_GROUP_MIB = 32
#: Approximate image bytes of a shard, MiB.
SHARD_MIB = 512

#: The `content` that the manifest of packed images states.
PACKED = "packed images"

OFFSETS_KEY = b"mlimages.offsets"
_LENGTH_BYTES = 4  # before each value of a plain column of bytes
_NEEDLE = 64  # leading bytes of an image that are searched for


class Row(NamedTuple):
    """One image and its labels: int [k], float32 [k], uint8 [k]."""

    name: str
    image: bytes
    labels: NDArray[Any]
    confidences: NDArray[np.float32]
    origins: NDArray[np.uint8]


def packed_schema(categories: int, *, metadata: Mapping[str, Any] | None = None) -> pa.Schema:
    """Columns of packed images, with the schema metadata that ``datasets`` and mlimages read."""
    labels = table_schema(categories)
    image = pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())]))
    fields = [image, *(labels.field(name) for name in ("labels", "confidences", "origins"))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for each in fields[1:]:
        value = str(each.type.value_type).replace("float", "float32") if each.name == "confidences" else None
        dtype = value or str(each.type.value_type)
        # Sequence rather than List, which versions before 4 do not know and later ones read as List
        features[each.name] = {"_type": "Sequence", "feature": {"_type": "Value", "dtype": dtype}}
    hugging_face = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.schema(fields, metadata={**encode_metadata(dict(metadata or {})), **hugging_face})


def packed_metadata(hierarchy: Hierarchy | None = None, *, categories: int | None = None) -> dict[str, Any]:
    """Metadata, for the schema and the manifest, of packed images that are not made from an annotation table."""
    from mlimages import __version__

    return {
        "format_version": FORMAT_VERSION,
        "mlimages_version": __version__,
        "hierarchy_fingerprint": hierarchy.fingerprint if hierarchy is not None else None,
        "categories": len(hierarchy) if hierarchy is not None else (categories or 0),
        "content": PACKED,
    }


class ShardWriter:
    """Write rows as one shard.

    Parameters
    ----------
    file : binary file
        Open for writing; written sequentially.
    path : pathlib.Path
        The path by which the file can be read meanwhile.
    schema : pyarrow.Schema
        As :func:`packed_schema` makes it.
    row_group_mib : int
        A row group ends with the image at which its image bytes reach this many MiB.
    """

    def __init__(self, file: BinaryIO, path: Path, *, schema: pa.Schema, row_group_mib: int = ROW_GROUP_MIB) -> None:
        self._file = _HashedFile(file)
        self._path = path
        self._schema = schema
        self._limit = row_group_mib << 20
        self._rows: list[Row] = []
        self._size = 0
        self._count = 0
        self._offsets: list[NDArray[np.int64]] = []
        lists = [f"{name}.list.element" for name in ("labels", "confidences", "origins")]
        columns = ["image.bytes", "image.path", *lists]
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            compression={name: "none" if name == "image.bytes" else "zstd" for name in columns},
            use_dictionary=lists,
            write_statistics=["image.path"],
        )

    @property
    def size(self) -> int:
        """Bytes so far, those of the unwritten row group included."""
        return self._file.tell() + self._size

    def write(self, row: Row) -> None:
        """Add one image."""
        self._rows.append(row)
        self._size += len(row.image)
        if self._size >= self._limit:
            self._flush()

    def close(self) -> Part:
        """Write the footer and describe the shard; the file stays open."""
        self._flush()
        offsets = np.concatenate(self._offsets) if self._offsets else np.empty(0, np.int64)
        packed = zlib.compress(np.diff(offsets, prepend=np.int64(0)).astype("<i8").tobytes(), 6)
        self._writer.add_key_value_metadata({OFFSETS_KEY.decode(): base64.b64encode(packed).decode()})
        self._writer.close()
        return Part("", self._count, self._file.tell(), self._file.digest.hexdigest())

    def abandon(self) -> None:
        """Close an unfinished shard without writing anything more."""
        self._file.discard = True
        self._writer.close()

    def _flush(self) -> None:
        rows, self._rows, self._size = self._rows, [], 0
        if not rows:
            return
        image = pa.StructArray.from_arrays(
            [pa.array([row.image for row in rows], pa.binary()), pa.array([row.name for row in rows], pa.string())],
            fields=list(self._schema.field("image").type),
        )
        offsets = np.cumsum([0, *(len(row.labels) for row in rows)]).astype(np.int32)
        columns = [image]
        for position, name in enumerate(("labels", "confidences", "origins"), start=2):
            kind = self._schema.field(name).type
            values = np.concatenate([np.asarray(row[position]) for row in rows])
            columns.append(list_column(kind, offsets, values))
        start = self._file.tell()
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=len(rows))
        self._file.flush()
        self._offsets.append(_locate([row.image for row in rows], self._path, start))
        self._count += len(rows)


def write_shards(
    rows: Iterable[Row],
    out: Path,
    *,
    hierarchy: Hierarchy | None = None,
    categories: int | None = None,
    row_group_mib: int = ROW_GROUP_MIB,
    shard_mib: int = SHARD_MIB,
) -> Manifest:
    """Write rows sequentially as packed images.

    Parameters
    ----------
    rows : iterable of Row
        Images with their labels; arrays may be empty.
    out : pathlib.Path
        A new or empty folder. Each shard is written under a temporary name until it is complete.
    hierarchy : Hierarchy, optional
        The categories. Without it `categories`, their number, determines the type of the labels.
    row_group_mib, shard_mib : int
        Image bytes of a row group, and of a shard before the next is started, MiB.

    Raises
    ------
    JobError
        Where the folder is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise JobError(f"{out}: exists and is not an empty folder: choose a new one")
    out.mkdir(parents=True, exist_ok=True)
    metadata = packed_metadata(hierarchy, categories=categories)
    schema = packed_schema(metadata["categories"], metadata=metadata)
    source = _Peekable(rows)
    parts: list[Part] = []
    while source.more or not parts:
        path = part_path(out, len(parts))
        parts.append(write_shard(source.until(shard_mib << 20), path, schema=schema, row_group_mib=row_group_mib))
    return finish_packed(out, Manifest(metadata, {"row_group_mib": row_group_mib}, [], parts), hierarchy)


def write_shard(rows: Iterable[Row], path: Path, *, schema: pa.Schema, row_group_mib: int = ROW_GROUP_MIB) -> Part:
    """Write one shard, under a temporary name until it is complete.

    Raises
    ------
    MlimagesError
        Where `row_group_mib` is less than 1.
    """
    if row_group_mib < 1:
        raise MlimagesError(f"row_group_mib={row_group_mib}: expected at least 1")
    with replacing(path) as file:
        writer = ShardWriter(file, Path(file.name), schema=schema, row_group_mib=row_group_mib)
        try:
            for row in rows:
                writer.write(row)
            part = writer.close()
        except BaseException:
            writer.abandon()
            raise
    return Part(path.name, part.rows, part.bytes, part.xxh3_128)


def finish_packed(out: Path, manifest: Manifest, hierarchy: Hierarchy | None) -> Manifest:
    """Write the categories and, last, the manifest."""
    write_categories(out, hierarchy)
    manifest.write(out / MANIFEST)
    return manifest


def write_categories(out: Path, hierarchy: Hierarchy | None) -> None:
    """Write the categories, where there are any."""
    if hierarchy is not None:
        with replacing(out / CATEGORIES) as file:
            hierarchy.to_parquet(file.name)


class _Peekable:
    """Rows of an iterable, drawn shard by shard."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    @property
    def more(self) -> bool:
        return self._next is not None

    def until(self, size: int) -> Iterator[Row]:
        """Rows up to the one at which their image bytes reach `size`."""
        drawn = 0
        while self._next is not None and drawn < size:
            drawn += len(self._next.image)
            yield self._next
            self._next = next(self._rows, None)


class _HashedFile:
    """A file for Arrow to write to, which hashes the bytes as they are written."""

    closed = False
    discard = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self.digest = xxhash.xxh3_128()

    def write(self, data: Any) -> int:
        if not self.discard:
            self.digest.update(data)
            self._file.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        if not self.discard:
            self._file.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.flush()


def _locate(images: list[bytes], path: Path, start: int) -> NDArray[np.int64]:
    """Offsets in bytes of the images of the row group that begins at `start`: int64 [images].

    A column in PLAIN encoding holds the length and the bytes of each value, with page headers between some of them.
    Each match is compared with the whole image, so that an offset is never wrong.
    """
    found = np.empty(len(images), np.int64)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        at = start
        for number, image in enumerate(images):
            head = len(image).to_bytes(_LENGTH_BYTES, "little")
            while True:
                at = view.find(head + image[:_NEEDLE], at)
                assert at >= 0, "Arrow wrote the images in an encoding other than PLAIN"
                body = at + _LENGTH_BYTES
                if view[body : body + len(image)] == image:
                    break
                at += 1
            found[number] = body
            at = body + len(image)
    return found
