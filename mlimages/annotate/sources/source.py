"""The common base of sources of labels: tasks, work units, and the handling of bad rows."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.labels.schema import GIVEN_SCHEMA
from mlimages.errors import FormatError, MlimagesError
from mlimages.job.local import cores
from mlimages.job.task import Task
from mlimages.storage.arrow import list_batch

OnError = Literal["raise", "quarantine"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the input, and so one part of the output.

    Parameters
    ----------
    index : int
        Number of the part.
    path : str
        The file.
    start, stop : int
        The lines whose first byte is in ``[start, stop)``; of a compressed file, all of it.
    """

    index: int
    path: str
    start: int
    stop: int


class BadRow(NamedTuple):
    """A row that could not be read; its line is counted from 1, and 0 where it is not known."""

    path: str
    line: int
    reason: str
    row: bytes


@dataclass(slots=True)
class Report:
    """Bad rows and counts collected while reading a unit.

    Parameters
    ----------
    on_error : {"raise", "quarantine"}
        Whether the first bad row ends the job, or bad rows are set aside.
    """

    on_error: OnError
    bad: list[BadRow] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def bad_row(self, row: BadRow) -> None:
        """Note a bad row, or raise it.

        Raises
        ------
        FormatError
            If bad rows end the job.
        """
        if self.on_error == "raise":
            raise FormatError(row.reason, path=row.path, line=row.line or None)
        self.bad.append(row)


class LabelTask(Task, Protocol):
    """The work for one part of a table."""

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The given labels; bad rows go to the report."""


class Source(ABC):
    """A source of input labels for :func:`mlimages.annotate`, in any format.

    A job prepares a source once, then reads its tasks, several at a time. A source is not changed by being read.
    """

    #: Name of the format, for the manifest.
    format: str
    #: The files that are read, for the manifest; empty if the labels are not in files.
    inputs: list[Path]
    #: What identifies the input besides its files: a job is resumed only with the same.
    state: dict[str, str | int]
    #: Whether the tasks can be made again, by a job that is resumed or on another machine.
    repeatable = True
    #: What :meth:`prepare` does, for progress; empty where there is nothing to prepare.
    stage = ""
    #: Files that :meth:`prepare` leaves in the scratch folder and that belong beside the table.
    kept: tuple[str, ...] = ()

    def prepare(  # noqa: B027  (most sources have nothing to prepare)
        self,
        scratch: Path,
        *,
        on_error: OnError,
        workers: int,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Prepare the first task; does nothing by default.

        Parameters
        ----------
        scratch : pathlib.Path
            A folder for intermediate files. Files that an interrupted run left there are reused.
        on_error : {"raise", "quarantine"}
            How bad rows are handled.
        workers : int
            Threads.
        progress : callable
            Called with the number of bytes read, and their total.
        """

    @abstractmethod
    def tasks(self, scratch: Path) -> Iterable[LabelTask]:
        """The tasks, in the order of the parts; a list where their number is known. `scratch` may still be empty."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All labels, without a job; the first bad row raises.

        Raises
        ------
        FormatError
            For a bad row.
        """
        report = Report("raise")
        with TemporaryDirectory(prefix="mlimages-") as folder:
            self.prepare(Path(folder), on_error="raise", workers=cores())
            for task in self.tasks(Path(folder)):
                yield from task.batches(report)


class UnitReader(Protocol):
    """Reads units; picklable, and without state that reading changes."""

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit, as :data:`~mlimages.annotate.labels.schema.GIVEN_SCHEMA` or with origins besides."""


@dataclass(frozen=True, slots=True)
class UnitTask:
    """A unit of the input and its reader."""

    unit: Unit
    reader: UnitReader

    @property
    def index(self) -> int:
        """Number of the part."""
        return self.unit.index

    @property
    def size(self) -> int:
        """Bytes of the unit."""
        return self.unit.stop - self.unit.start

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The given labels; bad rows go to the report."""
        return self.reader.read(self.unit, report)


class UnitSource(Source):
    """A source that is cut into units which are read as they are."""

    @abstractmethod
    def units(self) -> list[Unit]:
        """The work units, determined by the input and nothing else."""

    @abstractmethod
    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit, as :data:`~mlimages.annotate.labels.schema.GIVEN_SCHEMA`."""

    def tasks(self, scratch: Path) -> list[UnitTask]:  # noqa: ARG002  (nothing is prepared)
        """A task for each unit."""
        return [UnitTask(unit, self) for unit in self.units()]


def given_batch(
    names: NDArray[np.uint8],
    name_offsets: NDArray[np.int32],
    offsets: NDArray[np.int32],
    labels: NDArray[np.int32],
    confidences: NDArray[np.float32] | None = None,
) -> pa.RecordBatch:
    """Arrays as a batch of given labels, without a copy.

    Parameters
    ----------
    names : uint8 array
        The image names, one after another.
    name_offsets, offsets : int32 array [rows + 1]
        Start of the name, and of the labels, of each row.
    labels : int32 array
        Category indices.
    confidences : float32 array, optional
        As long; 1 by default.
    """
    if confidences is None:
        confidences = np.ones(len(labels), np.float32)
    images = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(name_offsets), pa.py_buffer(names))
    return list_batch(GIVEN_SCHEMA, images, offsets, labels, confidences)


class RowBuffers(NamedTuple):
    """Buffers that a kernel writes rows to, sized before; arguments as those of :func:`given_batch`."""

    names: NDArray[np.uint8]
    name_offsets: NDArray[np.int32]
    offsets: NDArray[np.int32]
    labels: NDArray[np.int32]

    @classmethod
    def of(cls, rows: int, *, name_bytes: int, labels: int) -> RowBuffers:
        """Buffers for the given numbers of rows, bytes of names, and labels."""
        return cls(
            np.empty(name_bytes, np.uint8),
            np.empty(rows + 1, np.int32),
            np.empty(rows + 1, np.int32),
            np.empty(labels, np.int32),
        )

    def batch(
        self, rows: int, *, name_bytes: int, labels: int, confidences: NDArray[np.float32] | None = None
    ) -> pa.RecordBatch:
        """The rows, bytes and labels that were written, without a copy."""
        return given_batch(
            self.names[:name_bytes],
            self.name_offsets[: rows + 1],
            self.offsets[: rows + 1],
            self.labels[:labels],
            None if confidences is None else confidences[:labels],
        )


def expand_paths(sources: str | os.PathLike[str] | list[str | os.PathLike[str]]) -> list[Path]:
    """The files that paths and globs name, each once: in the given order, those of a glob sorted.

    Raises
    ------
    MlimagesError
        If a glob matches nothing, or a file is named twice.
    FileNotFoundError, IsADirectoryError
        If a path is not a file.
    """
    found: list[Path] = []
    for source in [sources] if isinstance(sources, str | os.PathLike) else sources:
        text = os.fspath(source)
        path = Path(text)
        if any(mark in text for mark in "*?[") and not path.exists():
            base = Path(path.anchor) if path.is_absolute() else Path()
            matches = sorted(each for each in base.glob(text.removeprefix(path.anchor)) if each.is_file())
            if not matches:
                raise MlimagesError(f"{text}: no file matches this pattern")
            found.extend(matches)
            continue
        if path.is_dir():
            raise IsADirectoryError(21, os.strerror(21), text)
        path.stat()
        found.append(path)
    twice = [path for path, count in Counter(path.resolve() for path in found).items() if count > 1]
    if twice:
        raise MlimagesError(f"{twice[0]}: named twice, and its images would be counted twice")
    if not found:
        raise MlimagesError("no input: name at least one file")
    return found
