"""A small network trained on annotation tables with the library's own trainer, one training on each core."""

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
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait as ended_of
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2

from mlimages import AnnotationTable
from mlimages.demo.learning.network import SMALL, SMALLEST, imagenet_network
from mlimages.errors import JobError
from mlimages.models import Inference, TrainConfig, load_model, save_model, train
from mlimages.models.data.dataset import ParquetImages
from mlimages.models.data.preprocess import Preprocess, on_tensors
from mlimages.models.inference.inference import feed_of, outputs
from mlimages.models.networks.build import TimmModel
from mlimages.models.training.loop import MODEL

SIDE = 64  # pixels that the network sees
_BATCH = 16
_WARM_UP = 0.3  # epochs
_FROM_NOTHING = 4  # times as many epochs where no weights are to begin with
_LOG_EVERY = 5  # steps
_POINTS_AN_EPOCH = 4  # of the curve
_LOOK_AT_LOGS, _PATIENCE = 1.0, 4.0  # seconds

Report = Callable[[int, int], None]
_ended: Event | None = None  # in the processes: set once no more trainings are wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training.

    Parameters
    ----------
    labels : str
        What the labels are, in a few words.
    table, held_out : pathlib.Path
        Annotation tables to learn from and to say something of.
    images : pathlib.Path
        Folder of the images of both.
    start : pathlib.Path or None
        Weights to begin with.
    out : pathlib.Path
        Folder of the run.
    learning_rate : float
        The highest; it falls to 0 as a cosine.
    seed, epochs : int
        Of the training.
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
    """What a training came to.

    Parameters
    ----------
    curve : tuple of (float, float)
        Epochs so far and mean loss since the last.
    probabilities : float32 array [m, n]
        How sure the network is of each category in each held-out scene.
    """

    curve: tuple[tuple[float, float], ...]
    probabilities: NDArray[np.float32]


def write_start(table: AnnotationTable, path: Path) -> Path | None:
    """Write EfficientNet-lite0 with its ImageNet-1k weights and a new last layer that says of every scene how often
    each category is in the table.

    So the first steps need not learn that, which would shake all that the network knows.

    Returns
    -------
    pathlib.Path or None
        `path`; None where the package that carries the weights is not installed.
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
    """Do all trainings, as many at a time as there are cores, each in a process of its own with one thread.

    Parameters
    ----------
    jobs : sequence of Job
        Of tables of one length.
    progress : callable
        Called with how many images were learned from, and how many there are in all.

    Raises
    ------
    JobError
        Where one of the processes was ended from outside.
    """
    total = sum(_steps(job) * _BATCH for job in jobs)
    processes = min(len(jobs), len(os.sched_getaffinity(0)))
    others = set(active_children())
    spawning = get_context("spawn")
    ended = spawning.Event()
    pool = ProcessPoolExecutor(processes, mp_context=spawning, initializer=_begin, initargs=(ended,))
    try:
        with _unheard(signal.SIGINT):  # inherited by the processes: Ctrl-C is for this one
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
    """Wait for processes that have nothing left to do; end those that go on, first as Ctrl-C ends a training.

    Their end is seen and not collected: the pool does that, at any moment.
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
    """Train on one table, then look at the held-out scenes."""
    if _ended is not None and _ended.is_set():  # Ctrl-C came while this waited
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
    # the whole scene: the published crop would cut off objects that stand at its edge
    whole = Preprocess(on_tensors(v2.Resize((SIDE, SIDE))), size=SIDE, least_side=SIDE)
    how = Inference(batch=_BATCH, workers=0, device="cpu")
    found = outputs(model, feed_of(ParquetImages(job.held_out, job.images, preprocess=whole), how), how=how)
    probabilities = np.concatenate([logits.sigmoid().numpy() for _, logits in found])
    return Outcome(curve(job.out / "log.csv", steps_an_epoch=_steps(job) // _epochs(job)), probabilities)


def curve(log: Path, *, steps_an_epoch: int) -> tuple[tuple[float, float], ...]:
    """Epochs so far and mean loss since the last point, out of the log of a run."""
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
    """What the last whole line of the log says, 0 where there is none yet."""
    path = job.out / "log.csv"
    if not path.is_file():
        return 0
    lines = path.read_text().split("\n")[1:-1]  # what follows the last line feed may be half written
    return int(lines[-1].split(",")[2]) if lines else 0


def _begin(ended: Event) -> None:
    """Make a process ready: one thread, for each core has a process; no word of being stopped; no life of its own."""
    global _ended
    _ended = ended
    torch.set_num_threads(1)
    logging.getLogger("mlimages").setLevel(logging.ERROR)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End at once where the parent was killed, and can end nobody any more."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal for a while."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
