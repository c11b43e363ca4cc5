"""The checkpoint of a training run: all that is needed to go on exactly where it stopped."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash

from mlimages.errors import FormatError, JobError, ModelError, first_line
from mlimages.models.training.run import Run
from mlimages.storage.files import replacing

_FORMAT = "mlimages-training-2"
#: What zipfile raises on damaged archives; OSError where an offset points before the file.
_NO_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError,
    RuntimeError, ValueError, OverflowError, LookupError,
)  # fmt: skip


@dataclass(slots=True)
class Position:
    """How far a run is: steps taken, and images seen and broken so far on all ranks.

    `epoch` and `number` are those of the batch that comes next.
    """

    step: int = 0
    epoch: int = 0
    number: int = 0
    images: int = 0
    broken: int = 0

    def advance(self, *, images: int, broken: int, number: int, per_epoch: int) -> None:
        """Count a step on `images` images whose last batch had that `number` among the `per_epoch` of an epoch."""
        self.step += 1
        self.images += images
        self.broken += broken
        self.number = number + 1
        if self.number >= per_epoch:
            self.epoch, self.number = self.epoch + 1, 0


def save(run: Run, position: Position, path: Path) -> None:
    """Write the checkpoint of a run; `path` is replaced once the new file is complete.

    Raises
    ------
    JobError
        Where it cannot be written; an earlier checkpoint is kept.
    """
    state = {name: part.state_dict() for name, part in _parts(run).items()}
    state |= {"format": _FORMAT, "position": asdict(position), "config": run.config.to_dict()}
    state |= {"conditions": _conditions(run)}
    try:
        with replacing(path) as file:
            torch.save(state, file)
    except RuntimeError as error:  # what torch makes of an OSError in the middle of its archive
        cause = error.__context__
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else first_line(error)
        raise JobError(
            f"{path}: cannot be written ({why}): make room and resume; the checkpoint before, if any, is kept"
        ) from error


def restore(run: Run, path: Path) -> Position:
    """Load what :func:`save` wrote into a new run of the same settings; return how far it was.

    Raises
    ------
    FormatError
        For a file that is not such a checkpoint, or a damaged one.
    ModelError
        For a checkpoint of a run with other settings, of another table, or on another number of ranks.
    """
    _check_archive(path)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        reason = first_line(error)
        raise FormatError(f"not a training checkpoint, or a damaged one ({reason})", path=path) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise FormatError(f"not a training checkpoint of ours, which say {_FORMAT!r}", path=path)
    run.config.check_resumes(state["config"])
    for name, value in _conditions(run).items():
        if state["conditions"][name] != value:
            raise ModelError(
                f"the run in {run.config.out} was begun with another {name}: it was "
                f"{state['conditions'][name]}, and is now {value}; use that, or begin another run"
            )
    for name, part in _parts(run).items():
        part.load_state_dict(state[name])
    return Position(**state["position"])


def _parts(run: Run) -> dict[str, Any]:
    """The objects that have a state, by name."""
    parts = {"model": run.model, "optimizer": run.optimizer, "loss": run.loss, "average": run.average}
    return {name: part for name, part in parts.items() if part is not None}


def _conditions(run: Run) -> dict[str, Any]:
    """What determines the course of a run besides its settings."""
    content = [run.hierarchy.fingerprint, *(part.xxh3_128 for part in run.images.manifest.parts)]
    return {
        "number of ranks": run.ranks.world,
        "content of the table": xxhash.xxh3_128_hexdigest("\n".join(content).encode()),
    }


def _check_archive(path: Path) -> None:
    """Raise a FormatError unless the file is a zip archive with correct checksums; torch does not check them."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except _NO_ARCHIVE as error:
        raise FormatError(
            f"not a training checkpoint, or a damaged one: torch writes zip archives ({first_line(error)})", path=path
        ) from error
    if damaged is not None:
        raise FormatError(f"a damaged training checkpoint: the checksum of {damaged} is another", path=path)
