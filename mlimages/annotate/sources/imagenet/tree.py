"""ImageNet as a folder tree, with a folder for each synset: ``train/n01440764/n01440764_10026.JPEG``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from mlimages.annotate.sources.imagenet.lists import lost_counts
from mlimages.annotate.sources.imagenet.synsets import Unmapped, is_synset_id, synset_targets
from mlimages.annotate.sources.source import BadRow, Report, Unit, UnitSource, given_batch
from mlimages.errors import JobError, MlimagesError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.arrow import offsets_of
from mlimages.storage.batches import BATCH_ROWS, rebatched
from mlimages.storage.imagefiles import SUFFIXES

#: Images of a unit, which ends with the folder at which it reaches this number.
UNIT_IMAGES = 2 * BATCH_ROWS


class ImageNetTree(UnitSource):
    """Read the names of the images below folders named by synsets; no image is opened.

    An image is a file with one of the :data:`~mlimages.storage.imagefiles.SUFFIXES`; its name in the table is its path
    below the given folder, ``n01440764/n01440764_10026.JPEG``. Folders are taken by ascending id, the images of each
    by name. Everything else is ignored: hidden files, other suffixes, folders of other names.

    Parameters
    ----------
    folder : path-like
        The folder of the synset folders, such as ``train``.
    hierarchy : Hierarchy
        The categories, whose keys are synset ids.
    unmapped : {"drop", "ancestor"}
        Handling of an image whose synset is not in the hierarchy, see
        :class:`~mlimages.annotate.sources.imagenet.lists.ImageNet`.
    unit_images : int
        A unit ends with the folder at which it reaches this number of images.
    batch_rows : int
        Images of a batch.

    Raises
    ------
    MlimagesError
        If no folder in it is named by a synset, or the hierarchy contains none.
    """

    format = "imagenet"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        hierarchy: Hierarchy,
        *,
        unmapped: Unmapped = "drop",
        unit_images: int = UNIT_IMAGES,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.inputs: list[Path] = []  # the images are too long a list for a manifest: see `state`
        self._unit_images, self._batch_rows = unit_images, batch_rows
        self._targets = synset_targets(hierarchy, unmapped)
        self._root = Path(folder)
        with os.scandir(self._root) as entries:
            names = sorted(entry.name for entry in entries if is_synset_id(entry.name) and entry.is_dir())
        if not names:
            within = sorted(path.parent.name for path in self._root.glob("*/n[0-9]*") if is_synset_id(path.name))
            raise MlimagesError(
                f"{self._root}: found no folder named by a synset, such as n01440764"
                + (f": did you mean {self._root / within[0]}?" if within else "")
            )
        listing = xxhash.xxh3_128()
        self._folders: list[tuple[str, int]] = []  # name and images
        for name in names:
            images = _images(self._root / name)
            listing.update("\0".join([name, *images]).encode("utf-8", "surrogateescape") + b"\0\0")
            self._folders.append((name, len(images)))
        self.state = {
            "folder": os.fspath(self._root),
            "images": sum(images for _, images in self._folders),
            "listing_xxh3_128": listing.hexdigest(),
        }
        if unmapped != "drop":
            self.state["unmapped"] = unmapped

    def units(self) -> list[Unit]:
        """Runs of whole folders; `start` and `stop` count images."""
        units: list[Unit] = []
        start = 0
        ends = list(accumulate(images for _, images in self._folders))
        for end in ends:
            if end - start >= self._unit_images or end == ends[-1] > start:
                units.append(Unit(len(units), os.fspath(self._root), start, end))
                start = end
        return units or [Unit(0, os.fspath(self._root), 0, 0)]

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The images of a unit."""
        lost: Counter[int] = Counter()
        yield from rebatched(self._folders_of(unit, report, lost), self._batch_rows)
        report.counts.update(lost_counts(lost))

    def _folders_of(self, unit: Unit, report: Report, lost: Counter[int]) -> Iterator[pa.RecordBatch]:
        """The images of a unit, a batch for each folder whose synset has categories."""
        at = 0
        for folder, expected in self._folders:
            at += expected
            if not expected or not unit.start < at <= unit.stop:
                continue
            images = _images(self._root / folder)
            if len(images) != expected:
                raise JobError(
                    f"{self._root / folder}: changed while it was read: found {len(images)} images, expected {expected}"
                )
            offset = int(folder[1:])
            place = int(np.searchsorted(self._targets.offsets, offset))
            if place == len(self._targets.offsets) or self._targets.offsets[place] != offset:
                lost[offset] += len(images)
                continue
            good = self._encoded(folder, images, report)
            report.counts["mapped_to_ancestor"] += int(self._targets.is_mapped[place]) * len(good)
            yield self._batch(good, self._targets.labels[slice(*self._targets.indptr[place : place + 2])])

    def _encoded(self, folder: str, images: list[str], report: Report) -> list[bytes]:
        """Names in the table; those that are no UTF-8 or hold control characters go to the report."""
        good = []
        for number, image in enumerate(images, start=1):
            name = os.fsencode(f"{folder}/{image}")
            wrong = "" if image.isprintable() else _fault(name)
            if not wrong:
                good.append(name)
                continue
            shown = repr(name.decode("utf-8", "backslashreplace"))
            report.bad_row(
                BadRow(os.fspath(self._root / folder), number, f"found the file name {shown}, {wrong}", name)
            )
        return good

    def _batch(self, names: list[bytes], labels: NDArray[np.int32]) -> pa.RecordBatch:
        """Images that all have the same labels."""
        name_offsets, offsets = offsets_of([len(name) for name in names]), offsets_of([len(labels)] * len(names))
        text = np.frombuffer(b"".join(names), np.uint8)
        return given_batch(text, name_offsets, offsets, np.tile(labels, len(names)))


def _fault(name: bytes) -> str:
    """The problem of a name that a table cannot hold; empty if there is none."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return "expected UTF-8"
    return "" if min(name) >= 32 else "expected no control characters"


def _images(folder: Path) -> list[str]:
    """The names of the images in a folder, ascending."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES) and entry.name[0] != "." and entry.is_file()
        )
