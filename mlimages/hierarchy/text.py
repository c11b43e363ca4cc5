"""Text files of which an error names the line."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from mlimages.errors import FormatError

_MARK = b"\xef\xbb\xbf"  # some editors begin a UTF-8 file so


def read_utf8(path: str | os.PathLike[str]) -> str:
    """The text of a file, without a byte order mark; a FormatError with the line for invalid UTF-8."""
    return decode_utf8(Path(path).read_bytes().removeprefix(_MARK), path=path)


def decode_utf8(data: bytes, *, path: str | os.PathLike[str]) -> str:
    """Text out of the bytes of a file.

    Raises
    ------
    FormatError
        For invalid UTF-8, with the line.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"invalid UTF-8 (byte 0x{data[error.start]:02x}), expected UTF-8 text",
            path=path,
            line=data.count(b"\n", 0, error.start) + 1,
        ) from None


def read_lines(data: bytes, *, path: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """The lines of a file that are not blank, each with its number from 1 and without blanks around it.

    Raises
    ------
    FormatError
        For invalid UTF-8, and where no line is left.
    """
    text = decode_utf8(data.removeprefix(_MARK), path=path)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise FormatError("the file is empty, expected one entry a line", path=path)
    return lines


def read_synset_ids(data: bytes, *, path: str | os.PathLike[str], among: Collection[str] | None = None) -> list[str]:
    """WordNet ids, one a line, each once.

    Parameters
    ----------
    data : bytes
        The content of the file.
    path : path-like
        Its name, for errors.
    among : collection of str, optional
        What the ids must be among.

    Raises
    ------
    FormatError
        With the line, for an id that stands twice, that WordNet 3.0 has not, or that is not in `among`.
    """
    from mlimages.hierarchy.taxonomy import taxonomy

    lines = read_lines(data, path=path)
    known = taxonomy().find([key for _, key in lines]) >= 0
    line_of: dict[str, int] = {}
    for (line, key), is_known in zip(lines, known, strict=True):
        if not is_known:
            raise FormatError(
                f"unknown synset id {key[:40]!r}: expected a noun of WordNet 3.0 such as n02084071, one id a line",
                path=path,
                line=line,
            )
        if line_of.setdefault(key, line) != line:
            raise FormatError(f"duplicate synset id {key!r}, first on line {line_of[key]}", path=path, line=line)
        if among is not None and key not in among:
            raise FormatError(f"{key!r} is not among the keys to build from: add it there", path=path, line=line)
    return list(line_of)
