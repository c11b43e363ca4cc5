"""The folder that a job fills: new, or that of an earlier run of the same job."""

from __future__ import annotations

from pathlib import Path

from mlimages.errors import JobError
from mlimages.storage.manifest import JOB, MANIFEST, Manifest


def begin_job(folder: Path, job: Manifest, *, resume: bool) -> bool:
    """Prepare a folder, and note in it what is to be made.

    Parameters
    ----------
    folder : pathlib.Path
        New or empty, or the one to go on with.
    job : Manifest
        Metadata, options and inputs of the job, without parts.
    resume : bool
        Whether an earlier run may have begun or finished it.

    Returns
    -------
    bool
        Whether there is anything left to do.

    Raises
    ------
    JobError
        Where the folder holds something else, or what is resumed was begun with something else.
    """
    if (folder / MANIFEST).is_file():
        if not resume:
            raise JobError(f"{folder}: already holds a table: choose another folder, or remove this one")
        _check_same(folder, Manifest.load(folder / MANIFEST), job)
        (folder / JOB).unlink(missing_ok=True)
        return False
    if (folder / JOB).is_file():
        if not resume:
            raise JobError(f"{folder}: holds an unfinished job: continue it with --resume, or remove the folder")
        _check_same(folder, Manifest.load(folder / JOB), job)
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise JobError(f"{folder}: exists and is not an empty folder: choose a new one")
    folder.mkdir(parents=True, exist_ok=True)
    job.write(folder / JOB)
    return True


def _check_same(folder: Path, begun: Manifest, now: Manifest) -> None:
    """Refuse to go on with another input or other options than the job was begun with."""
    before = {**begun.metadata, **begun.options, "input files": [each.path for each in begun.inputs]}
    after = {**now.metadata, **now.options, "input files": [each.path for each in now.inputs]}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise JobError(
                f"{folder}: begun with {name} {before.get(name)}, and to be resumed with {after.get(name)}: use the "
                "same, or start again in a new folder"
            )
    for then, file in zip(begun.inputs, now.inputs, strict=True):
        if (then.bytes, then.modified) != (file.bytes, file.modified):
            raise JobError(
                f"{file.path}: changed since the job in {folder} was begun (found {file.bytes} bytes of "
                f"{file.modified}, expected {then.bytes} of {then.modified}): start again in a new folder"
            )
