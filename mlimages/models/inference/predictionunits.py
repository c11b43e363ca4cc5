"""One unit of images classified by a teacher and written as one part of a table of predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mlimages.annotate.tables.predictions import PredictionWriter, prediction_schema
from mlimages.errors import JobError, MlimagesError
from mlimages.images.picture import PictureError, decode
from mlimages.job.folder import SCRATCH
from mlimages.job.local import in_order
from mlimages.job.task import Made, StopSignal, until_stopped
from mlimages.models.data.decode import opaque
from mlimages.models.data.sources import NameList, Pictures
from mlimages.models.inference.teacher import Teacher
from mlimages.storage.arrow import list_column
from mlimages.storage.files import replacing


class _Seen(NamedTuple):
    """A classified batch of images: its rows, and name and reason of each broken image."""

    rows: pa.RecordBatch
    broken: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PredictionTask:
    """A unit of images, by number."""

    index: int
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionMaker:
    """Makes parts of units; a :class:`~mlimages.job.task.Maker`, picklable where the teacher is.

    The teacher computes on `device` and sees `batch` images at once; `workers` such batches are read and computed at
    once. A unit is always cut into the same batches, and nothing is computed across threads, so that its part does not
    depend on the worker.
    """

    writer: PredictionWriter
    teacher: Teacher
    names: NameList
    pictures: Pictures
    batch: int
    workers: int
    device: torch.device

    @property
    def folder(self) -> Path:
        """The table's."""
        return self.writer.folder

    @property
    def gpus(self) -> int:
        """GPUs that each worker needs."""
        return int(self.device.type == "cuda")

    def worker(self, stop: StopSignal) -> Callable[[PredictionTask], Made]:
        """What makes the part of a unit, and the file of its broken images where there are any."""
        self.teacher.on(self.device)
        return partial(self._make, stop=stop)

    def _make(self, task: PredictionTask, *, stop: StopSignal) -> Made:
        """Make a part; a JobError says where no image of the first unit can be read."""
        broken: list[tuple[str, str]] = []
        names = self.names.unit(task.index)
        starts = range(0, len(names), self.batch)

        def batches() -> Iterator[pa.RecordBatch]:
            first = task.index * self.names.unit_images
            pieces = ((first + start, names[start : start + self.batch]) for start in starts)
            for seen in until_stopped(in_order(self._see, pieces, workers=self.workers, threads=True), stop):
                broken.extend(seen.broken)
                yield seen.rows
            if task.index == 0 and len(broken) == len(names):
                raise JobError(
                    f"none of the first {len(names)} pictures could be read; {broken[0][0]!r}: {broken[0][1]}"
                )
            _write_broken(_broken_path(self.folder, task.index), broken)  # before the part takes its name

        with one_thread_each():
            part = self.writer.write_part(task.index, batches())
        return Made(part, {"broken": len(broken)} if broken else {})

    def finished(self, task: PredictionTask) -> Made | None:
        """The part of an earlier run, if it is there and whole."""
        part = self.writer.finished_part(task.index)
        if part is None:
            return None
        path = _broken_path(self.folder, task.index)
        return Made(part, {"broken": path.read_bytes().count(b"\n")} if path.is_file() else {})

    def _see(self, task: tuple[int, list[str]]) -> _Seen:
        """Read, decode, prepare and classify a batch."""
        first, names = task
        preprocess = self.teacher.preprocess
        prepared: list[torch.Tensor] = []
        kept: list[str] = []
        broken: list[tuple[str, str]] = []
        for row, name in enumerate(names, start=first):
            try:
                picture = decode(self.pictures.image(row, name), least_side=preprocess.least_side)
            except (PictureError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
                broken.append((name, _reason(error)))
                continue
            prepared.append(preprocess(opaque(picture)))
            kept.append(name)
        scores = (
            self.teacher(torch.stack(prepared)) if prepared else np.empty((0, len(self.teacher.outputs)), np.float32)
        )
        return _Seen(self._rows(kept, scores), broken)

    def _rows(self, names: list[str], scores: NDArray[np.float32]) -> pa.RecordBatch:
        offsets, columns, values = select(scores, threshold=self.writer.threshold, top=self.writer.top)
        schema = prediction_schema(len(self.writer.hierarchy))
        labels = self.teacher.outputs[columns].astype(schema.field(1).type.value_type.to_pandas_dtype())
        return pa.RecordBatch.from_arrays(
            [
                pa.array(names, pa.string()),
                list_column(schema.field(1).type, offsets, labels),
                list_column(schema.field(2).type, offsets, values),
            ],
            schema=schema,
        )


def select(
    scores: NDArray[np.float32], *, threshold: float, top: int | None
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
    """Scores above a threshold, at most `top` per row, the greatest first; ties go to the lowest column.

    Parameters
    ----------
    scores : float32 array [B, K]
    threshold : float
    top : int, optional

    Returns
    -------
    offsets : int32 array [B + 1]
        Where each row begins.
    columns : int64 array [n]
    values : float32 array [n]

    Examples
    --------
    >>> [each.tolist() for each in select(np.float32([[0.5, 0.25, 0.75]]), threshold=0.25, top=1)]
    [[0, 1], [2], [0.75]]
    """
    chosen = scores > threshold
    if top is not None and top < scores.shape[1] and len(scores):
        chosen &= scores >= np.partition(scores, -top, axis=1)[:, -top, None]  # spares the sort below the rest
    rows, columns = np.nonzero(chosen)
    values = scores[rows, columns]
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    if top is not None:
        starts = np.searchsorted(rows, np.arange(len(scores)))
        kept = np.arange(len(rows)) - starts[rows] < top  # ties with the last one
        rows, columns, values = rows[kept], columns[kept], values[kept]
    offsets = np.zeros(len(scores) + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=len(scores)), out=offsets[1:])
    return offsets, columns, values


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let torch compute each batch in one thread: sums that are split among threads depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Broken images --------------------------------------------------------------------------------------------------------


def _broken_path(folder: Path, index: int) -> Path:
    """File of the broken images of a unit, until the table is done."""
    return folder / SCRATCH / f"broken-{index:05d}.tsv"


def _write_broken(path: Path, broken: list[tuple[str, str]]) -> None:
    if not broken:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as file:
        file.writelines(f"{name}\t{reason}\n".encode() for name, reason in broken)


def gather_broken(folder: Path, target: Path) -> None:
    """Write one file of those of all units, where there are any."""
    paths = sorted((folder / SCRATCH).glob("broken-*.tsv"), key=lambda path: (len(path.name), path.name))
    if paths:
        with replacing(target) as file:
            for path in paths:
                file.write(path.read_bytes())


def _reason(error: MlimagesError | OSError) -> str:
    text = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
    return " ".join(text.split())
