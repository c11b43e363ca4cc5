"""Image lists: ``name<TAB>label:confidence...``, one image a line, as ML-Images published them.

A label is a category index or a key; ``label`` alone means a confidence of 1. Names are file names, ImageNet ids or
URLs. LF or CRLF line ends, a byte order mark and a last line without its end are understood; gzip and zstd files are
decompressed as they are read.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.augment import readonly
from mlimages.annotate.schema import GIVEN_SCHEMA
from mlimages.annotate.source import BATCH_BYTES, BATCH_ROWS, BadRow, Report, Unit, expand_paths, split_into_units
from mlimages.errors import FormatError

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy

_BOM = b"\xef\xbb\xbf"
COMPRESSION = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_EXPECTED = "expected name<tab>label:confidence..., such as img.jpg<tab>5193:0.9"


class ImageList:
    """Read image lists.

    Parameters
    ----------
    paths : path-like or list of them
        Files, or patterns of them (``lists/*.txt.gz``).
    hierarchy : Hierarchy
        Whose indices and keys the lists use.

    Raises
    ------
    FormatError
        For an empty file.
    """

    def __init__(self, paths: str | os.PathLike[str] | list[str | os.PathLike[str]], hierarchy: Hierarchy) -> None:
        self.inputs: list[Path] = expand_paths(paths)
        self._categories = len(hierarchy)
        self._keys = _KeyTable.of(hierarchy.keys)
        for path in self.inputs:
            if path.stat().st_size == 0:
                raise FormatError(f"the file is empty, {_EXPECTED}", path=path)

    def units(self) -> list[Unit]:
        """Pieces of about 16 MiB; a compressed file is one."""
        return split_into_units(self.inputs, splittable=[path.suffix not in COMPRESSION for path in self.inputs])

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit, up to 131,072 a batch."""
        for text in self._texts(unit, report):
            yield from self._parse(text, report)

    def _texts(self, unit: Unit, report: Report) -> Iterator[_Text]:
        compression = COMPRESSION.get(Path(unit.path).suffix)
        if compression is not None:
            yield from _decompressed(unit.path, compression, report)
            return
        with Path(unit.path).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # unmapped with its last view
        start = len(_BOM) if unit.start == 0 and mapped[: len(_BOM)] == _BOM else _line_start(mapped, unit.start)
        yield _Text(unit.path, np.frombuffer(mapped, np.uint8), start, _line_start(mapped, unit.stop), None)

    def _parse(self, text: _Text, report: Report) -> Iterator[pa.RecordBatch]:
        from mlimages.annotate import listkernels as kernels

        at = text.start
        line: int | None = text.line
        while at < text.stop:
            end, lines, tabs = kernels.scan(text.data, at, text.stop, BATCH_ROWS, BATCH_BYTES)
            names = np.empty(end - at, np.uint8)
            name_offsets, offsets = np.empty(lines + 1, np.int32), np.empty(lines + 1, np.int32)
            labels, confidences = np.empty(tabs, np.int32), np.empty(tabs, np.float32)
            skip_bad = report.on_error == "quarantine"
            bad = np.empty((lines if skip_bad else 1, 6), np.int64)
            rows, entries, used, wrong = kernels.parse(
                text.data,
                at,
                end,
                self._categories,
                skip_bad,
                *self._keys,
                names,
                name_offsets,
                offsets,
                labels,
                confidences,
                bad,
            )
            if wrong and line is None:  # lines before this unit are counted only where a message needs them
                line = 1 + _count_lines(text.data[:at])
            for note in bad[:wrong].tolist():
                report.bad_row(self._bad_row(text, (line or 1) + note[0], *note[1:]))
            yield _batch(rows, names[:used], name_offsets, offsets, labels[:entries], confidences[:entries])
            at = end
            line = line + lines if line is not None else None

    def _bad_row(
        self, text: _Text, line: int, first: int, last: int, problem: int, token: int, token_end: int
    ) -> BadRow:
        from mlimages.annotate import listkernels as kernels

        shown = repr(bytes(text.data[token : min(token_end, token + 60)]).decode("utf-8", "backslashreplace"))
        if token_end - token > 60:
            shown += f"... ({token_end - token} bytes)"
        reason = {
            kernels.EMPTY_LINE: f"found an empty line, {_EXPECTED}",
            kernels.NO_TAB: f"found no tab in {shown}, {_EXPECTED}",
            kernels.EMPTY_NAME: f"found no name before the tab, {_EXPECTED}",
            kernels.BAD_NAME: f"found the control character {shown} in a name, expected text",
            kernels.LONG_NAME: f"found the name {shown}, expected at most {kernels.LONGEST_NAME} bytes",
            kernels.BAD_UTF8: f"found the name {shown}, expected UTF-8",
            kernels.UNKNOWN_LABEL: f"found the label {shown}, expected an index or a key of the hierarchy",
            kernels.OUT_OF_RANGE: f"found the label {shown}, expected an index from 0 to {self._categories - 1}",
            kernels.BAD_CONFIDENCE: f"found {shown}, expected a number such as 0.8 as confidence",
            kernels.OUTSIDE: f"found {shown}, expected a confidence from 0 to 1",
        }[problem]
        return BadRow(text.path, line, reason, bytes(text.data[first:last]))


class _Text(NamedTuple):
    """Lines ``data[start:stop]`` of a file; `line` is the number of the first, None where it is not known."""

    path: str
    data: NDArray[np.uint8]
    start: int
    stop: int
    line: int | None


class _KeyTable(NamedTuple):
    """The keys of a hierarchy as a hash table over bytes: what the kernels look keys up in."""

    keys: NDArray[np.uint8]
    offsets: NDArray[np.int64]  # [n + 1]
    slots: NDArray[np.int32]  # a power of two at least twice n

    @classmethod
    def of(cls, keys: Iterable[str]) -> _KeyTable:
        from mlimages.annotate import listkernels as kernels

        encoded = [key.encode() for key in keys]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(key) for key in encoded], out=offsets[1:])
        text = np.frombuffer(b"".join(encoded), np.uint8)
        slots = np.full(1 << (2 * len(encoded)).bit_length(), -1, np.int32)
        kernels.fill_slots(text, offsets, slots)
        return cls(text, readonly(offsets), readonly(slots))


def _batch(
    rows: int,
    names: NDArray[np.uint8],
    name_offsets: NDArray[np.int32],
    offsets: NDArray[np.int32],
    labels: NDArray[np.int32],
    confidences: NDArray[np.float32],
) -> pa.RecordBatch:
    starts = pa.py_buffer(offsets)
    return pa.RecordBatch.from_arrays(
        [
            pa.StringArray.from_buffers(rows, pa.py_buffer(name_offsets), pa.py_buffer(names)),
            pa.ListArray.from_buffers(GIVEN_SCHEMA.field(1).type, rows, [None, starts], children=[pa.array(labels)]),
            pa.ListArray.from_buffers(
                GIVEN_SCHEMA.field(2).type, rows, [None, starts], children=[pa.array(confidences)]
            ),
        ],
        schema=GIVEN_SCHEMA,
    )


def _line_start(mapped: mmap.mmap, at: int) -> int:
    """First byte, from `at` on, of a line that begins at or after `at`."""
    if at == 0:
        return 0
    end = mapped.find(b"\n", at - 1)
    return len(mapped) if end < 0 else end + 1


def _count_lines(data: NDArray[np.uint8]) -> int:
    return sum(int(np.count_nonzero(data[k : k + BATCH_BYTES] == 10)) for k in range(0, len(data), BATCH_BYTES))


def _decompressed(path: str, compression: str, report: Report) -> Iterator[_Text]:
    """Whole lines of a compressed file, a batch at a time."""
    from mlimages.annotate import listkernels as kernels

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
        if line == 1 and kept.startswith(_BOM):
            kept = kept[len(_BOM) :]
        data = np.frombuffer(kept, np.uint8)
        whole = len(kept) if ended else kept.rfind(b"\n") + 1
        at = 0
        while at < whole:
            end, lines, _ = kernels.scan(data, at, whole, BATCH_ROWS, BATCH_BYTES)
            if not ended and lines < BATCH_ROWS and end - at < BATCH_BYTES:
                break  # not yet a whole batch
            yield _Text(path, data, at, end, line)
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
