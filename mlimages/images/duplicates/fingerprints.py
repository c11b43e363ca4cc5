"""Fingerprints of images: a hash of the pixels, and a perceptual hash that is robust to re-encoding and resizing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from mlimages.errors import MlimagesError, import_extra
from mlimages.images.packed.reading import PackedImages, read
from mlimages.images.packed.shards import ShardMaker, ShardTask
from mlimages.images.packed.writing import packed_metadata
from mlimages.images.picture import PictureError, decode
from mlimages.job.engines import EngineName
from mlimages.job.job import Job, Progress
from mlimages.job.task import Made, StopSignal, until_stopped
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.imagefiles import SUFFIXES, image_names
from mlimages.storage.manifest import MANIFEST, Manifest, Part, encode_metadata, part_path

#: Columns of the fingerprints; hashes and size are null where the image cannot be decoded, and `error` is the reason.
SCHEMA = pa.schema(
    [
        pa.field("image", pa.string()),
        pa.field("sha256", pa.binary(32)),
        pa.field("phash", pa.uint64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("error", pa.string()),
    ]
)

#: Images of a part.
PART_IMAGES = 4096

_WEIGHTS = np.uint64(1) << np.arange(64, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Fingerprint of one image.

    Parameters
    ----------
    sha256 : bytes
        SHA-256 of width, height, mode and the pixels in RGB (RGBA where there is transparency), row by row: equal for
        the same pixels in another lossless format.
    phash : int
        64-bit perceptual hash (DCT of the luminance at 32 x 32): ``imagehash.phash``, row by row, least significant
        bit first.
    width, height : int
        Pixels.
    """

    sha256: bytes
    phash: int
    width: int
    height: int


def fingerprint(data: bytes) -> Fingerprint:
    """Fingerprint an encoded image.

    Raises
    ------
    PictureError
        Where the bytes cannot be decoded.
    """
    imagehash = import_extra("imagehash", extra="images")
    image = decode(data)
    digest = hashlib.sha256(f"{image.width} {image.height} {image.mode}\n".encode())
    digest.update(image.tobytes())
    bits = imagehash.phash(image).hash.reshape(-1)
    return Fingerprint(digest.digest(), int((bits * _WEIGHTS).sum()), image.width, image.height)


def fingerprint_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    engine: EngineName = "local",
    part_images: int = PART_IMAGES,
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Fingerprint all images of a folder, or packed images, into Parquet parts of the columns :data:`SCHEMA`.

    Parameters
    ----------
    source : path-like
        A folder, searched with its subfolders for files with one of the
        :data:`~mlimages.storage.imagefiles.SUFFIXES`; or packed images.
    out : path-like
        A new or empty folder.
    engine : {"local", "ray"}
        Where the work is done.
    part_images : int
        Images of a part.
    workers : int, optional
        Processes; as many as cores by default. The parts do not depend on it.
    resume : bool
        Continue an interrupted job.
    progress : callable, optional
        Called after every part.

    Raises
    ------
    JobError
        Where the folder is not empty, or what is resumed was begun with other images or other parts.
    MlimagesError
        Where the source holds no image, or `part_images` is less than 1.
    """
    if part_images < 1:
        raise MlimagesError(f"part_images={part_images}: expected at least 1")
    folder, target = Path(source), Path(out)
    packed = read(folder) if (folder / MANIFEST).is_file() else None
    tasks = _PackedTasks(len(packed), part_images) if packed is not None else _FolderTasks(folder, part_images)
    if not len(tasks):
        raise MlimagesError(
            f"{folder}: found no image: expected packed images or files that end in {' '.join(SUFFIXES)}"
        )
    metadata = {**packed_metadata(), "content": "image fingerprints"}
    options = {
        "source": os.fspath(folder),
        "images": tasks.images,
        "names_xxh3": tasks.names_hash,
        "part_images": part_images,
    }
    make = partial(_fingerprint_part, source=folder if packed is None else packed, out=target, metadata=metadata)
    job = Job(
        maker=ShardMaker(folder=target, make=make),
        metadata=metadata,
        options=options,
        inputs=[folder / MANIFEST] if packed is not None else [],
        processes=True,
    )
    return job.run(tasks, engine=engine, workers=workers, resume=resume, progress=progress)


@dataclass(frozen=True, slots=True)
class _NamedTask(ShardTask):
    """The files of one part."""

    names: tuple[str, ...] = ()


class _PackedTasks(Sequence[ShardTask]):
    """Rows of packed images, cut into parts."""

    names_hash: str | None = None  # their manifest identifies them

    def __init__(self, images: int, part_images: int) -> None:
        self.images = images
        self._part_images = part_images

    def __len__(self) -> int:
        return -(-self.images // self._part_images)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._task(index, index * self._part_images, min(self.images, (index + 1) * self._part_images))

    def _task(self, index: int, start: int, stop: int) -> ShardTask:
        return ShardTask(index, start, stop, stop - start, 0)


class _FolderTasks(_PackedTasks):
    """Files of a folder, cut into parts; names are held in Arrow, about 40 bytes each."""

    def __init__(self, folder: Path, part_images: int) -> None:
        digest = xxhash.xxh3_128()
        self._chunks: list[pa.Array] = []
        chunk: list[str] = []
        for name in image_names(folder):
            digest.update(os.fsencode(name) + b"\n")
            chunk.append(name)
            if len(chunk) == part_images:
                self._chunks.append(_names_array(chunk))
                chunk = []
        if chunk:
            self._chunks.append(_names_array(chunk))
        self.names_hash = digest.hexdigest()
        super().__init__(sum(len(each) for each in self._chunks), part_images)

    def _task(self, index: int, start: int, stop: int) -> ShardTask:
        return _NamedTask(index, start, stop, stop - start, 0, tuple(self._chunks[index].to_pylist()))


def _names_array(names: list[str]) -> pa.Array:
    try:
        return pa.array(names, pa.string())
    except UnicodeEncodeError as error:
        raise MlimagesError(f"found the file name {error.object!r}, expected UTF-8: rename it") from None


def _fingerprint_part(
    task: ShardTask, stop: StopSignal, *, source: Path | PackedImages, out: Path, metadata: dict[str, Any]
) -> Made:
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for name, load in until_stopped(_pictures(task, source), stop):
        found: Fingerprint | None = None
        error: str | None = None
        try:
            found = fingerprint(load())
        except (PictureError, FileNotFoundError, PermissionError) as reason:
            error = str(reason)
        columns["image"].append(name)
        columns["error"].append(error)
        for field in ("sha256", "phash", "width", "height"):
            columns[field].append(None if found is None else getattr(found, field))
    schema = SCHEMA.with_metadata(encode_metadata(metadata))
    path = part_path(out, task.index)
    with replacing(path) as file:
        pq.write_table(pa.Table.from_pydict(columns, schema=schema), file, compression="zstd")
    return Made(Part(path.name, len(columns["image"]), path.stat().st_size, file_hash(path)))


def _pictures(task: ShardTask, source: Path | PackedImages) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of each image, and the function that reads it."""
    if isinstance(source, Path):
        assert isinstance(task, _NamedTask)
        for name in task.names:
            yield name, (source / name).read_bytes
    else:
        for row in source.rows(task.start, task.stop):
            yield row.name, partial(bytes, row.image)
