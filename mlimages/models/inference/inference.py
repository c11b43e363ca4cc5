"""Inference with a network: logits or features batch by batch, the best classes, features in Parquet."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlimages.errors import ModelError, import_extra
from mlimages.hierarchy import Hierarchy
from mlimages.models.data.dataset import Batch, ParquetImages
from mlimages.models.data.feed import loader
from mlimages.models.data.order import Batches
from mlimages.models.data.preprocess import Preprocess, evaluation, normalised
from mlimages.models.data.sources import ImageFiles, open_unlabelled
from mlimages.models.losses.consistency import consistent
from mlimages.models.networks.build import Network, check_size
from mlimages.models.networks.outputs import output_hierarchy
from mlimages.models.ranks import find_device
from mlimages.storage.files import replacing

_GROUP_ROWS = 4096  # of the Parquet file of features: 32 MB of 2048-d ones
_NO_UTF8 = "the name is not UTF-8: rename the file"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """Settings of inference.

    Attributes
    ----------
    batch : int
        Images of a batch.
    workers : int
        Loading processes; 0 loads in this one.
    device : str
        auto, cpu or cuda.
    bf16 : bool
        Compute in bfloat16 where autocast considers it safe.
    size : int or None
        Height and width of the input in pixels; by default what the network was made for.
    crop : {"central", "classifier"}
        See :func:`mlimages.models.data.preprocess.evaluation`.
    """

    batch: int = 64
    workers: int = 2
    device: str = "auto"
    bf16: bool = False
    size: int | None = None
    crop: str = "central"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.workers < 0 or (self.size is not None and self.size < 1):
            raise ModelError(
                f"batch is {self.batch}, workers {self.workers} and size {self.size}: expected at least 1, 0 and 1"
            )

    def preprocess(self, model: Network) -> Preprocess:
        """The preprocessing for a network.

        Raises
        ------
        ModelError
            Where the network does not take images of `size`.
        """
        if self.size is not None:
            check_size(model, self.size)
        return evaluation(model.card.preprocessing, size=self.size, crop=self.crop)


@dataclass(frozen=True, slots=True)
class Classified:
    """The best classes of an image, or why it could not be read.

    Attributes
    ----------
    image : str
        Path or name.
    classes : list of int
        Outputs, the most probable first; ties go to the lower one. Empty for a broken image.
    probabilities : list of float
        Of each of `classes`.
    reason : str or None
        Why the image is broken.
    """

    image: str
    classes: list[int]
    probabilities: list[float]
    reason: str | None = None


def classify(
    model: Network,
    images: Sequence[str | os.PathLike[str]],
    *,
    top: int = 5,
    hierarchy: Hierarchy | None = None,
    how: Inference | None = None,
) -> Iterator[Classified]:
    """The best classes of each image, in order, with one batch in memory at a time.

    Parameters
    ----------
    model : torch.nn.Module
        From :func:`mlimages.models.load_model`.
    images : sequence of path-like
        See :func:`mlimages.models.data.sources.open_unlabelled`.
    top : int, optional
        Number of classes for each image.
    hierarchy : Hierarchy, optional
        Raise the probability of each ancestor to that of its descendants in this hierarchy.
    how : Inference, optional
        By default with the crop of the published classifier.

    Raises
    ------
    DataNotFoundError, FormatError, ModelError
        For images that do not exist, a `top` below 1, or a hierarchy without the categories of the network.
    """
    if top < 1:
        raise ModelError(f"top is {top}: expected at least 1")
    how = how or Inference(crop="classifier")
    restricted = None if hierarchy is None else output_hierarchy(model.card, hierarchy)
    pictures = open_unlabelled(images, preprocess=how.preprocess(model))
    for batch, logits in outputs(model, feed_of(pictures, how), how=how):
        scores = probabilities(logits, model.card.activation, hierarchy=restricted)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        values = np.take_along_axis(scores, best, axis=1)
        for position, name in enumerate(batch.names):
            if position in batch.broken:
                yield Classified(name, [], [], batch.broken[position])
            else:
                yield Classified(name, best[position].tolist(), values[position].tolist())


def write_features(
    model: Network,
    images: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    how: Inference | None = None,
) -> tuple[int, int]:
    """Write the features of images to a Parquet file, in order, with one row group in memory at a time.

    The columns are ``image`` (string) and ``features`` (fixed-size list of float32, 2048 for published networks). The
    file gets its name once it is complete. Broken images, and those whose names are not UTF-8, are left out and logged.

    Parameters
    ----------
    model : torch.nn.Module
        From :func:`mlimages.models.load_model`.
    images : sequence of path-like
        See :func:`mlimages.models.data.sources.open_unlabelled`.
    out : path-like
        The Parquet file.
    how : Inference, optional
        By default with the central crop of the published evaluation.

    Returns
    -------
    int, int
        Number of images in the file, and of those left out.

    Raises
    ------
    ModelError
        Where all images are broken, or `out` is a folder.
    """
    how = how or Inference()
    pictures = open_unlabelled(images, preprocess=how.preprocess(model))
    width = model.num_features
    metadata = {"model": model.card.name, "size": str(how.size or model.card.preprocessing.size), "crop": how.crop}
    schema = pa.schema(
        [pa.field("image", pa.string(), nullable=False), ("features", pa.list_(pa.float32(), width))],
        metadata=metadata,
    )
    path = Path(out)
    if path.is_dir():  # an error now rather than after hours of work
        raise ModelError(f"{path}: is a folder, expected the name of a Parquet file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    written = broken = 0
    with replacing(path) as file, pq.ParquetWriter(file, schema, use_dictionary=False) as writer:
        waiting: list[pa.RecordBatch] = []
        for batch, features in outputs(model, feed_of(pictures, how), how=how, features=True):
            reasons = {at: _NO_UTF8 for at, name in enumerate(batch.names) if not _is_utf8(name)} | batch.broken
            for position, reason in reasons.items():
                name = batch.names[position].encode(errors="backslashreplace").decode()
                _log.warning("%s: %s", name, reason)
            good = [at for at in range(len(batch)) if at not in reasons]
            flat = pa.array(features[good].numpy().reshape(-1))
            columns = [
                pa.array([batch.names[at] for at in good], pa.string()),
                pa.FixedSizeListArray.from_arrays(flat, width),
            ]
            waiting.append(pa.RecordBatch.from_arrays(columns, schema=schema))
            written, broken = written + len(good), broken + len(reasons)
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
        if not written:
            raise ModelError(f"none of {broken} pictures could be read")
    return written, broken


def _is_utf8(name: str) -> bool:
    """Whether a file name is valid UTF-8, which Linux does not require."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def outputs(
    model: Network, feed: Iterable[Batch], *, how: Inference, features: bool = False
) -> Iterator[tuple[Batch, Tensor]]:
    """Each batch with its logits or features, float32 [B, C] on the CPU; rows of broken images are meaningless."""
    device = find_device(how.device)
    model = model.to(device).eval()
    for batch in feed:
        with torch.inference_mode():
            pictures = normalised(batch.pictures.to(device, non_blocking=True), model.card.preprocessing)
            pictures = pictures.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=how.bf16):
                result = model.forward_features(pictures) if features else model(pictures)
            result = result.float().cpu()
        yield batch, result


def feed_of(pictures: ParquetImages | ImageFiles, how: Inference, *, rank: int = 0, world: int = 1) -> Iterable[Batch]:
    """All batches of a rank in order, with a progress bar on a terminal."""
    batches = Batches(pictures.groups, how.batch, seed=None, drop_last=False, rank=rank, world=world)
    tqdm = import_extra("tqdm", extra="train").tqdm
    feed: Any = loader(pictures, batches, workers=how.workers, pin_memory=find_device(how.device).type == "cuda")
    bar: Iterable[Batch] = tqdm(
        feed, total=len(batches), unit="batch", disable=rank > 0 or not sys.stderr.isatty(), leave=False
    )
    return bar


def probabilities(logits: Tensor, activation: str, *, hierarchy: Hierarchy | None = None) -> NDArray[np.float32]:
    """Probabilities float32 [B, C] of logits [B, C], made consistent with the hierarchy of the outputs if given."""
    chances = logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()
    scores: NDArray[np.float32] = chances.numpy()
    return scores if hierarchy is None else consistent(scores, hierarchy)
