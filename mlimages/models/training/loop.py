"""Training: one loop, on one device or under torchrun."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mlimages.errors import ModelError, import_extra
from mlimages.models.data.dataset import Batch, MultiHot
from mlimages.models.data.feed import loader
from mlimages.models.data.order import Batches
from mlimages.models.data.preprocess import normalised
from mlimages.models.data.unlisted import background
from mlimages.models.losses.loss import MLImagesLoss
from mlimages.models.networks.card import Preprocessing
from mlimages.models.networks.checkpoint import save_model
from mlimages.models.ranks import Ranks, asked_to_stop, joined
from mlimages.models.training.config import TrainConfig
from mlimages.models.training.run import Position, Run
from mlimages.models.training.runlog import RunLog
from mlimages.models.training.validation import make_validation

CHECKPOINT, MODEL = "checkpoint.pt", "model.safetensors"

_PATIENCE = 10.0  # seconds: loaders of a killed run, which hold its lock as well, notice its end within five
_LEAST_READ = 1000  # images before the part of broken ones is judged
_log = logging.getLogger(__name__)


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train a network.

    Parameters
    ----------
    config : TrainConfig
    resume : bool, optional
        Go on with the run in ``config.out`` where there is one. The outcome is, on a CPU bit for bit, that of a run
        which was never interrupted.

    Returns
    -------
    pathlib.Path
        ``model.safetensors`` of a finished run; ``checkpoint.pt`` of one that SIGTERM or SIGINT ended.

    Raises
    ------
    ModelError
        For a loss that is not finite or too great, too many broken pictures, settings that do not fit each other, or a
        run that is in the way.
    """
    out = Path(config.out)
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ModelError(f"{out}: holds a run already: resume it, or choose another folder")
    with joined(config.device) as ranks, asked_to_stop() as signals, ExitStack() as stack:
        run = Run(config, ranks)
        stack.enter_context(_held(out, ranks))
        position = run.restore(checkpoint) if checkpoint.exists() else Position()
        batches = _batches(run, ranks, position)
        steps_per_epoch = batches.per_epoch // config.accumulate
        rate = run.rate(world=ranks.world, steps_per_epoch=steps_per_epoch)
        network = _network(run, ranks)
        validation = make_validation(config, run, ranks)
        unknown = background(config.unknown)
        hots = [MultiHot(len(run.hierarchy), unknown=unknown, device=ranks.device) for _ in range(config.accumulate)]
        feed = loader(run.images, batches, workers=config.workers, pin_memory=ranks.device.type == "cuda")
        run.train_mode()
        total = steps_per_epoch * config.epochs
        with RunLog(out, rank=ranks.rank, steps=total, start=position.step) as log:
            clock = _Clock(position.images)
            for group in _grouped(feed, config.accumulate):
                for parameters in run.optimizer.param_groups:
                    parameters["lr"] = rate(position.step)
                # what dropout draws depends on step and rank alone, so that a resumed run draws alike
                torch.manual_seed(((config.seed << 40) + position.step * ranks.world + ranks.rank) % (1 << 64))
                loss = _backward(network, run, group, hots, ranks)
                images, broken, stop, shown = ranks.sum(
                    [sum(map(len, group)), log.broken(group), bool(signals), loss / ranks.world]
                )
                if not shown <= config.greatest_loss:  # nor is nan
                    raise ModelError(_loss_message(loss, shown, group, position.step, config))
                run.optimizer.step()
                run.optimizer.zero_grad(set_to_none=True)
                if run.average is not None:
                    run.average.update_parameters(run.model)

                position.images += int(images)
                position.broken += int(broken)
                _move_on(position, group[-1].number, steps_per_epoch * config.accumulate)
                log.step()
                ended = position.number == 0
                if ended or position.step % config.log_every == 0:
                    log.line(position, loss=shown, learning_rate=rate(position.step - 1), rate=clock(position.images))
                if validation and ended and _is_due(position.epoch, config):
                    log.validated(position, validation())
                    clock(position.images)  # the time that took is not the training's
                if ranks.first and (stop or ended or position.step % config.save_every == 0):
                    run.save(checkpoint, position)
                if position.broken > config.most_broken * max(position.images, _LEAST_READ):
                    raise ModelError(
                        f"{position.broken} of {position.images} pictures could not be read, more than "
                        f"most_broken={config.most_broken}: {log.broken_path} names them"
                    )
                if stop:
                    ranks.wait()
                    _log.warning("stopped by a signal after step %d; resume goes on", position.step)
                    return checkpoint
        if ranks.first:
            save_model(run.final, out / MODEL)
        ranks.wait()
        return out / MODEL


@contextmanager
def _held(out: Path, ranks: Ranks) -> Iterator[None]:
    """Make the folder of a run, and keep other runs out of it."""
    if out.exists() and not out.is_dir():
        raise ModelError(f"{out}: is a file, expected the folder of a run: choose another")
    out.mkdir(parents=True, exist_ok=True)
    filelock = import_extra("filelock", extra="train")
    lock = filelock.FileLock(out / ".lock")

    def take() -> None:
        try:
            lock.acquire(timeout=_PATIENCE)
        except filelock.Timeout:
            raise ModelError(f"{out}: another run is writing here: wait for it, or choose another folder") from None

    ranks.share(take)
    try:
        yield
    finally:
        if ranks.first:
            lock.release()


def _batches(run: Run, ranks: Ranks, position: Position) -> Batches:
    config = run.config
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


def _network(run: Run, ranks: Ranks) -> nn.Module:
    """The model as it is called: compiled, and synchronised with the other ranks, where asked."""
    network: nn.Module = run.model
    if run.config.compile:
        network = torch.compile(network)  # type: ignore[assignment]
    if ranks.world > 1:
        network = DistributedDataParallel(
            network, device_ids=[ranks.device.index] if ranks.device.type == "cuda" else None
        )
    return network


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


def _backward(network: nn.Module, run: Run, group: list[Batch], hots: list[MultiHot], ranks: Ranks) -> float:
    """Gradients of the mean loss over the group, and that loss."""
    config, preprocessing = run.config, run.model.card.preprocessing
    targets = [hot(batch) for hot, batch in zip(hots, group, strict=True)]
    weighted = _weighted(run.loss, targets)
    losses: list[Tensor] = []
    for number, (batch, target) in enumerate(zip(group, targets, strict=True)):
        last = number == len(group) - 1
        apart = isinstance(network, DistributedDataParallel) and not last  # gradients travel once a step
        with network.no_sync() if apart else nullcontext():  # type: ignore[operator]
            pictures = _pictures(batch, preprocessing, config=config, device=ranks.device)
            with torch.autocast(ranks.device.type, torch.bfloat16, enabled=config.bf16):
                logits = network(pictures)
            loss = weighted(logits, target) / len(group)
            loss.backward()
        losses.append(loss.detach())
    return sum(loss.item() for loss in losses)  # asked at the end: a device computes on while the next is prepared


def _pictures(batch: Batch, preprocessing: Preprocessing, *, config: TrainConfig, device: torch.device) -> Tensor:
    pictures = normalised(batch.pictures.to(device, non_blocking=True), preprocessing)
    return pictures.contiguous(memory_format=torch.channels_last) if config.channels_last else pictures


def _weighted(loss: nn.Module, targets: list[Tensor]):  # type: ignore[no-untyped-def]
    """The loss as a function of logits and targets; the published one first counts the step over all batches."""
    if not isinstance(loss, MLImagesLoss):
        return loss
    present = torch.stack([(target >= loss.mask_thres).any(dim=0) for target in targets]).any(dim=0)
    coefficients = loss.coefficients(loss.synchronised(present))
    return lambda logits, target: loss.weighted(logits, target, coefficients)


def _is_due(epochs: int, config: TrainConfig) -> bool:
    return epochs % config.valid_every == 0 or epochs == config.epochs


def _move_on(position: Position, number: int, per_epoch: int) -> None:
    position.step += 1
    position.number = number + 1
    if position.number >= per_epoch:
        position.epoch, position.number = position.epoch + 1, 0


def _loss_message(loss: float, shown: float, group: list[Batch], step: int, config: TrainConfig) -> str:
    if math.isfinite(loss) and loss <= config.greatest_loss:
        return f"the loss of step {step} is {shown} on another rank"
    names = ", ".join(name for batch in group for name in batch.names)
    return f"the loss of step {step} is {loss}, and not up to {config.greatest_loss}: its images are {names}"


class _Clock:
    """Images per second since the last reading."""

    def __init__(self, images: int) -> None:
        self._at, self._images = time.perf_counter(), images

    def __call__(self, images: int) -> float:
        now = time.perf_counter()
        rate = (images - self._images) / max(now - self._at, 1e-9)
        self._at, self._images = now, images
        return rate
