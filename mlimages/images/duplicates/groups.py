"""Duplicate images: exact ones have equal pixels, near ones perceptual hashes that differ in few bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlimages.errors import MlimagesError
from mlimages.images.duplicates.fingerprints import PART_IMAGES, fingerprint_images
from mlimages.images.duplicates.fingerprints import SCHEMA as FINGERPRINTS_SCHEMA
from mlimages.images.duplicates.hamming import LARGEST_THRESHOLD, equal_groups, join_groups, near_groups
from mlimages.job.engines import EngineName
from mlimages.job.job import Progress
from mlimages.storage.checks import Columns
from mlimages.storage.files import replacing
from mlimages.storage.manifest import Manifest
from mlimages.storage.part import open_part

#: Bits in which the perceptual hashes of near duplicates may differ. Among 17 million hashes of random bits about five
#: pairs are that close by chance.
THRESHOLD = 4

GROUPS = "groups.parquet"
UNREADABLE = "unreadable.txt"

#: Columns of the groups: images in the order of the source, groups in the order of their first image.
SCHEMA = pa.schema(
    [
        pa.field("group", pa.int64()),
        pa.field("image", pa.string()),
        pa.field("keep", pa.bool_()),  # true for the image with the most pixels; the first of several such
        pa.field("exact", pa.bool_()),  # its pixels equal those of the image to keep
        pa.field("distance", pa.uint8()),  # bits in which its hash differs from that of the image to keep
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
    ]
)

_STORED = Columns(FINGERPRINTS_SCHEMA, None, nullable=set(FINGERPRINTS_SCHEMA.names) - {"image"})
_BATCH_ROWS = 65_536

# A hash has a bit for each of 64 frequencies, set where its coefficient is above the median. In an image without
# structure (one colour, a plain gradient) most coefficients are zero and few bits are set, so that unrelated images of
# this kind have equal hashes.
_LEAST_BITS = 16


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Result of a search.

    Parameters
    ----------
    folder : pathlib.Path
        Holds the fingerprints (``part-*.parquet``), ``groups.parquet`` and, if any, ``unreadable.txt``.
    images : int
        Images examined.
    unreadable : int
        Images that could not be decoded.
    groups : int
        Groups of two or more images.
    surplus : int
        Images in a group other than the one to keep.
    """

    folder: Path
    images: int
    unreadable: int
    groups: int
    surplus: int


def find_duplicates(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    threshold: int | None = THRESHOLD,
    part_images: int = PART_IMAGES,
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Duplicates:
    """Find exact and near duplicates among the images of a folder, or packed images.

    Parameters
    ----------
    source : path-like
        A folder of images, with its subfolders; or packed images.
    out : path-like
        A new or empty folder for the fingerprints and ``groups.parquet`` (columns: :data:`SCHEMA`).
    threshold : int or None
        Bits of 64 in which the perceptual hashes of near duplicates may differ; None for exact duplicates only.
    part_images : int
        Images of a part of the fingerprints.
    engine : {"local", "ray"}
        Where the fingerprints are made.
    workers : int, optional
        Processes that decode; as many as cores by default. The result does not depend on it.
    resume : bool
        Continue an interrupted job; where it was finished, group its fingerprints again.
    progress : callable, optional
        Called after every part.

    Raises
    ------
    MlimagesError
        Where there is no image, or the threshold is out of range.
    JobError
        Where the folder is not empty, or what is resumed was begun with other images.

    Notes
    -----
    Groups are transitive: where a is near b and b near c, all three are one group, although a and c may differ in more
    bits; `distance` is that to the image to keep. No pair within the threshold is missed. Images without structure,
    whose perceptual hash is not meaningful, are compared by their pixels only.
    """
    if threshold is not None and not 0 <= threshold <= LARGEST_THRESHOLD:
        raise MlimagesError(
            f"found the threshold {threshold}, expected the bits that may differ, 0 to {LARGEST_THRESHOLD}"
        )
    folder = Path(out)
    manifest = fingerprint_images(
        source, folder, part_images=part_images, engine=engine, workers=workers, resume=resume, progress=progress
    )
    prints = _Fingerprints.load(folder, manifest)
    group = _group(prints, threshold)
    table = _groups_table(prints, group, folder, manifest)
    with replacing(folder / GROUPS) as file:
        pq.write_table(table, file, compression="zstd")
    unreadable = _write_unreadable(folder, manifest)
    groups = int(table.column("group")[-1].as_py()) + 1 if len(table) else 0
    return Duplicates(folder, manifest.rows, unreadable, groups, len(table) - groups)


@dataclass(frozen=True, slots=True)
class _Fingerprints:
    """Fingerprints without names, arrays [images]: 33 bytes per image."""

    high: NDArray[np.uint64]  # the first 128 bits of the SHA-256
    low: NDArray[np.uint64]
    phash: NDArray[np.uint64]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    readable: NDArray[np.bool_]

    @classmethod
    def load(cls, folder: Path, manifest: Manifest) -> _Fingerprints:
        n = manifest.rows
        prints = cls(
            high=np.zeros(n, np.uint64),
            low=np.zeros(n, np.uint64),
            phash=np.zeros(n, np.uint64),
            width=np.zeros(n, np.int32),
            height=np.zeros(n, np.int32),
            readable=np.zeros(n, bool),
        )
        at = 0
        for batch in _batches(folder, manifest, ["sha256", "phash", "width", "height"]):
            rows = slice(at, at + batch.num_rows)
            at += batch.num_rows
            prints.readable[rows] = batch.column("phash").is_valid().to_numpy(zero_copy_only=False)
            digests = batch.column("sha256").fill_null(bytes(32))
            halves = np.frombuffer(b"".join(digests.to_pylist()), "<u8").reshape(-1, 4)
            prints.high[rows], prints.low[rows] = halves[:, 0], halves[:, 1]
            for name in ("phash", "width", "height"):
                getattr(prints, name)[rows] = batch.column(name).fill_null(0).to_numpy()
        return prints


def _batches(folder: Path, manifest: Manifest, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for number in range(len(manifest.parts)):
        with open_part(folder, manifest, number, _STORED) as part:
            yield from part.batches(columns, rows=_BATCH_ROWS)


def _group(prints: _Fingerprints, threshold: int | None) -> NDArray[np.int64]:
    """For each image the first image of its group: int64 [images]."""
    n = len(prints.phash)
    group = np.arange(n)
    readable = np.flatnonzero(prints.readable)
    group[readable] = readable[equal_groups(prints.high[readable], prints.low[readable])]
    if threshold is not None:
        structured = np.flatnonzero(prints.readable & (np.bitwise_count(prints.phash) >= _LEAST_BITS))
        near = np.arange(n)
        near[structured] = structured[near_groups(prints.phash[structured], threshold=threshold)]
        group = join_groups(group, near)
    return group


def _groups_table(prints: _Fingerprints, group: NDArray[np.int64], folder: Path, manifest: Manifest) -> pa.Table:
    size = np.bincount(group, minlength=len(group))
    members = np.flatnonzero(size[group] > 1)
    pixels = prints.width[members].astype(np.int64) * prints.height[members]
    order = np.lexsort((members, -pixels, group[members]))  # by group, the one to keep first
    first = np.ones(len(order), bool)
    first[1:] = group[members[order]][1:] != group[members[order]][:-1]
    kept_of_group = dict(zip(group[members[order]][first].tolist(), members[order][first].tolist(), strict=True))
    members = members[np.lexsort((members, group[members]))]
    kept = np.array([kept_of_group[each] for each in group[members].tolist()], np.int64)
    columns = [
        pa.array(np.cumsum(np.diff(group[members], prepend=-1) != 0) - 1, pa.int64()),
        _take_names(folder, manifest, members),
        pa.array(members == kept),
        pa.array((prints.high[members] == prints.high[kept]) & (prints.low[members] == prints.low[kept])),
        pa.array(np.bitwise_count(prints.phash[members] ^ prints.phash[kept]), pa.uint8()),
        pa.array(prints.width[members]),
        pa.array(prints.height[members]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _take_names(folder: Path, manifest: Manifest, members: NDArray[np.int64]) -> pa.Array:
    """The names of some images, in the given order; reads the names part by part."""
    ordered = np.sort(members)
    pieces = [pa.array([], pa.string())]
    at = 0
    for batch in _batches(folder, manifest, ["image"]):
        here = ordered[np.searchsorted(ordered, at) : np.searchsorted(ordered, at + batch.num_rows)]
        pieces.append(batch.column(0).take(pa.array(here - at)))
        at += batch.num_rows
    return pa.concat_arrays(pieces).take(pa.array(np.searchsorted(ordered, members)))


def _write_unreadable(folder: Path, manifest: Manifest) -> int:
    """Write the images that cannot be decoded, with the reason; return their number."""
    count = 0
    path = folder / UNREADABLE
    with replacing(path) as file:
        for batch in _batches(folder, manifest, ["image", "error"]):
            bad = batch.filter(batch.column("error").is_valid())
            count += bad.num_rows
            for name, error in zip(bad.column("image").to_pylist(), bad.column("error").to_pylist(), strict=True):
                file.write(f"{name}\t{error}\n".encode())
    if not count:
        path.unlink()
    return count
