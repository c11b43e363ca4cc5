"""A job: tasks into the parts of a table, resumable, with the same bytes whatever the number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from mlimages.annotate.parts import PartMaker
    from mlimages.annotate.sources.source import Report

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from mlimages.errors import FormatError, JobError, LabelError
from mlimages.job.folder import begin_job
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.manifest import CATEGORIES, JOB, MANIFEST, Input, Manifest, Part


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Parameters
    ----------
    parts, all_parts : int
        Parts done, and in all: 0 where that is not known.
    bytes, all_bytes : int
        Bytes of the input, likewise; of a stage, they count from 0 for themselves.
    rows : int
        Rows written.
    stage : str
        What goes before the parts, where something does.
    """

    parts: int
    all_parts: int
    bytes: int
    all_bytes: int
    rows: int
    stage: str = ""


class Task(Protocol):
    """What becomes one part; picklable where it is to run elsewhere."""

    @property
    def index(self) -> int:
        """Number of the part."""

    @property
    def size(self) -> int:
        """Bytes of input, for progress; 0 where that is not known."""

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The given labels."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished part, what was counted in it, and the bytes of its input."""

    part: Part
    counts: dict[str, int]
    size: int


class Stopped(Exception):  # noqa: N818  (not an error: the job was told to stop)
    """The job was stopped between two batches."""


#: Runs tasks, yields what it made in any order; raises the error of the first task, by number, that failed.
Engine = Callable[[Any, Iterable[Task], int], Iterator[Made]]


@dataclass(frozen=True, slots=True)
class Job:
    """A table to be made.

    Parameters
    ----------
    maker : PartMaker
        Makes the parts.
    inputs : list of pathlib.Path
        The files that are read, for the manifest; empty where the input is no file.
    options : dict
        How they are read, for the manifest. A resumed job must have the same.
    """

    maker: PartMaker
    inputs: list[Path]
    options: dict[str, Any]

    def run(
        self,
        tasks: Iterable[Task],
        *,
        engine: Engine,
        workers: int,
        resume: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Manifest:
        """Make the table.

        Raises
        ------
        JobError
            Where the folder is not empty, the input or the options changed since the job was begun, or the disk is
            full.
        FormatError, LabelError
            For a bad row, where these end the job; what the job had made is removed.
        """
        if not self._begin(resume=resume):
            return Manifest.read(self.maker.folder)
        done: dict[str, Made] = {}
        total = len(tasks) if isinstance(tasks, list) else 0
        all_bytes = sum(task.size for task in tasks) if isinstance(tasks, list) else 0

        def note(made: Made) -> None:
            done[made.part.file] = made
            if progress is not None:
                rows, read = sum(each.part.rows for each in done.values()), sum(each.size for each in done.values())
                progress(Progress(len(done), total, read, all_bytes, rows))

        def unfinished() -> Iterator[Task]:
            for task in tasks:
                made = self.maker.finished(task) if resume else None
                if made is None:
                    yield task
                else:
                    note(made)

        with ThreadPoolExecutor(1) as hasher:  # beside the parts: the pages it reads are those that they need
            hashes = [hasher.submit(file_hash, path) for path in self.inputs]
            try:
                for made in engine(self.maker, unfinished(), workers):
                    note(made)
            except BaseException as error:
                for each in hashes:  # not when all went well: of many files some may still be waiting
                    each.cancel()
                if isinstance(error, FormatError | LabelError):
                    self._remove()
                raise
            inputs = [Input.of(path, xxh3_128=each.result()) for path, each in zip(self.inputs, hashes, strict=True)]
        return self._finish([done[name] for name in sorted(done, key=lambda name: (len(name), name))], inputs)

    def _manifest(self, inputs: list[Input]) -> Manifest:
        return Manifest(self.maker.metadata, self.options, inputs)

    def _begin(self, *, resume: bool) -> bool:
        """Prepare the folder; return whether there is anything left to do."""
        folder = self.maker.folder
        left = begin_job(folder, self._manifest([Input.of(path) for path in self.inputs]), resume=resume)
        for half in [*folder.glob("*.tmp"), *folder.glob("quarantine/*.tmp")]:
            half.unlink()
        return left

    def _finish(self, made: list[Made], inputs: list[Input]) -> Manifest:
        """Write the categories and, last of all, the manifest; remove what only an unfinished job needs."""
        folder = self.maker.folder
        begun = Manifest.load(folder / JOB)
        for before, after in zip(begun.inputs, inputs, strict=True):
            if (before.bytes, before.modified) != (after.bytes, after.modified):
                raise JobError(f"{after.path}: changed while it was read: remove {folder} and start again")
        with replacing(folder / CATEGORIES) as file:
            self.maker.hierarchy.to_parquet(file.name)
        if self.maker.rules is not None:
            with replacing(folder / "rules.csv") as file:
                file.write(self.maker.rules.text.encode())
        counts: Counter[str] = Counter()
        for each in made:
            counts.update(each.counts)
        manifest = replace(self._manifest(inputs), parts=[each.part for each in made], counts=dict(counts))
        manifest.write(folder / MANIFEST)
        (folder / JOB).unlink()
        return manifest

    def _remove(self) -> None:
        """Take back what the job made: after a bad row the input will change, so there is nothing to resume."""
        folder = self.maker.folder
        for pattern in ("part-*.parquet", "quarantine/part-*.parquet", JOB):
            for path in folder.glob(pattern):
                path.unlink()
        with suppress(OSError):
            (folder / "quarantine").rmdir()
        with suppress(OSError):
            folder.rmdir()
