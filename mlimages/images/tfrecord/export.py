"""Export of annotation tables with their images to TFRecord shards with the published fields."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mlimages.annotate.sources.source import OnError
from mlimages.errors import MlimagesError
from mlimages.images.packed.packing import OnMissing, RowSource, checked_rows, plan_shards
from mlimages.images.packed.shards import ShardMaker, ShardTask
from mlimages.images.packed.writing import Row
from mlimages.images.picture import PictureError, decode, probe, to_jpeg
from mlimages.images.tfrecord.records import Record, read_frames, write
from mlimages.job.engines import EngineName
from mlimages.job.job import Job, Progress
from mlimages.job.task import Made, StopSignal
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.manifest import MANIFEST, Manifest, Part

#: Approximate image bytes of a shard, MiB.
SHARD_MIB = 256


def export_tfrecord(
    table: str | os.PathLike[str],
    images: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    keep_format: bool = False,
    shard_mib: int = SHARD_MIB,
    on_missing: OnMissing = "raise",
    on_error: OnError = "raise",
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Write TFRecord shards ``0.tfrecords``, ``1.tfrecords`` and so on: see :mod:`mlimages.images.tfrecord.records`.

    Parameters
    ----------
    table : path-like
        An annotation table, or packed images.
    images : path-like or None
        Folder with the image file of every row; None for packed images.
    out : path-like
        A new or empty folder.
    keep_format : bool
        Keep images in their format. By default those in other formats become JPEGs of quality 100, without
        transparency, as in the published shards.
    shard_mib : int
        Upper bound on the image bytes of a shard, MiB; all shards hold about the same.
    on_missing : {"raise", "skip"}
        Whether a row without an image is an error before anything is written, or is left out and listed in
        ``missing.txt``.
    on_error : {"raise", "quarantine"}
        Whether an image that cannot be decoded ends the job, or is left out and listed with the reason in
        ``quarantine/0.txt`` for shard 0 and so on.
    engine : {"local", "ray"}
        Where the work is done.
    workers : int, optional
        Processes; as many as cores by default. The shards do not depend on it.
    resume : bool
        Continue an interrupted job.
    progress : callable, optional
        Called after every shard.

    Returns
    -------
    Manifest
        The manifest of the shards.

    Raises
    ------
    JobError
        Where the folder is not empty, a resumed job was begun with other input or options, or images change meanwhile.
    MlimagesError
        For a missing image, unless these are skipped; for a name that leads out of the folder.
    PictureError
        For an image that cannot be decoded, unless these are quarantined; names it.
    """
    if on_error not in ("raise", "quarantine"):
        raise MlimagesError(f"on_error={on_error!r}: expected raise or quarantine")
    own = {"keep_format": keep_format, "on_error": on_error}
    source, tasks, options, write_beside = plan_shards(
        table, images, shard_mib=shard_mib, on_missing=on_missing, own=own
    )
    folder = Path(out)
    metadata = {**source.manifest.metadata, "content": "TFRecord shards"}
    make = partial(_export_shard, source=source, folder=folder, keep_format=keep_format, on_error=on_error)
    maker = ShardMaker(
        folder=folder, make=make, name=_shard_name, rows=_shard_rows, counts=partial(_count_quarantined, folder)
    )
    job = Job(
        maker=maker,
        metadata=metadata,
        options=options,
        inputs=[source.folder / MANIFEST],
        beside=write_beside,
        pattern="*.tfrecords",
        processes=True,
    )
    return job.run(tasks, engine=engine, workers=workers, resume=resume, progress=progress)


def record_of(row: Row, *, categories: int, keep_format: bool = False) -> Record:
    """Make the record of a row, whose label is a vector over all categories.

    Raises
    ------
    PictureError
        Where the image cannot be decoded; names it.
    """
    image = row.image
    try:
        kind, width, height = probe(image)
        if kind == "JPEG" or keep_format:
            decode(image)  # raises: readers of the shard could not leave a damaged image out
        else:
            image = to_jpeg(image)
    except PictureError as error:
        raise PictureError(f"{row.name}: {error}") from error
    label = np.zeros(categories, np.float32)
    label[row.labels] = row.confidences
    return Record(row.name, image, width, height, label)


def _export_shard(
    task: ShardTask,
    stop: StopSignal,
    *,
    source: RowSource,
    folder: Path,
    keep_format: bool,
    on_error: OnError,
) -> Made:
    path = folder / _shard_name(task.index)
    categories = source.manifest.metadata["categories"]
    bad: list[str] = []

    def records() -> Iterator[Record]:
        for row in checked_rows(source, task, stop):
            try:
                yield record_of(row, categories=categories, keep_format=keep_format)
            except PictureError as error:
                if on_error == "raise":
                    raise
                bad.append(f"{error}\n")
        if bad:  # before the shard takes its name: a shard without its bad rows would hide them
            quarantine = _quarantine_path(folder, task.index)
            quarantine.parent.mkdir(exist_ok=True)
            with replacing(quarantine) as file:
                file.writelines(line.encode() for line in bad)

    rows = write(path, records())
    counts = {"quarantined": len(bad)} if bad else {}
    return Made(Part(path.name, rows, path.stat().st_size, file_hash(path)), counts, task.size)


def _quarantine_path(folder: Path, index: int) -> Path:
    return folder / "quarantine" / f"{index}.txt"


def _count_quarantined(folder: Path, index: int) -> dict[str, int]:
    """What an earlier run counted of a shard: a line for each image that was left out."""
    path = _quarantine_path(folder, index)
    return {"quarantined": path.read_bytes().count(b"\n")} if path.is_file() else {}


def _shard_name(index: int) -> str:
    return f"{index}.tfrecords"


def _shard_rows(path: Path) -> int:
    return sum(1 for _ in read_frames(path))
