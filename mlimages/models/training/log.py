"""The log of a training run: CSV files, TensorBoard, a progress bar on a terminal, the images that are broken."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlimages.errors import import_extra
from mlimages.storage.files import replacing

if TYPE_CHECKING:
    from mlimages.models.data.dataset import Batch
    from mlimages.models.training.checkpoint import Position

_COLUMNS = ("step", "epoch", "images", "broken", "loss", "learning_rate", "images_per_second")


class RunLog:
    """The log of a run, a context manager.

    The first rank writes ``log.csv``, ``validation.csv`` and ``tensorboard/``; each rank appends the images that it
    could not read, with the reason, to ``broken-RANK.tsv``. `steps` are those of the whole run, for the progress bar;
    after the `start` steps taken before, lines of a run that was interrupted after its last checkpoint are removed.
    """

    def __init__(self, folder: Path, *, rank: int, steps: int, start: int) -> None:
        self.broken_path = folder / f"broken-{rank}.tsv"
        if not start:
            self.broken_path.unlink(missing_ok=True)
        self._writes = rank == 0
        if not self._writes:
            return
        self._log, self._validation = folder / "log.csv", folder / "validation.csv"
        for path in (self._log, self._validation):
            _cut(path, start)
        board = import_extra("torch.utils.tensorboard", extra="train")
        self._board = board.SummaryWriter(str(folder / "tensorboard"), purge_step=start or None)
        tqdm = import_extra("tqdm", extra="train").tqdm
        self._bar = tqdm(total=steps, initial=start, unit="step", disable=not sys.stderr.isatty(), leave=False)

    def step(self) -> None:
        """Count a step."""
        if self._writes:
            self._bar.update()

    def broken(self, batches: list[Batch]) -> int:
        """Write the images of the batches that could not be read to the file; return how many they are."""
        lines = [
            f"{batch.names[at]}\t{' '.join(reason.splitlines())}\n"
            for batch in batches
            for at, reason in batch.broken.items()
        ]
        if lines:
            with self.broken_path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        return len(lines)

    def line(self, position: Position, *, loss: float, learning_rate: float, rate: float) -> None:
        """Write a line: position, loss and learning rate of the step, and `rate`, images per second since the last."""
        if not self._writes:
            return
        values = {"loss": loss, "learning_rate": learning_rate, "images_per_second": rate}
        counts = {name: getattr(position, name) for name in ("step", "epoch", "images", "broken")}
        _append(self._log, {name: (counts | values)[name] for name in _COLUMNS})
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, position.step)
        self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)

    def validated(self, position: Position, metrics: dict[str, float]) -> None:
        """Write a line of ``validation.csv``: position and metrics."""
        if not self._writes:
            return
        _append(self._validation, {"step": position.step, "epoch": position.epoch} | metrics)
        for name, value in metrics.items():
            self._board.add_scalar(f"validation/{name}", value, position.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writes:
            self._bar.close()
            self._board.close()


def _append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def _cut(path: Path, start: int) -> None:
    """Remove the lines after step `start`; the file is replaced as a whole."""
    if not start or not path.is_file():
        path.unlink(missing_ok=True)
        return
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        # a run that was killed, or whose disk was full, may have left part of a line, with fewer values
        whole = [row for row in reader if None not in row.values()]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, reader.fieldnames or _COLUMNS)
    writer.writeheader()
    writer.writerows(row for row in whole if int(row["step"]) <= start)
    with replacing(path) as replaced:
        replaced.write(text.getvalue().encode())
