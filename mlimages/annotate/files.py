"""Files that appear whole or not at all, and hashes of their content."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import xxhash

_BLOCK = 1 << 22  # bytes


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` once it is whole; nothing is left behind where writing fails."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_hash(path: str | os.PathLike[str]) -> str:
    """The xxh3-128 hash of a file's content, in hexadecimal: what ``xxhsum -H2`` prints."""
    digest = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
