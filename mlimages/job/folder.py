"""The folder that a job fills: new, or that of an earlier run of the same job; held by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlimages.errors import JobError
from mlimages.job.journal import JOURNAL
from mlimages.storage.manifest import JOB, MANIFEST, Manifest

#: Folder within that of a job for files that only the job needs; gone once it is done.
SCRATCH = "scratch"
#: File that a process has locked while it writes into a folder.
LOCK = ".lock"
_BEFORE = {LOCK, f"{JOB}.tmp"}  # what a job leaves that is killed before it has begun


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, made where it is missing; a JobError if another process holds it."""
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        with filelock.FileLock(path, timeout=0):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # still held: whoever waited for it finds the folder as it is now
    except filelock.Timeout:
        raise JobError(f"{folder}: another process is writing here: wait for it, or choose another folder") from None


@contextmanager
def full_disk_told(folder: Path, *, again: str = "run again with --resume", needed: str = "") -> Iterator[None]:
    """Turn the error of a full disk into a JobError that says how much is `needed`, and how to go on: `again`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path = error.filename or folder
        some = f"some ({needed} is needed)" if needed else "some"
        raise JobError(
            f"{path}: {os.strerror(error.errno).lower()}: free {some}, then {again}; finished parts are kept"
        ) from error


def check_free(folder: Path, *, resume: bool) -> None:
    """Raise a JobError for a folder with something else than an unfinished or finished job that may be resumed."""
    if (folder / MANIFEST).is_file():
        if not resume:
            raise JobError(f"{folder}: already holds a table: choose another folder, or remove this one")
    elif (folder / JOB).is_file():
        if not resume:
            raise JobError(f"{folder}: holds an unfinished job: continue it with --resume, or remove the folder")
    elif folder.exists() and not (folder.is_dir() and {each.name for each in folder.iterdir()} <= _BEFORE):
        raise JobError(f"{folder}: exists and is not an empty folder: choose a new one")


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished job and nothing of the process that made it."""
    return (folder / MANIFEST).is_file() and not any((folder / name).exists() for name in (JOB, LOCK))


def begin(folder: Path, job: Manifest, *, resume: bool) -> bool:
    """Record the job in its folder, or check that the folder was begun for the same job; remove half-made files.

    `job` has the metadata, options and inputs of the job, without parts; `resume` says whether an earlier run may have
    begun or finished it. Returns whether there is anything left to do.

    Raises
    ------
    JobError
        If the folder holds something else, or the job to resume was begun with something else.
    """
    check_free(folder, resume=resume)
    if (folder / MANIFEST).is_file():
        _check_same(folder, Manifest.load(folder / MANIFEST), job)
        clear(folder)  # killed at the last step, it may have left them
        return False
    if (folder / JOB).is_file():
        _check_same(folder, Manifest.load(folder / JOB), job)
        for half in [*folder.glob("*.tmp"), *folder.glob("quarantine/*.tmp")]:
            half.unlink()
        return True
    job.write(folder / JOB)
    return True


def clear(folder: Path) -> None:
    """Remove the files that only an unfinished job needs, the one that marks it as unfinished last."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    (folder / JOURNAL).unlink(missing_ok=True)
    (folder / JOB).unlink(missing_ok=True)


def _check_same(folder: Path, begun: Manifest, now: Manifest) -> None:
    """Raise a JobError if the input or the options differ from those that the job was begun with."""
    by_content = all(each.xxh3_128 for each in (*begun.inputs, *now.inputs))
    before, after = (
        {
            **each.metadata,
            **each.options,
            "input files": [Path(file.path).name if by_content else file.path for file in each.inputs],
        }
        for each in (begun, now)
    )
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise JobError(
                f"{folder}: begun with {name} {before.get(name)}, and to be resumed with {after.get(name)}: use the "
                "same, or start again in a new folder"
            )
    for then, file in zip(begun.inputs, now.inputs, strict=True):
        if not then.is_same(file):
            raise JobError(
                f"{file.path}: changed since the job in {folder} was begun (found {file.bytes} bytes of "
                f"{file.modified}, expected {then.bytes} of {then.modified}): start again in a new folder"
            )
