"""The parts of a training run, made from its configuration, and its checkpoint."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mlimages.errors import FormatError, JobError, ModelError, first_line
from mlimages.hierarchy import Hierarchy
from mlimages.models.data.dataset import ParquetImages
from mlimages.models.data.preprocess import training
from mlimages.models.data.unlisted import BELOW
from mlimages.models.losses.loss import (
    AsymmetricLoss,
    BinaryCrossEntropy,
    MLImagesLoss,
    SoftmaxCrossEntropy,
    decayed_parameters,
)
from mlimages.models.losses.maxconstraint import MaxConstraintLoss
from mlimages.models.networks.build import Network, build_model, check_size, last_layer
from mlimages.models.networks.checkpoint import load_model
from mlimages.models.networks.outputs import indices_of, read_keys, table_hierarchy
from mlimages.models.networks.resnet import PublishedResNet
from mlimages.models.ranks import Ranks
from mlimages.models.training import schedule
from mlimages.models.training.config import TrainConfig
from mlimages.storage.files import replacing

_FORMAT = "mlimages-training-2"
_RATE = 0.08  # the highest of the published schedule
#: What zipfile raises on damaged archives; OSError where an offset points before the file.
_NO_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError,
    RuntimeError, ValueError, OverflowError, LookupError,
)  # fmt: skip


@dataclass(slots=True)
class Position:
    """How far a run is.

    Attributes
    ----------
    step : int
        Steps taken.
    epoch, number : int
        The batch that comes next.
    images, broken : int
        Seen so far, on all ranks; how many of them could not be read.
    """

    step: int = 0
    epoch: int = 0
    number: int = 0
    images: int = 0
    broken: int = 0


class Run:
    """Model, loss, optimizer and data of a run, on the device of its rank.

    Parameters
    ----------
    config : TrainConfig
    ranks : Ranks

    Raises
    ------
    MlimagesError
        For settings that do not fit each other or the table.
    """

    def __init__(self, config: TrainConfig, ranks: Ranks) -> None:
        self.config = config
        self._ranks = ranks
        self.hierarchy, chosen = _outputs(config)
        self.model = _first_model(config, self.hierarchy)
        prepared = partial(training, self.model.card.preprocessing, least_area=config.least_area)
        late = [(config.late_epoch, prepared(size=config.late_size))] if config.late_size else []
        self.images = ParquetImages(
            config.table,
            config.images,
            preprocess=prepared(size=config.size),
            categories=chosen,
            phases=late,
            seed=config.seed,
            below=config.unknown == BELOW,
        )
        _freeze(self.model, config.freeze)
        self.model.to(device=ranks.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.loss = make_loss(config, self.hierarchy).to(ranks.device)
        decayed = decayed_parameters(self.model)
        spared = [each for each in self.model.parameters() if each.requires_grad and not _among(each, decayed)]
        self.optimizer = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": spared, "weight_decay": config.norm_decay},
            ],
            lr=0.0,  # each step has its own
            momentum=config.momentum,
        )
        self.average: AveragedModel | None = None
        if config.ema:
            average = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)

    @property
    def final(self) -> Network:
        """What the run is for: the average of the weights where one is kept, else the weights."""
        if self.average is None:
            return self.model
        averaged: Network = self.average.module  # type: ignore[assignment]
        return averaged

    def train_mode(self) -> None:
        """Training mode for all that is trained; what is frozen keeps its batch statistics as well."""
        self.model.train()
        for module in _frozen(self.model, self.config.freeze):
            module.eval()

    def rate(self, *, world: int, steps_per_epoch: int) -> schedule.Schedule:
        """The learning rate by step."""
        config = self.config
        highest = _RATE if config.learning_rate is None else config.learning_rate
        if config.schedule == "published":
            batch = config.batch * config.accumulate * world
            return schedule.published(batch=batch, steps_per_epoch=steps_per_epoch if config.in_epochs else None)
        if config.schedule == "cosine":
            return schedule.cosine(
                highest,
                steps_per_epoch * config.epochs,
                warm_up=round(config.warm_up * steps_per_epoch),
            )
        return schedule.staircase(highest, max(1, round(config.decay_every * steps_per_epoch)))

    # The checkpoint -----------------------------------------------------------------------------------------------

    def save(self, path: Path, position: Position) -> None:
        """Write all that is needed to go on exactly, at once."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"format": _FORMAT, "position": asdict(position), "config": self.config.to_dict()}
        state |= {"conditions": self._conditions()}
        try:
            with replacing(path) as file:
                torch.save(state, file)
        except RuntimeError as error:  # what torch makes of an OSError in the middle of its archive
            cause = error.__context__
            why = cause.strerror if isinstance(cause, OSError) and cause.strerror else first_line(error)
            raise JobError(
                f"{path}: cannot be written ({why}): make room and resume; the checkpoint before, if any, is kept"
            ) from error

    def restore(self, path: Path) -> Position:
        """Put back what :meth:`save` wrote.

        Raises
        ------
        FormatError
            For a file that is not such a checkpoint, or a damaged one.
        ModelError
            For one of a run with other settings, of another table, or on another number of ranks.
        """
        _check_archive(path)
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:
            reason = first_line(error)
            raise FormatError(f"not a training checkpoint, or a damaged one ({reason})", path=path) from error
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise FormatError(f"not a training checkpoint of ours, which say {_FORMAT!r}", path=path)
        self.config.check_resumes(state["config"])
        for name, value in self._conditions().items():
            if state["conditions"][name] != value:
                raise ModelError(
                    f"the run in {self.config.out} was begun with another {name}: it was "
                    f"{state['conditions'][name]}, and is now {value}; use that, or begin another run"
                )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        return Position(**state["position"])

    def _conditions(self) -> dict[str, Any]:
        """What decides the course of a run beside its settings."""
        manifest = self.images.manifest
        content = [self.hierarchy.fingerprint, *(part.xxh3_128 for part in manifest.parts)]
        return {
            "number of ranks": self._ranks.world,
            "content of the table": xxhash.xxh3_128_hexdigest("\n".join(content).encode()),
        }

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "loss": self.loss}
        return parts if self.average is None else parts | {"average": self.average}


def _check_archive(path: Path) -> None:
    """Raise a FormatError unless the file is a zip archive whose checksums are right; torch does not look at them."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except _NO_ARCHIVE as error:
        raise FormatError(
            f"not a training checkpoint, or a damaged one: torch writes zip archives ({first_line(error)})", path=path
        ) from error
    if damaged is not None:
        raise FormatError(f"a damaged training checkpoint: the checksum of {damaged} is another", path=path)


def make_loss(config: TrainConfig, hierarchy: Hierarchy) -> nn.Module:
    """The loss of that name."""
    if config.loss == "ml-images":
        return MLImagesLoss(len(hierarchy), neg_select=config.neg_select, floor=config.floor, seed=config.seed)
    if config.loss == "asymmetric":
        return AsymmetricLoss()
    if config.loss == "max-constraint":
        return MaxConstraintLoss(hierarchy)
    return SoftmaxCrossEntropy() if config.loss == "softmax" else BinaryCrossEntropy()


def _outputs(config: TrainConfig) -> tuple[Hierarchy, list[int] | None]:
    """The hierarchy of the outputs, and which categories of the table they are (None for all)."""
    hierarchy = table_hierarchy(config.table)
    if config.categories is None:
        return hierarchy, None
    keys = read_keys(config.categories)
    chosen = indices_of(keys, hierarchy, what=f"{config.categories} names")
    return hierarchy.restrict(keys), chosen


def _first_model(config: TrainConfig, hierarchy: Hierarchy) -> Network:
    torch.manual_seed(config.seed)
    model = build_model(config.model, num_classes=len(hierarchy), pretrained=config.pretrained)
    if config.start is not None:
        _take_over(model, config.start, hierarchy.keys)
    for size in filter(None, (config.size, config.late_size)):
        check_size(model, size)  # the late one as well, before the epochs that lead to it
    model.card = replace(
        model.card,
        categories=hierarchy.keys,
        fingerprint=hierarchy.fingerprint,
        activation="softmax" if config.loss == "softmax" else "sigmoid",
        preprocessing=replace(
            model.card.preprocessing, size=config.late_size or config.size or model.card.preprocessing.size
        ),
    )
    return model


def _take_over(model: Network, start: str, keys: tuple[str, ...]) -> None:
    """Copy the weights of another model; a last layer of another shape, or for other categories, stays new."""
    given = load_model(start)
    if given.card.name != model.card.name:
        raise ModelError(f"{start} is a {given.card.name}, and the run trains a {model.card.name}: name that model")
    ours, theirs = model.state_dict(), given.state_dict()
    others = bool(given.card.categories) and given.card.categories != keys
    last = last_layer(model) if others else ()
    ours |= {
        name: value for name, value in theirs.items() if value.shape == ours[name].shape and not name.startswith(last)
    }
    model.load_state_dict(ours)


def _frozen(model: Network, stages: int) -> list[nn.Module]:
    """The first convolution and so many stages, or nothing for 0."""
    if not stages:
        return []
    if not isinstance(model, PublishedResNet):
        raise ModelError(f"freeze is for the published networks: {model.card.name} is none")
    if stages > len(model.stages):
        raise ModelError(f"freeze is {stages}: {model.card.name} has {len(model.stages)} stages")
    return [model.init_conv, *model.stages[:stages]]


def _freeze(model: Network, stages: int) -> None:
    for module in _frozen(model, stages):
        module.requires_grad_(False)


def _among(parameter: nn.Parameter, parameters: list[nn.Parameter]) -> bool:
    return any(parameter is each for each in parameters)
