"""The training loop, on one device or under torchrun; it reads from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mlimages.errors import ModelError
from mlimages.models.data.dataset import Batch, MultiHot
from mlimages.models.data.feed import loader
from mlimages.models.data.order import Batches
from mlimages.models.data.preprocess import normalised
from mlimages.models.data.unlisted import background
from mlimages.models.losses.loss import MLImagesLoss
from mlimages.models.networks.checkpoint import save_model
from mlimages.models.ranks import asked_to_stop, joined
from mlimages.models.training.checkpoint import Position, restore, save
from mlimages.models.training.config import TrainConfig
from mlimages.models.training.log import RunLog
from mlimages.models.training.run import Run, run_folder
from mlimages.models.training.schedule import learning_rate
from mlimages.models.training.validation import Validation

CHECKPOINT, MODEL = "checkpoint.pt", "model.safetensors"

_LEAST_READ = 1000  # images before the share of broken ones is judged
_log = logging.getLogger(__name__)


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train a network.

    Parameters
    ----------
    config : TrainConfig
    resume : bool, optional
        Continue the run in ``config.out`` where there is one. On a CPU the result is, bit for bit, that of a run which
        was never interrupted.

    Returns
    -------
    pathlib.Path
        ``model.safetensors`` of a finished run; ``checkpoint.pt`` of one that SIGTERM or SIGINT ended.

    Raises
    ------
    ModelError
        For a loss that is not finite or too great, too many broken images, settings that do not fit each other, or
        another run in the folder.
    """
    out = Path(config.out)
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ModelError(f"{out}: holds a run already: resume it, or choose another folder")
    with joined(config.device) as ranks, asked_to_stop() as signals:
        run = Run(config, ranks)
        with run_folder(out, ranks):
            position = restore(run, checkpoint) if checkpoint.exists() else Position()
            finished = _take_steps(run, position, checkpoint, signals)
            if finished and ranks.first:
                save_model(run.final, out / MODEL)
            ranks.wait()
            return out / MODEL if finished else checkpoint


def _take_steps(run: Run, position: Position, checkpoint: Path, signals: list[int]) -> bool:
    """Train from `position` to the end of the last epoch; return False where a signal ended that early."""
    config, ranks = run.config, run.ranks
    batches = _batches(run, position)
    steps_per_epoch = batches.per_epoch // config.accumulate
    rate = learning_rate(config, world=ranks.world, steps_per_epoch=steps_per_epoch)
    network = _network(run)
    validation = None if config.valid_table is None else Validation(run)
    unknown = background(config.unknown)
    hots = [MultiHot(run.images.num_classes, unknown=unknown, device=ranks.device) for _ in range(config.accumulate)]
    feed = loader(run.images, batches, workers=config.workers, pin_memory=ranks.device.type == "cuda")
    run.train_mode()
    steps = steps_per_epoch * config.epochs
    with RunLog(checkpoint.parent, rank=ranks.rank, steps=steps, start=position.step) as log:
        clock = _Clock(position.images)
        for group in _grouped(feed, config.accumulate):
            for parameters in run.optimizer.param_groups:
                parameters["lr"] = rate(position.step)
            # what dropout draws depends on step and rank alone, so that a resumed run draws the same
            torch.manual_seed(((config.seed << 40) + position.step * ranks.world + ranks.rank) % (1 << 64))

            targets = [hot(batch) for hot, batch in zip(hots, group, strict=True)]  # each float32 [B, C]
            loss = _backward(network, run, group, targets)
            images, broken, stop, mean_loss = ranks.sum(
                [sum(map(len, group)), log.broken(group), bool(signals), loss / ranks.world]
            )
            if not mean_loss <= config.greatest_loss:  # true for nan as well
                raise ModelError(_loss_message(loss, mean_loss, group, position.step, config))
            run.optimizer.step()
            run.optimizer.zero_grad(set_to_none=True)
            if run.average is not None:
                run.average.update_parameters(run.model)

            position.advance(
                images=int(images),
                broken=int(broken),
                number=group[-1].number,
                per_epoch=steps_per_epoch * config.accumulate,
            )
            log.step()
            epoch_ended = position.number == 0
            if epoch_ended or position.step % config.log_every == 0:
                speed = clock(position.images)
                log.line(position, loss=mean_loss, learning_rate=rate(position.step - 1), rate=speed)
            due = position.epoch % config.valid_every == 0 or position.epoch == config.epochs
            if validation and epoch_ended and due:
                log.validated(position, validation())
                clock(position.images)  # so that the next line leaves out the time this took
            if ranks.first and (stop or epoch_ended or position.step % config.save_every == 0):
                save(run, position, checkpoint)
            if position.broken > config.most_broken * max(position.images, _LEAST_READ):
                raise ModelError(
                    f"{position.broken} of {position.images} pictures could not be read, more than "
                    f"most_broken={config.most_broken}: {log.broken_path} names them"
                )
            if stop:
                _log.warning("stopped by a signal after step %d; resume goes on", position.step)
                return False
    return True


# Before the first step ------------------------------------------------------------------------------------------------


def _batches(run: Run, position: Position) -> Batches:
    config, ranks = run.config, run.ranks
    batches = Batches(
        run.images.groups,
        config.batch,
        seed=config.seed,
        pool=config.pool,
        epochs=config.epochs,
        rank=ranks.rank,
        world=ranks.world,
        start=(position.epoch, position.number),
    )
    if batches.per_epoch < config.accumulate:
        raise ModelError(f"accumulate is {config.accumulate}: an epoch has only {batches.per_epoch} batches")
    return batches


def _network(run: Run) -> nn.Module:
    """The model as the loop calls it: compiled, and synchronised with other ranks, where asked."""
    network: nn.Module = run.model
    device = run.ranks.device
    if run.config.compile:
        network = torch.compile(network)  # type: ignore[assignment]
    if run.ranks.world > 1:
        network = DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)
    return network


# One step -------------------------------------------------------------------------------------------------------------


def _grouped(feed: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """`size` batches of one epoch at a time; what is left at its end is dropped."""
    group: list[Batch] = []
    for batch in feed:
        if group and batch.epoch != group[0].epoch:
            group = []
        group.append(batch)
        if len(group) == size:
            yield group
            group = []


def _backward(network: nn.Module, run: Run, group: list[Batch], targets: list[Tensor]) -> float:
    """Accumulate the gradients of the mean loss over the group, with targets float32 [B, C] for each batch; return that
    loss. The network goes from float32 [B, 3, H, W] to logits [B, C].
    """
    config, device = run.config, run.ranks.device
    loss_of = _loss_of_step(run.loss, targets)
    losses: list[Tensor] = []
    for number, (batch, target) in enumerate(zip(group, targets, strict=True), start=1):
        # ranks exchange gradients once a step, with the last batch
        local = isinstance(network, DistributedDataParallel) and number < len(group)
        with network.no_sync() if local else nullcontext():  # type: ignore[operator]
            images = normalised(batch.pictures.to(device, non_blocking=True), run.model.card.preprocessing)
            if config.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)  # float32 [B, 3, H, W]
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
                logits = network(images)  # [B, C]
            loss = loss_of(logits, target) / len(group)  # scalar
            loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return sum(loss.item() for loss in losses)  # read last: the device computes while the next batch is prepared


def _loss_of_step(loss: nn.Module, targets: list[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss as a function of logits and targets; the published one first counts the step over all its batches."""
    if not isinstance(loss, MLImagesLoss):
        return loss
    present = torch.stack([(target >= loss.mask_thres).any(dim=0) for target in targets]).any(dim=0)  # bool [C]
    coefficients = loss.coefficients(loss.synchronised(present))  # float32 [C]
    return lambda logits, target: loss.weighted(logits, target, coefficients)


def _loss_message(loss: float, mean_loss: float, group: list[Batch], step: int, config: TrainConfig) -> str:
    if math.isfinite(loss) and loss <= config.greatest_loss:
        return f"the loss of step {step} is {mean_loss} on another rank"
    names = ", ".join(name for batch in group for name in batch.names)
    return f"the loss of step {step} is {loss}, and not up to {config.greatest_loss}: its images are {names}"


class _Clock:
    """Images per second since the last call."""

    def __init__(self, images: int) -> None:
        self._at, self._images = time.perf_counter(), images

    def __call__(self, images: int) -> float:
        now = time.perf_counter()
        rate = (images - self._images) / max(now - self._at, 1e-9)
        self._at, self._images = now, images
        return rate
