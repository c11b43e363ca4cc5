"""Text files of which an error names the line."""

from __future__ import annotations

import os
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
