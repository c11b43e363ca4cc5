"""Files that are written atomically, and hashes of their content."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import xxhash

_BLOCK = 1 << 22  # bytes


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` once it is whole; nothing is left behind if writing fails.

    A folder of that name, and a full disk, are OSErrors that name `path`.
    """
    if path.is_dir():  # or the last step would fail
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            error.filename = os.fspath(path)  # writing knows a number, not a name
        raise


def file_hash(path: str | os.PathLike[str]) -> str:
    """The xxh3-128 hash of a file's content, in hexadecimal: what ``xxhsum -H2`` prints."""
    digest = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
