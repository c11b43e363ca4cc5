"""How a training run starts: model, loss, optimizer and data made from its settings, and the folder it writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mlimages.errors import ModelError, import_extra
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
from mlimages.models.training.config import TrainConfig


class Run:
    """Model, loss, optimizer and data of a run, on the device of its rank.

    Parameters
    ----------
    config : TrainConfig
    ranks : Ranks

    Attributes
    ----------
    hierarchy : Hierarchy
        The categories that the outputs are.
    model : torch.nn.Module
        With new weights, drawn from the seed, or those that the settings name.
    images : ParquetImages
    loss : torch.nn.Module
    optimizer : torch.optim.SGD
        Its learning rate is 0: each step sets its own.
    average : torch.optim.swa_utils.AveragedModel or None
        The moving average of the weights, where the settings ask for one.

    Raises
    ------
    MlimagesError
        For settings that do not fit each other or the table.
    """

    def __init__(self, config: TrainConfig, ranks: Ranks) -> None:
        self.config, self.ranks = config, ranks
        self.hierarchy, chosen = _outputs(config)
        self.model = _first_model(config, self.hierarchy)
        self.images = _images(config, self.model, chosen)
        self._frozen = _first_stages(self.model, config.freeze)
        for module in self._frozen:
            module.requires_grad_(False)
        self.model.to(device=ranks.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.loss = _loss(config, self.hierarchy).to(ranks.device)
        self.optimizer = _optimizer(config, self.model)
        self.average: AveragedModel | None = None
        if config.ema:
            average = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)

    @property
    def final(self) -> Network:
        """The result of the run: the average of the weights where one is kept, else the model."""
        if self.average is None:
            return self.model
        averaged: Network = self.average.module  # type: ignore[assignment]
        return averaged

    def train_mode(self) -> None:
        """Put the model into training mode, except for frozen stages, whose batch statistics are fixed as well."""
        self.model.train()
        for module in self._frozen:
            module.eval()


@contextmanager
def run_folder(out: Path, ranks: Ranks, *, patience: float = 10.0) -> Iterator[None]:
    """Make the folder of a run, and keep other runs out of it.

    Another run is waited for `patience` seconds: loading processes of a killed run hold its lock as well, and notice
    its end within five seconds.

    Raises
    ------
    ModelError
        Where `out` is a file, or another run holds it.
    """
    if out.exists() and not out.is_dir():
        raise ModelError(f"{out}: is a file, expected the folder of a run: choose another")
    out.mkdir(parents=True, exist_ok=True)
    filelock = import_extra("filelock", extra="train")
    lock = filelock.FileLock(out / ".lock")

    def take() -> None:
        try:
            lock.acquire(timeout=patience)
        except filelock.Timeout:
            raise ModelError(f"{out}: another run is writing here: wait for it, or choose another folder") from None

    ranks.share(take)
    try:
        yield
    finally:
        if ranks.first:
            lock.release()


# The parts of a run ---------------------------------------------------------------------------------------------------


def _outputs(config: TrainConfig) -> tuple[Hierarchy, list[int] | None]:
    """The hierarchy of the outputs, and their indices among the categories of the table (None for all)."""
    hierarchy = table_hierarchy(config.table)
    if config.categories is None:
        return hierarchy, None
    keys = read_keys(config.categories)
    chosen = indices_of(keys, hierarchy, what=f"{config.categories} names")
    return hierarchy.restrict(keys), chosen


def _first_model(config: TrainConfig, hierarchy: Hierarchy) -> Network:
    """The model before the first step, its card filled in."""
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
    """Copy the weights of the model `start`; a last layer of another shape, or for other categories, stays new."""
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


def _images(config: TrainConfig, model: Network, chosen: list[int] | None) -> ParquetImages:
    """The data, prepared for the model; their size changes in a late epoch where the settings say so."""
    prepared = partial(training, model.card.preprocessing, least_area=config.least_area)
    return ParquetImages(
        config.table,
        config.images,
        preprocess=prepared(size=config.size),
        categories=chosen,
        phases=[(config.late_epoch, prepared(size=config.late_size))] if config.late_size else [],
        seed=config.seed,
        below=config.unknown == BELOW,
    )


def _first_stages(model: Network, stages: int) -> list[nn.Module]:
    """The first convolution and the given number of stages; nothing for 0."""
    if not stages:
        return []
    if not isinstance(model, PublishedResNet):
        raise ModelError(f"freeze is for the published networks: {model.card.name} is none")
    if stages > len(model.stages):
        raise ModelError(f"freeze is {stages}: {model.card.name} has {len(model.stages)} stages")
    return [model.init_conv, *model.stages[:stages]]


def _loss(config: TrainConfig, hierarchy: Hierarchy) -> nn.Module:
    if config.loss == "ml-images":
        return MLImagesLoss(len(hierarchy), neg_select=config.neg_select, floor=config.floor, seed=config.seed)
    if config.loss == "asymmetric":
        return AsymmetricLoss()
    if config.loss == "max-constraint":
        return MaxConstraintLoss(hierarchy)
    return SoftmaxCrossEntropy() if config.loss == "softmax" else BinaryCrossEntropy()


def _optimizer(config: TrainConfig, model: Network) -> torch.optim.SGD:
    """Stochastic gradient descent on what is trainable, with a weight decay of its own for batch norms."""
    decayed = decayed_parameters(model)
    known = {id(parameter) for parameter in decayed}
    spared = [each for each in model.parameters() if each.requires_grad and id(each) not in known]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": config.norm_decay},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum)
