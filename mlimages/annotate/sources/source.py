"""What every reader of labels has in common: work units, and what becomes of a bad row."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.labels.schema import GIVEN_SCHEMA
from mlimages.errors import FormatError, MlimagesError

OnError = Literal["raise", "quarantine"]

#: A batch also ends with the line that brings its text to this size, so that its memory is bounded.
BATCH_BYTES = 64 << 20
#: Text of one work unit; each becomes one part of the table.
UNIT_BYTES = 16 << 20


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
    """What reading a unit has to tell besides the rows.

    Parameters
    ----------
    on_error : {"raise", "quarantine"}
        Whether the first bad row ends the job, or bad rows are kept aside.
    """

    on_error: OnError
    bad: list[BadRow] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def bad_row(self, row: BadRow) -> None:
        """Note a bad row, or raise it.

        Raises
        ------
        FormatError
            Where bad rows end the job.
        """
        if self.on_error == "raise":
            raise FormatError(row.reason, path=row.path, line=row.line or None)
        self.bad.append(row)


class Source(Protocol):
    """A reader of labels: picklable, and without state that reading changes."""

    @property
    def inputs(self) -> list[Path]:
        """The files it reads."""

    def units(self) -> list[Unit]:
        """The work units, determined by the sizes of the files and nothing else."""

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit, as :data:`~mlimages.annotate.labels.schema.GIVEN_SCHEMA` or with origins besides."""


def split_into_units(
    paths: list[Path], *, splittable: bool | list[bool] = True, unit_bytes: int | None = None
) -> list[Unit]:
    """Units of about `unit_bytes` (`UNIT_BYTES`), of equal size within a file; one that cannot be split is one unit."""
    unit_bytes = unit_bytes or UNIT_BYTES
    can_split = [splittable] * len(paths) if isinstance(splittable, bool) else splittable
    units: list[Unit] = []
    for path, can in zip(paths, can_split, strict=True):
        size = path.stat().st_size
        pieces = max(1, -(-size // unit_bytes)) if can else 1
        bounds = [size * k // pieces for k in range(pieces + 1)]
        for start, stop in pairwise(bounds):
            units.append(Unit(len(units), os.fspath(path), start, stop))
    return units


def given_batch(
    names: NDArray[np.uint8],
    name_offsets: NDArray[np.int32],
    offsets: NDArray[np.int32],
    labels: NDArray[np.int32],
    confidences: NDArray[np.float32] | None = None,
) -> pa.RecordBatch:
    """Arrays as a batch of given labels, without a copy; confidences are 1 where there are none."""
    if confidences is None:
        confidences = np.ones(len(labels), np.float32)
    rows, starts = len(offsets) - 1, pa.py_buffer(offsets)
    return pa.RecordBatch.from_arrays(
        [
            pa.StringArray.from_buffers(rows, pa.py_buffer(name_offsets), pa.py_buffer(names)),
            *(
                pa.ListArray.from_buffers(GIVEN_SCHEMA.field(i).type, rows, [None, starts], children=[pa.array(values)])
                for i, values in ((1, labels), (2, confidences))
            ),
        ],
        schema=GIVEN_SCHEMA,
    )


def expand_paths(sources: str | os.PathLike[str] | list[str | os.PathLike[str]]) -> list[Path]:
    """The files that paths and globs name, each once: in the given order, those of a glob sorted.

    Raises
    ------
    MlimagesError
        Where a glob matches nothing, or a file is named twice.
    FileNotFoundError, IsADirectoryError
        Where a path is no file.
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
