"""Pictures without labels: files, folders, lists of files, packed images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from mlimages.errors import DataNotFoundError, ModelError
from mlimages.hierarchy.text import read_utf8
from mlimages.images.packed.reading import is_packed
from mlimages.models.data.dataset import Batch, ParquetImages
from mlimages.models.data.decode import load_pictures
from mlimages.models.data.order import Ticket
from mlimages.models.data.preprocess import Preprocess
from mlimages.models.data.sources import is_download
from mlimages.storage.imagefiles import SUFFIXES
from mlimages.storage.manifest import MANIFEST


class ImageFiles(Dataset[Batch]):
    """Files of pictures, a whole batch at a time, as :class:`mlimages.models.data.dataset.ParquetImages` gives them.

    Parameters
    ----------
    paths : sequence of str
    preprocess : Preprocess

    Attributes
    ----------
    groups : list of int
        One group of all files, for :class:`mlimages.models.data.order.Batches`.
    """

    def __init__(self, paths: Sequence[str], *, preprocess: Preprocess) -> None:
        self.paths, self.preprocess = list(paths), preprocess
        self.groups = [len(self.paths)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, ticket: Ticket) -> Batch:
        """Read, decode and prepare a batch; it has no labels."""
        names = [self.paths[row] for row in ticket.rows]
        read = [Path(name).read_bytes for name in names]
        pictures, broken = load_pictures(read, self.preprocess, seeds=[0] * len(names))
        return Batch(
            pictures=pictures,
            rows=torch.empty(0, dtype=torch.int64),
            columns=torch.empty(0, dtype=torch.int64),
            values=torch.empty(0),
            names=names,
            broken=broken,
            epoch=ticket.epoch,
            number=ticket.number,
        )


def open_pictures(given: Sequence[str | os.PathLike[str]], *, preprocess: Preprocess) -> ImageFiles | ParquetImages:
    """The pictures that are meant.

    Parameters
    ----------
    given : sequence of path-like
        Pictures; folders, of which all pictures below are taken, by path; ``.txt`` lists in the published classifier's
        form, which name one picture a line before the first tab; or one folder of packed images.
    preprocess : Preprocess

    Raises
    ------
    DataNotFoundError
        For a path that does not exist; what a list names may turn out broken instead.
    FormatError
        For a list that is not UTF-8.
    ModelError
        Where there is no picture.
    """
    if len(given) == 1 and (manifest := Path(given[0]) / MANIFEST).is_file() and not is_download(manifest):
        return ParquetImages(given[0], preprocess=preprocess)
    paths: list[str] = []
    for each in given:
        path = Path(each)
        if is_packed(path):
            raise ModelError(f"{path}: holds packed images, which are taken alone: run once for each")
        if path.is_dir():
            found = (below for below in path.rglob("*") if below.suffix.lower() in SUFFIXES and below.is_file())
            paths += sorted(map(str, found))
        elif not path.is_file():
            raise DataNotFoundError(f"{path}: no such file; expected a picture, a folder of them or a .txt list")
        elif path.suffix == ".txt":
            lines = read_utf8(path).splitlines()
            paths += [name for line in lines if (name := line.partition("\t")[0].strip())]
        else:
            paths.append(str(path))
    if not paths:
        raise ModelError(f"{', '.join(map(str, given))}: no picture there, expected {', '.join(sorted(SUFFIXES))}")
    return ImageFiles(paths, preprocess=preprocess)
