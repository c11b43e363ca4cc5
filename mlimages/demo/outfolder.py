"""The output folder of the demo: replaced on each run, and refused where it holds files of anybody else."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlimages.errors import JobError

#: Marks a folder that the demo made.
MARKER = ".mlimages-demo"


def prepare_folder(out: Path, *, own: frozenset[str]) -> None:
    """Make the folder, or empty that of an earlier run, which holds nothing but the names `own`.

    Raises a JobError if the folder holds anything else; nothing is removed then.
    """
    if out.is_dir():
        found = sorted(each.name for each in out.iterdir())
        foreign = [name for name in found if name != MARKER and name not in own]
        if found and MARKER not in found:
            raise JobError(f"{out}: holds {found[0]!r} and was not made by the demo: choose another folder with --out")
        if foreign:
            raise JobError(
                f"{out}: holds {foreign[0]!r}, which is not the demo's: move it away, or choose another folder with "
                "--out"
            )
        for name in found:
            if name != MARKER:  # kept, so that the folder of a run killed here is recognized
                _remove(out / name)
    elif out.exists():
        raise JobError(f"{out}: is a file, expected a folder or nothing: choose another one with --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("made by python -m mlimages.demo, which replaces what is here\n", encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
