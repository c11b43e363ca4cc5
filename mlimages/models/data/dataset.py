"""Batches of images and labels from an annotation table and a folder, or from packed images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import MlimagesError, ModelError, TableError
from mlimages.images.packed.byname import PackedByName
from mlimages.images.packed.reading import PackedImages, is_packed, read
from mlimages.images.picture import PictureError
from mlimages.models.data.decode import load_pictures, picture_seed
from mlimages.models.data.order import Ticket
from mlimages.models.data.unlisted import Below
from mlimages.models.networks.outputs import table_hierarchy
from mlimages.storage.imagefiles import image_bytes
from mlimages.storage.part import PartReader, open_part

if TYPE_CHECKING:
    from mlimages.models.data.preprocess import Preprocess

_KEPT_GROUPS = 16  # row groups whose labels a process keeps: two pools of the usual eight


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with their labels, as the sparse matrix that :class:`MultiHot` makes dense.

    Attributes
    ----------
    pictures : uint8 tensor [B, 3, H, W]
        Black where an image is broken.
    rows, columns : int64 tensors [nnz]
        Position in the batch and output of each label.
    values : float32 tensor [nnz]
        Its confidence: above 0 present, 0 verified absent, -1 known to be unknown (see `below` of
        :class:`ParquetImages`).
    names : list of str
        The images.
    broken : dict of int to str
        Position and reason of each image that could not be read; it has no labels and is to be ignored.
    epoch, number : int
        Epoch, and number of the batch within it.
    """

    pictures: Tensor
    rows: Tensor
    columns: Tensor
    values: Tensor
    names: list[str]
    broken: dict[int, str]
    epoch: int
    number: int

    def __len__(self) -> int:
        return len(self.names)

    def pin_memory(self) -> Batch:
        """Copy the tensors to page-locked memory; torch's loader calls this."""
        tensors = (self.pictures, self.rows, self.columns, self.values)
        pictures, rows, columns, values = (tensor.pin_memory() for tensor in tensors)
        return replace(self, pictures=pictures, rows=rows, columns=columns, values=values)


class MultiHot:
    """Makes the dense targets of batches in a reused buffer, of which only what the last batch set is cleared.

    Parameters
    ----------
    num_classes : int
    unknown : float, optional
        The target of classes that an image does not list: 0 for absent, as in the published training, or -1 for left
        out.
    device : torch.device, optional
        Device of the targets; labels are copied there as indices.
    """

    def __init__(self, num_classes: int, *, unknown: float = 0.0, device: torch.device | str = "cpu") -> None:
        self.num_classes, self.unknown, self.device = num_classes, unknown, torch.device(device)
        self._buffer = torch.empty(0, device=self.device)
        self._set = torch.empty(0, dtype=torch.int64, device=self.device)
        self._lines: list[int] = []

    def __call__(self, batch: Batch) -> Tensor:
        """Targets float32 [B, C] of a batch, valid until the next call; broken images are unknown throughout."""
        needed = len(batch) * self.num_classes
        if len(self._buffer) < needed:
            self._buffer = torch.full((needed,), float(self.unknown), device=self.device)
        else:
            self._buffer.index_fill_(0, self._set, self.unknown)
            for line in self._lines:
                self._buffer[line * self.num_classes : (line + 1) * self.num_classes] = self.unknown
        flat = batch.rows * self.num_classes + batch.columns
        self._set = flat.to(self.device, non_blocking=True)
        self._buffer.index_copy_(0, self._set, batch.values.to(self.device, non_blocking=True))
        self._lines = list(batch.broken)
        targets = self._buffer[:needed].view(len(batch), self.num_classes)
        targets[self._lines] = -1.0
        return targets


class _Group(NamedTuple):
    """The labels of a row group: names [n], offsets [n + 1] into columns and values [nnz]."""

    names: pa.Array
    offsets: NDArray[np.int64]
    labels: NDArray[Any]
    confidences: NDArray[np.float32]


class ParquetImages(Dataset[Batch]):
    """Images and labels, a whole batch at a time: ``images[ticket]`` is a :class:`Batch`.

    Parameters
    ----------
    table : path-like
        An annotation table, or packed images.
    images : path-like, optional
        For an annotation table: the folder that its names are relative to, or packed images, which are found by name.
    preprocess : Preprocess
        From an RGB image to a uint8 tensor [3, H, W]: see :mod:`mlimages.models.data.preprocess`.
    categories : sequence of int, optional
        The categories of the table that are the outputs, in order; all by default. Labels of others are dropped.
    phases : sequence of (int, callable), optional
        Epochs, ascending, and the preprocessing from each on, for example at another size.
    seed : int, optional
        Seed of the random part of the preprocessing, which depends on seed, epoch and image only.
    below : bool, optional
        Whether unlisted descendants of the most specific labels of an image become unknown labels:
        see :class:`mlimages.models.data.unlisted.Below`.

    Attributes
    ----------
    num_classes : int
        Number of outputs.
    groups : list of int
        Rows of each row group, for :class:`mlimages.models.data.order.Batches`, whose tickets
        :func:`mlimages.models.data.feed.loader` loads.

    Raises
    ------
    TableError
        Where there is no table, an annotation table comes without a folder of images, or one that does not exist, or
        with packed images that hold none of its, and where packed images come with others.
    DataNotFoundError
        Where `below` is asked for, and the table has no categories.
    """

    def __init__(
        self,
        table: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        preprocess: Preprocess,
        categories: Sequence[int] | NDArray[Any] | None = None,
        phases: Sequence[tuple[int, Preprocess]] = (),
        seed: int = 0,
        below: bool = False,
    ) -> None:
        self.folder = Path(table)
        self._source = read(self.folder) if is_packed(self.folder) else AnnotationTable.open(self.folder)
        self.packed = self._source if isinstance(self._source, PackedImages) else None
        self.manifest = self._source.manifest
        if not self.manifest.parts:
            raise TableError(f"{self.folder}: holds no images")
        self.phases = [(0, preprocess), *phases]
        self.seed = seed
        if self.packed is not None and images is not None:
            raise TableError(f"{self.folder}: has its images packed: leave out the folder {os.fspath(images)}")
        if self.packed is None and images is None:
            raise TableError(f"{self.folder}: an annotation table holds no pixels: give the folder of its images")
        self.images = None if images is None else Path(images)
        self._by_name: PackedByName | None = None
        if self.packed is None and self.images is not None:
            if not self.images.is_dir():  # otherwise every image would be a broken one
                raise TableError(f"{self.images}: no such folder: expected the images that {self.folder} names")
            if is_packed(self.images):
                self._by_name = PackedByName(read(self.images), self._names())
        known = self._source.categories
        self._column_of = _columns(known, categories)
        self.num_classes = known if categories is None else len(categories)
        self._places = [
            (part, group, rows) for part in range(len(self.manifest.parts)) for group, rows in self._group_rows(part)
        ]
        self.groups = [rows for _, _, rows in self._places]
        self._starts = np.cumsum([0, *self.groups])
        self._below = Below(table_hierarchy(self.folder)) if below else None
        self._group = lru_cache(_KEPT_GROUPS)(self._read_group)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_group"]  # each process reads for itself
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._group = lru_cache(_KEPT_GROUPS)(self._read_group)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, ticket: Ticket) -> Batch:
        """Read, decode and preprocess a batch."""
        groups = np.searchsorted(self._starts, ticket.rows, side="right") - 1
        within = ticket.rows - self._starts[groups]
        found = [self._group(int(group)) for group in groups]
        names = [each.names[int(row)].as_py() for each, row in zip(found, within, strict=True)]
        preprocess = next(each for epoch, each in reversed(self.phases) if ticket.epoch >= epoch)
        seeds = [picture_seed(self.seed, ticket.epoch, row) for row in ticket.rows.tolist()]
        read = [partial(self._bytes, name, row) for name, row in zip(names, ticket.rows.tolist(), strict=True)]
        pictures, broken = load_pictures(read, preprocess, seeds=seeds)
        return Batch(
            pictures=pictures,
            **self._labels(groups, within, broken),
            names=names,
            broken=broken,
            epoch=ticket.epoch,
            number=ticket.number,
        )

    def _labels(
        self, groups: NDArray[np.int64], within: NDArray[np.int64], broken: dict[int, str]
    ) -> dict[str, Tensor]:
        """Rows, columns and values of the labels of a batch, gathered group by group."""
        positions, labels, values = [], [], []
        for group in np.unique(groups):
            read = self._group(int(group))
            members = np.flatnonzero(groups == group)
            starts = read.offsets[within[members]]
            lengths = read.offsets[within[members] + 1] - starts
            ends = np.cumsum(lengths)
            at = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
            positions.append(np.repeat(members, lengths))
            labels.append(read.labels[at])
            values.append(read.confidences[at])
        position, label, value = (np.concatenate(each or [np.empty(0, int)]) for each in (positions, labels, values))
        if self._below is not None:
            unknown = self._below(position, label, value)
            position, label = (np.concatenate(pair) for pair in zip((position, label), unknown, strict=True))
            value = np.concatenate([value, np.full(len(unknown[0]), -1.0, np.float32)])
        column = self._column_of[label]
        kept = (column >= 0) & ~np.isin(position, list(broken))
        order = np.argsort(position[kept], kind="stable")  # so that a batch does not depend on the row groups
        return {
            "rows": torch.from_numpy(position[kept][order].astype(np.int64)),
            "columns": torch.from_numpy(column[kept][order].astype(np.int64)),
            "values": torch.from_numpy(value[kept][order].astype(np.float32)),
        }

    def _bytes(self, name: str, row: int) -> bytes:
        if self.packed is not None:
            return self.packed.image(row)
        if self._by_name is not None:
            return self._by_name.image(row, name)
        assert self.images is not None
        try:
            return image_bytes(self.images, name)
        except MlimagesError as error:
            raise PictureError(str(error)) from None

    # Row groups ---------------------------------------------------------------------------------------------------

    def _names(self) -> Iterator[Any]:
        for batch in self._source.batches(columns=["image"]):
            yield batch.column(0)

    def _open(self, part: int) -> AbstractContextManager[PartReader]:
        columns = replace(self._source.columns, categories=len(self._column_of))
        return open_part(self.folder, self.manifest, part, columns)

    def _group_rows(self, part: int) -> Iterator[tuple[int, int]]:
        with self._open(part) as reader:
            yield from enumerate(reader.group_rows)

    def _read_group(self, number: int) -> _Group:
        part, group, _ = self._places[number]
        name = "image.path" if self.packed is not None else "image"
        with self._open(part) as reader:
            read = reader.group(group, [name, "labels", "confidences"])
        image, labels, confidences = (read.column(each).combine_chunks() for each in ("image", "labels", "confidences"))
        names = image.field("path") if self.packed is not None else image
        offsets = labels.offsets.to_numpy().astype(np.int64)
        return _Group(names, offsets - offsets[0], labels.flatten().to_numpy(), confidences.flatten().to_numpy())


def _columns(known: int, categories: Sequence[int] | NDArray[Any] | None) -> NDArray[np.int64]:
    """The output of each category of the table, int64 [known], -1 for none."""
    if categories is None:
        return np.arange(known)
    chosen = np.asarray(categories, np.int64)
    if chosen.ndim != 1 or not len(chosen) or chosen.min() < 0 or chosen.max() >= known:
        raise ModelError(f"categories are not indices from 0 to {known - 1}, or none are given")
    if len(np.unique(chosen)) != len(chosen):
        raise ModelError("a category is given twice")
    columns = np.full(known, -1)
    columns[chosen] = np.arange(len(chosen))
    return columns
