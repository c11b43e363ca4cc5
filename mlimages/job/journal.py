"""The hashes of the parts that a job has finished, in a file beside them until the job is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from mlimages.storage.manifest import Part

#: Name of the file: a line of JSON for each part, ``{"file": ..., "xxh3_128": ...}``.
JOURNAL = "finished.jsonl"


class Journal:
    """The parts that earlier runs in a folder and this one finished; a context manager that keeps the file open.

    A part that was damaged after it was finished, by a disk that lost power or by a person, has another hash.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._hashes = _read(self._path)

    def __enter__(self) -> Self:
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def contradicts(self, part: Part) -> bool:
        """Whether a part changed since it was finished; False for a part that is not recorded."""
        return self._hashes.get(part.file, part.xxh3_128) != part.xxh3_128

    def note(self, part: Part) -> None:
        """Record a finished part."""
        if self._hashes.get(part.file) != part.xxh3_128:
            self._hashes[part.file] = part.xxh3_128
            self._file.write("\n" + json.dumps({"file": part.file, "xxh3_128": part.xxh3_128}))
            self._file.flush()


def _read(path: Path) -> dict[str, str]:
    """Hashes by file, the latest of each; a line that was not written to its end is left out."""
    hashes: dict[str, str] = {}
    if path.is_file():
        for line in path.read_bytes().split(b"\n"):
            try:
                noted = json.loads(line)
                hashes[noted["file"]] = noted["xxh3_128"]
            except (ValueError, KeyError, TypeError):
                continue
    return hashes
