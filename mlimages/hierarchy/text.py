"""UTF-8 text files, with errors that name the line."""

from __future__ import annotations

import os
from pathlib import Path

from mlimages.errors import FormatError

_MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors write


def read_utf8(path: str | os.PathLike[str]) -> str:
    """Read a UTF-8 file, without its byte order mark.

    Raises
    ------
    FormatError
        For invalid UTF-8; the message names the line.
    """
    return decode_utf8(Path(path).read_bytes().removeprefix(_MARK), path=path)


def decode_utf8(data: bytes, *, path: str | os.PathLike[str]) -> str:
    """Decode the UTF-8 content of the file `path`.

    Raises
    ------
    FormatError
        For invalid UTF-8; the message names the line.
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
    """The non-blank lines of a file, stripped, with their numbers from 1.

    Raises
    ------
    FormatError
        For invalid UTF-8, and if all lines are blank.
    """
    text = decode_utf8(data.removeprefix(_MARK), path=path)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise FormatError("the file is empty, expected one entry a line", path=path)
    return lines
