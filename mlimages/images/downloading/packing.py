"""Downloaded images written directly to packed shards, one shard for each unit.

Until its unit is finished an image is a file in a spool folder, so that a killed job resumes from the images that it
has, and memory holds one row group whatever the size of a shard.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlimages.annotate.labels.schema import INT32_FROM, Origin
from mlimages.errors import MlimagesError, TableError
from mlimages.hierarchy import Hierarchy
from mlimages.images.downloading.log import Record
from mlimages.images.downloading.urls import Unit
from mlimages.images.packed.reading import PackedImages
from mlimages.images.packed.writing import Row, finish_packed, packed_metadata, packed_schema, write_shard
from mlimages.storage.manifest import Input, Manifest, Part, part_path
from mlimages.storage.part import stored_part

_AT_ONCE = 16  # images read at once from a shard that is rewritten


@dataclass(frozen=True, slots=True)
class Packing:
    """Destination of the shards, and the conversion of a list's labels.

    The folder `spool` holds images whose unit is not finished. Labels may be keys or indices of the `hierarchy`;
    without it they are indices, below 32,768.
    """

    folder: Path
    spool: Path
    hierarchy: Hierarchy | None
    _known: dict[str, int] = field(default_factory=dict, compare=False, repr=False)  # cache: label to index

    def spool_of(self, unit: int) -> Path:
        """The spool folder of a unit."""
        return self.spool / f"unit-{unit:05d}"

    def labels(self, text: str) -> tuple[list[int], list[float]]:
        """Category indices and confidences of the labels of one row.

        Raises
        ------
        MlimagesError
            Where a label is no category.
        """
        indices, confidences = [], []
        for one in text.split("\t") if text else ():
            label, _, confidence = one.rpartition(":") if ":" in one else (one, "", "1")
            index = self._known.get(label)
            if index is None:
                index = self._known[label] = self._index(label)
            indices.append(index)
            confidences.append(float(confidence))
        return indices, confidences

    def _index(self, label: str) -> int:
        if self.hierarchy is not None:
            return int(self.hierarchy.index(int(label) if label.isdecimal() else label))
        if not label.isdecimal() or int(label) >= INT32_FROM:
            raise MlimagesError(
                f"found the label {label!r}, expected an index below {INT32_FROM}: say what the categories are "
                "(--hierarchy)"
            )
        return int(label)

    def check(self, unit: Unit) -> None:
        """Raise a MlimagesError where a label of a unit is no category."""
        for url, labels in zip(unit.urls, unit.labels, strict=True):
            try:
                self.labels(labels)
            except (MlimagesError, ValueError) as error:
                raise MlimagesError(f"the labels of {url[:200]}: {error}") from None

    def write(self, unit: Unit, records: Sequence[Record]) -> Part:
        """Write the shard of a unit, or rewrite it with the images that a retry added."""
        self.folder.mkdir(parents=True, exist_ok=True)
        metadata = packed_metadata(self.hierarchy)
        path = part_path(self.folder, unit.index)
        return write_shard(
            self._rows(unit, records, path), path, schema=packed_schema(metadata["categories"], metadata=metadata)
        )

    def clean(self, unit: int) -> None:
        """Delete the spooled images of a finished unit."""
        shutil.rmtree(self.spool_of(unit), ignore_errors=True)

    def finish(self, parts: list[Part], inputs: list[Path]) -> None:
        """Write the categories and the manifest."""
        described = [Input.of(path) for path in inputs]
        finish_packed(self.folder, Manifest(packed_metadata(self.hierarchy), {}, described, parts), self.hierarchy)

    def _rows(self, unit: Unit, records: Sequence[Record], shard: Path) -> Iterator[Row]:
        spool = self.spool_of(unit.index)
        there = self._images(shard)
        following = next(there, None)
        for labels, record in zip(unit.labels, records, strict=True):
            if record.name is None:
                continue
            if following is not None and following[0] == record.name:
                image = following[1]
                following = next(there, None)
            else:
                image = (spool / record.name).read_bytes()
            indices, confidences = self.labels(labels)
            yield Row(
                record.name,
                image,
                np.array(indices, np.int32),
                np.array(confidences, np.float32),
                np.full(len(indices), Origin.GIVEN, np.uint8),
            )

    def _images(self, shard: Path) -> Iterator[tuple[str, bytes]]:
        """Names and images of a shard in order; nothing where there is no shard."""
        if not shard.exists():
            return
        stored = stored_part(shard)
        if stored is None:
            raise TableError(f"{shard}: damaged: remove {self.folder.parent} and start again")
        packed = PackedImages(self.folder, Manifest(packed_metadata(self.hierarchy), {}, [], [stored[0]]))
        for batch in packed.batches(columns=["image"], rows=_AT_ONCE):
            for one in batch.column("image").to_pylist():
                yield one["path"], one["bytes"]
