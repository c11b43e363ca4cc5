"""A job: tasks that write the parts of a folder, resumable, with the same bytes for any number of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mlimages.errors import FormatError, JobError, LabelError
from mlimages.job import folder as job_folder
from mlimages.job.engines import engine_named
from mlimages.job.folder import SCRATCH
from mlimages.job.journal import Journal
from mlimages.job.local import checked_workers
from mlimages.job.task import Engine, Made, Maker
from mlimages.storage.files import file_hash
from mlimages.storage.manifest import JOB, MANIFEST, Input, Manifest


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a job.

    Parameters
    ----------
    parts, all_parts : int
        Parts done, and in total; 0 if not known.
    bytes, all_bytes : int
        Bytes of the input, likewise; a stage counts its own, from 0.
    rows : int
        Rows written.
    stage : str
        The name of the stage before the parts, where there is one and it is not done.
    counts : dict of str to int
        What was counted in the parts that are done.
    """

    parts: int
    all_parts: int
    bytes: int
    all_bytes: int
    rows: int
    stage: str = ""
    counts: dict[str, int] = field(default_factory=dict)


Report = Callable[[Progress], None]


class Stage(Protocol):
    """What has to be done before the first task: files that the tasks read, in a scratch folder; resumable itself."""

    def __call__(self, scratch: Path, /, *, workers: int, progress: Report) -> None:
        """Fill the folder `scratch`; files that an interrupted run left there are reused."""


def _nothing(_: Any) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A folder of parts to be made, each from a task, with a manifest that is written last.

    Only `maker` knows the content of parts.

    Parameters
    ----------
    maker : Maker
        Makes the parts in its folder.
    metadata : dict
        The table's metadata in the manifest.
    options : dict
        How the input is read, for the manifest. A resumed job must have the same, and the same metadata.
    inputs : sequence of pathlib.Path
        The files that are read, for the manifest; empty if the input is not files.
    hashes : sequence of str
        Hashes of their content, where they are known at the start: a resumed job may then read files of the same names
        and content from elsewhere. Without, these are computed beside the parts, and resuming compares paths and times.
    stage : Stage, optional
        Work to do before the tasks.
    beside : callable
        Writes other files of the folder, after the parts and before the manifest.
    counts : dict of str to int
        Counts for the manifest, besides those of the parts.
    pattern : str, optional
        Names of the parts, which are removed where a bad row ends the job; None keeps what is done.
    processes : bool
        Whether the local engine works in processes instead of threads.
    again : str
        How the user continues the job, for messages.
    """

    maker: Maker[Any]
    metadata: dict[str, Any]
    options: dict[str, Any]
    inputs: Sequence[Path] = ()
    hashes: Sequence[str] = ()
    stage: Stage | None = None
    beside: Callable[[Path], None] = _nothing
    counts: dict[str, int] = field(default_factory=dict)
    pattern: str | None = "part-*.parquet"
    processes: bool = False
    again: str = "run again with --resume"

    @property
    def folder(self) -> Path:
        """Where the parts are made."""
        return self.maker.folder

    def run(
        self,
        tasks: Iterable[Any],
        *,
        engine: str | Engine = "local",
        workers: int | None = None,
        resume: bool = False,
        progress: Report | None = None,
    ) -> Manifest:
        """Make the parts that are not there yet, and the manifest.

        Parameters
        ----------
        tasks : iterable of Task
            Drawn as workers become free.
        engine : {"local", "ray"} or Engine
            Where the work is done.
        workers : int, optional
            Number of concurrent tasks; as many as there are cores by default.
        resume : bool
            Resume an interrupted job.
        progress : callable, optional
            Called after every part.

        Raises
        ------
        JobError
            Where the folder is not empty or in use, the input or the options changed since the job was begun, or the
            disk is full.
        FormatError, LabelError
            For a bad row, if these end the job; the files of the job are then removed.
        Stopped
            If the engine was stopped; finished parts are kept.
        """
        run = engine_named(engine, processes=self.processes) if isinstance(engine, str) else engine
        workers = checked_workers(workers)
        job_folder.check_free(self.folder, resume=resume)
        if job_folder.is_finished(self.folder):  # another process may read it
            job_folder.begin(self.folder, self._manifest(), resume=resume)
            return Manifest.read(self.folder)
        with job_folder.full_disk_told(self.folder, again=self.again), job_folder.held(self.folder):
            if not job_folder.begin(self.folder, self._manifest(), resume=resume):
                return Manifest.read(self.folder)
            with ThreadPoolExecutor(1) as hasher:  # beside the parts: the pages it reads are those that they need
                hashes = [hasher.submit(file_hash, path) for path in self.inputs if not self.hashes]
                try:
                    made = self._make(tasks, run, workers, resume=resume, progress=progress or _nothing)
                except BaseException as error:
                    for each in hashes:  # not when all went well: of many files some may still be waiting
                        each.cancel()
                    if isinstance(error, FormatError | LabelError) and self.pattern is not None:
                        self._remove(self.pattern)
                    raise
                return self._finish(made, self.hashes or [each.result() for each in hashes])

    def reopen(self) -> None:
        """Make a finished job an unfinished one, to be resumed; its maker then says which parts are made again.

        Raises a JobError as :meth:`run`.
        """
        if (self.folder / MANIFEST).is_file():
            with job_folder.held(self.folder):
                job_folder.begin(self.folder, self._manifest(), resume=True)
                self._manifest().write(self.folder / JOB)
                (self.folder / MANIFEST).unlink()

    def _finish(self, made: Iterable[Made], hashes: Sequence[str]) -> Manifest:
        """Write the other files and, last, the manifest; remove the files that only the job needs.

        Raises a JobError if an input changed since the job was begun.
        """
        inputs = self._inputs(hashes)
        for before, after in zip(Manifest.load(self.folder / JOB).inputs, inputs, strict=True):
            if not before.is_same(after):
                raise JobError(f"{after.path}: changed while it was read: remove {self.folder} and start again")
        counts = Counter(self.counts)
        for each in made:
            counts.update(each.counts)
        self.beside(self.folder)
        parts = [each.part for each in sorted(made, key=lambda each: (len(each.part.file), each.part.file))]
        manifest = replace(self._manifest(), inputs=inputs, parts=parts, counts=dict(counts))
        manifest.write(self.folder / MANIFEST)
        job_folder.clear(self.folder)
        return manifest

    def _manifest(self) -> Manifest:
        return Manifest(self.metadata, self.options, self._inputs(self.hashes or [None] * len(self.inputs)))

    def _inputs(self, hashes: Sequence[str | None]) -> list[Input]:
        return [Input.of(path, xxh3_128=each) for path, each in zip(self.inputs, hashes, strict=True)]

    def _make(self, tasks: Iterable[Any], run: Engine, workers: int, *, resume: bool, progress: Report) -> list[Made]:
        """All parts, including those of an earlier run."""
        done: list[Made] = []
        known = isinstance(tasks, Sequence)
        total = len(tasks) if known else 0  # type: ignore[arg-type]
        all_bytes = sum(task.size for task in tasks) if known else 0
        rows = read = 0
        counts = Counter(self.counts)

        def note(made: Made) -> None:
            nonlocal rows, read
            done.append(made)
            rows, read = rows + made.part.rows, read + made.size
            counts.update(made.counts)
            progress(Progress(len(done), total, read, all_bytes, rows, counts=dict(counts)))

        def unfinished(journal: Journal) -> Iterator[Any]:
            for task in tasks:
                made = self.maker.finished(task) if resume else None
                if made is None or journal.contradicts(made.part):
                    yield task
                else:
                    journal.note(made.part)
                    note(made)

        with Journal(self.folder) as journal:
            waiting: Iterable[Any] = unfinished(journal)
            if self.stage is not None:
                waiting = list(waiting)
                if waiting:
                    self.stage(self.folder / SCRATCH, workers=workers, progress=progress)
            with closing(run(self.maker, waiting, workers)) as results:  # no worker outlives the lock
                for made in results:
                    journal.note(made.part)
                    note(made)
        return done

    def _remove(self, parts: str) -> None:
        """Remove the files that the job made: after a bad row the input will change, so there is nothing to resume."""
        for pattern in (parts, f"quarantine/{parts}", job_folder.LOCK):
            for path in self.folder.glob(pattern):
                path.unlink()
        job_folder.clear(self.folder)
        for folder in (self.folder / "quarantine", self.folder):
            with suppress(OSError):
                folder.rmdir()
