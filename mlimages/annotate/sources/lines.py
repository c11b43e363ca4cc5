"""Files of lines as bytes in memory: mapped, or decompressed a batch at a time; whole lines only."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.sources.source import BadRow, Report, Unit
from mlimages.errors import FormatError
from mlimages.storage.batches import BATCH_ROWS

BOM = b"\xef\xbb\xbf"
COMPRESSION = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
#: A longer name is no name of an image: the list lost its line ends, or is no list.
LONGEST_NAME = 65_535
#: A batch also ends with the line at which its text reaches this size, so that its memory is bounded.
BATCH_BYTES = 64 << 20
#: Bytes of text of a work unit; each becomes one part of the table.
UNIT_BYTES = 16 << 20
#: Bytes at the beginning of a file that are read to see what it is.
_HEAD_BYTES = 64 << 10


class Text(NamedTuple):
    """Lines ``data[start:stop]`` of a file, or of what is decompressed of it."""

    path: str
    data: NDArray[np.uint8]
    start: int
    stop: int
    line: int | None  # number of the first line, from 1; None where it is not known, see :meth:`line_number`

    def line_number(self, at: int) -> int:
        """Number of the line that begins at byte `at`, or holds it; counts, so only for messages."""
        if self.line is None:
            return 1 + _count_lines(self.data[:at])
        return self.line + _count_lines(self.data[self.start : at])


class Lines(NamedTuple):
    """A batch of whole lines, ``text.data[start:stop]``, with room to note the bad ones.

    `bad` is for the kernels, see :func:`mlimages.annotate.sources.lineskernels.note`: a single row where the first bad
    line ends the job, else one for each line.
    """

    text: Text
    start: int
    stop: int
    total: int  # lines
    tabs: int  # in all of them
    bad: NDArray[np.int64]  # [m, 6]

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.stop - self.start

    def report_bad(self, wrong: int, report: Report, reasons: Callable[[str], Mapping[int, str]]) -> None:
        """Report the `wrong` bad lines that a kernel noted; a FormatError where bad rows end the job.

        `reasons` takes what was found, as messages show it, and returns the message for each kind of problem.
        """
        data, first = self.text.data, self.text.line_number(self.start) if wrong else 0
        for line, begin, end, problem, token, token_end in self.bad[:wrong].tolist():
            reason = reasons(shown(bytes(data[token:token_end])))[problem]
            report.bad_row(BadRow(self.text.path, first + line, reason, bytes(data[begin:end])))


def batches_of_lines(text: Text, report: Report, *, rows: int = BATCH_ROWS, size: int = BATCH_BYTES) -> Iterator[Lines]:
    """Cut a text into batches of whole lines; the report says whether the first bad line ends the job.

    A batch ends after `rows` lines, or with the line at which it reaches `size` bytes.
    """
    from mlimages.annotate.sources import lineskernels as kernels

    at = text.start
    while at < text.stop:
        end, total, tabs = kernels.scan(text.data, at, text.stop, rows, size)
        bad = np.empty((total if report.on_error == "quarantine" else 1, 6), np.int64)
        yield Lines(text, at, end, total, tabs, bad)
        at = end


def is_compressed(path: str | Path) -> bool:
    """Whether a file is compressed, by its name; such a file cannot be read from its middle."""
    return Path(path).suffix in COMPRESSION


def split_into_units(paths: list[Path], *, unit_bytes: int | None = None, whole: Container[Path] = ()) -> list[Unit]:
    """Units of about `unit_bytes` (`UNIT_BYTES`), of equal size within a file; compressed and `whole` files are one."""
    units: list[Unit] = []
    for path in paths:
        size = path.stat().st_size
        pieces = 1 if is_compressed(path) or path in whole else max(1, -(-size // (unit_bytes or UNIT_BYTES)))
        for start, stop in pairwise(size * k // pieces for k in range(pieces + 1)):
            units.append(Unit(len(units), os.fspath(path), start, stop))
    return units


def read_texts(unit: Unit, report: Report, *, header: bool = False) -> Iterator[Text]:
    """The lines of a unit: a plain file's at once, since it is mapped; a compressed file's a batch at a time.

    A damaged compressed file is reported; with `header` the first line of the file is left out.
    """
    if is_compressed(unit.path):
        for text in _decompressed(unit.path, COMPRESSION[Path(unit.path).suffix], report):
            yield _without_header(text) if header and text.line == 1 else text
        return
    with Path(unit.path).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # unmapped with its last view
    start = len(BOM) if unit.start == 0 and mapped[: len(BOM)] == BOM else _line_start(mapped, unit.start)
    line = 1 if unit.start == 0 else None
    text = Text(unit.path, np.frombuffer(mapped, np.uint8), start, _line_start(mapped, unit.stop), line)
    yield _without_header(text) if header and line == 1 else text


def first_line(path: Path, *, expected: str) -> bytes:
    """The first line of a file that may be compressed, without its end and byte order mark.

    Raises
    ------
    FormatError
        For an empty file, a damaged one, or a line that does not end within 64 KiB; names what was `expected`.
    """
    try:
        if is_compressed(path):
            with pa.CompressedInputStream(pa.OSFile(str(path)), COMPRESSION[path.suffix]) as stream:
                head = bytes(stream.read(_HEAD_BYTES))
        else:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
    except OSError as error:
        if error.errno is not None:
            raise
        raise FormatError(f"the {COMPRESSION[path.suffix]} file is damaged ({error})", path=path) from None
    if not head:
        raise FormatError(f"the file is empty, {expected}", path=path)
    line, ended, _ = head.removeprefix(BOM).partition(b"\n")
    if not ended and len(head) == _HEAD_BYTES:
        raise FormatError(f"found {shown(line)} without a line end, {expected}", path=path, line=1)
    return line.removesuffix(b"\r")


def shown(token: bytes) -> str:
    """A token for a message: quoted, and cut where it is long."""
    text = repr(token[:60].decode("utf-8", "backslashreplace"))
    return text if len(token) <= 60 else f"{text}... ({len(token)} bytes)"


def _without_header(text: Text) -> Text:
    from mlimages.annotate.sources import lineskernels as kernels

    end, _, _ = kernels.scan(text.data, text.start, text.stop, 1, BATCH_BYTES)
    return text._replace(start=end, line=2)


def _line_start(mapped: mmap.mmap, at: int) -> int:
    """The first byte at or after `at` at which a line begins."""
    if at == 0:
        return 0
    end = mapped.find(b"\n", at - 1)
    return len(mapped) if end < 0 else end + 1


def _count_lines(data: NDArray[np.uint8]) -> int:
    return sum(int(np.count_nonzero(data[k : k + BATCH_BYTES] == 10)) for k in range(0, len(data), BATCH_BYTES))


def _decompressed(path: str, compression: str, report: Report) -> Iterator[Text]:
    """Whole lines of a compressed file, a batch at a time."""
    from mlimages.annotate.sources import lineskernels as kernels

    kept = b""
    line = 1
    fault = ""
    blocks = _blocks(path, compression)
    while True:
        block = next(blocks, None)
        if isinstance(block, OSError):
            fault = f"the {compression} file is damaged or cut short ({block})"
            kept = kept[: kept.rfind(b"\n") + 1]  # of the line it ends in, nothing is certain
            block = None
        ended = block is None
        kept = kept + block if block else kept
        if line == 1 and kept.startswith(BOM):
            kept = kept[len(BOM) :]
        data = np.frombuffer(kept, np.uint8)
        whole = len(kept) if ended else kept.rfind(b"\n") + 1
        at = 0
        while at < whole:
            end, lines, _ = kernels.scan(data, at, whole, BATCH_ROWS, BATCH_BYTES)
            if not ended and lines < BATCH_ROWS and end - at < BATCH_BYTES:
                break  # not yet a whole batch
            yield Text(path, data, at, end, line)
            at, line = end, line + lines
        kept = kept[at:]
        if ended:
            break
    if fault:
        report.bad_row(BadRow(path, line, fault, b""))


def _blocks(path: str, compression: str) -> Iterator[bytes | OSError]:
    """The content of a compressed file; of a damaged one all that can be had, then the error."""
    size = BATCH_BYTES // 8
    done = 0
    while True:
        with pa.CompressedInputStream(pa.OSFile(path), compression) as stream:
            if done:  # a read that meets the fault gives nothing: go there again, and on with smaller steps
                stream.read(done)
            try:
                while block := stream.read(size):
                    done += len(block)
                    yield block
                return
            except OSError as error:
                if size == 1:
                    yield error
                    return
                size = max(1, size // 256)
