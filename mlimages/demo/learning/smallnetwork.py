"""A small network trained on annotation tables with :func:`mlimages.models.train`, one run per core at a time."""

from __future__ import annotations

import csv
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from multiprocessing.connection import wait as ended_of
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2

from mlimages import AnnotationTable
from mlimages.demo.learning.network import SMALL, SMALLEST, imagenet_network
from mlimages.errors import JobError
from mlimages.job.local import cores, end_with_parent
from mlimages.models import Inference, TrainConfig, load_model, save_model, train
from mlimages.models.data.dataset import ParquetImages
from mlimages.models.data.preprocess import Preprocess, on_tensors
from mlimages.models.inference.inference import feed_of, outputs
from mlimages.models.networks.build import TimmModel
from mlimages.models.training.loop import MODEL

SIDE = 64  # pixels, height and width of the network's input
_BATCH = 16
_WARM_UP = 0.3  # epochs
_FROM_NOTHING = 4  # factor of epochs without pretrained weights
_LOG_EVERY = 5  # steps
_POINTS_AN_EPOCH = 4  # of the curve
_LOOK_AT_LOGS, _PATIENCE = 1.0, 4.0  # seconds

Report = Callable[[int, int], None]
_ended: Event | None = None  # in worker processes: set when no more runs should start


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Settings of one training run on one kind of labels.

    `table` is trained on and `held_out` predicted, with the images of both in one folder. A run starts from the weights
    in `start`, if any; its learning rate decays from `learning_rate` to 0 along a cosine.
    """

    labels: str
    table: Path
    held_out: Path
    images: Path
    start: Path | None
    out: Path
    learning_rate: float
    seed: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a training run: its loss curve, and the probability of each category in each held-out scene.

    Points of the curve: epochs so far, mean loss since the previous point. Probabilities are float32 [m, n].
    """

    curve: tuple[tuple[float, float], ...]
    probabilities: NDArray[np.float32]


def write_start(table: AnnotationTable, path: Path) -> Path | None:
    """Write EfficientNet-lite0 with its ImageNet-1k weights and a new last layer that predicts the frequencies of the
    table's categories; return `path`, or None if the package with the weights is not installed.

    With random outputs, the large gradients of the first steps would damage the pretrained weights.
    """
    known = imagenet_network(SMALL)
    if known is None:
        return None
    counts = torch.from_numpy(table.category_counts()).float()
    model = TimmModel(SMALL, num_classes=len(counts))
    own = model.backbone.state_dict()
    own |= {name: value for name, value in known.backbone.state_dict().items() if value.shape == own[name].shape}
    model.backbone.load_state_dict(own)
    layer = model.backbone.get_classifier()
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.logit((counts + 0.5) / (len(table) + 1)))
    save_model(model, path)
    return path


def train_all(jobs: Sequence[Job], *, progress: Report) -> list[Outcome]:
    """Run all jobs, whose tables have the same length, one per core at a time, each in a process with one thread.

    `progress` is called with the number of images trained on so far, and the total. Raises a JobError if one of the
    processes was killed.
    """
    total = sum(_steps(job) * _BATCH for job in jobs)
    processes = min(len(jobs), cores())
    others = set(active_children())
    spawning = get_context("spawn")
    ended = spawning.Event()
    pool = ProcessPoolExecutor(processes, mp_context=spawning, initializer=_begin, initargs=(ended,))
    try:
        with _unheard(signal.SIGINT):  # inherited by the workers: Ctrl-C is handled by this process
            futures = [pool.submit(train_one, job) for job in jobs]
        waiting: set[Future[Outcome]] = set(futures)
        while waiting:
            _, waiting = wait(waiting, timeout=_LOOK_AT_LOGS)
            if seen := sum(_images_seen(job) for job in jobs) if waiting else total:
                progress(seen, total)
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise JobError("a training was ended from outside, perhaps for want of memory: run the demo again") from None
    finally:
        ended.set()
        working = set(active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        _end(working)
        pool.shutdown()


def _end(processes: Iterable[BaseProcess]) -> None:
    """Wait for idle processes; end those that still run, by SIGINT and then SIGTERM.

    Exits are observed through sentinels: the pool itself reaps the processes.
    """
    left = {process.sentinel: process for process in processes}
    for number in (signal.SIGINT, signal.SIGTERM):
        until = time.monotonic() + _PATIENCE
        while left and (ready := ended_of(list(left), timeout=until - time.monotonic())):
            left = {sentinel: process for sentinel, process in left.items() if sentinel not in ready}
        for process in left.values():
            if process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)


def train_one(job: Job) -> Outcome:
    """Train on one table, then predict the held-out scenes."""
    if _ended is not None and _ended.is_set():  # Ctrl-C came while this job was queued
        raise CancelledError
    model_path = train(
        TrainConfig(
            table=str(job.table),
            images=str(job.images),
            out=str(job.out),
            model=SMALLEST if job.start is None else SMALL,
            start=None if job.start is None else str(job.start),
            epochs=_epochs(job),
            batch=_BATCH,
            size=SIDE,
            workers=0,
            seed=job.seed,
            loss="bce",
            schedule="cosine",
            learning_rate=job.learning_rate,
            warm_up=_WARM_UP,
            device="cpu",
            log_every=_LOG_EVERY,
            save_every=10**6,
        )
    )
    if model_path.name != MODEL:
        raise JobError(f"{job.out}: the training was ended by a signal")
    model = load_model(model_path)
    # resize the whole scene: the published crop would cut off objects at the edges
    whole = Preprocess(on_tensors(v2.Resize((SIDE, SIDE))), size=SIDE, least_side=SIDE)
    how = Inference(batch=_BATCH, workers=0, device="cpu")
    found = outputs(model, feed_of(ParquetImages(job.held_out, job.images, preprocess=whole), how), how=how)
    probabilities = np.concatenate([logits.sigmoid().numpy() for _, logits in found])
    return Outcome(curve(job.out / "log.csv", steps_an_epoch=_steps(job) // _epochs(job)), probabilities)


def curve(log: Path, *, steps_an_epoch: int) -> tuple[tuple[float, float], ...]:
    """Points of a loss curve from the log of a run: epochs so far, mean loss since the previous point."""
    width = steps_an_epoch / _POINTS_AN_EPOCH
    parts: dict[int, list[float]] = {}
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            parts.setdefault(int((int(row["step"]) - 1) // width), []).append(float(row["loss"]))
    return tuple(((part + 1) / _POINTS_AN_EPOCH, sum(losses) / len(losses)) for part, losses in sorted(parts.items()))


def _epochs(job: Job) -> int:
    return job.epochs * (_FROM_NOTHING if job.start is None else 1)


def _steps(job: Job) -> int:
    return len(AnnotationTable.open(job.table)) // _BATCH * _epochs(job)


def _images_seen(job: Job) -> int:
    """The count in the last complete line of the log, or 0."""
    path = job.out / "log.csv"
    if not path.is_file():
        return 0
    lines = path.read_text().split("\n")[1:-1]  # what follows the last line feed may be incomplete
    return int(lines[-1].split(",")[2]) if lines else 0


def _begin(ended: Event) -> None:
    """Initialize a worker: one thread, no log of an interrupted run, and exit with the parent."""
    global _ended
    _ended = ended
    torch.set_num_threads(1)
    logging.getLogger("mlimages").setLevel(logging.ERROR)
    end_with_parent()


@contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal within the context."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
