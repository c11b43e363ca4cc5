"""Image lists: ``name<TAB>label:confidence...``, one image a line, as ML-Images published them.

A label is a category index or a key; ``label`` alone means a confidence of 1. Names are file names, ImageNet ids or
URLs. LF or CRLF line ends, a byte order mark and a last line without its end are understood; gzip and zstd files are
decompressed as they are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlimages.annotate.sources.lines import Text, is_compressed, read_texts
from mlimages.annotate.sources.mapping import KeyTable
from mlimages.annotate.sources.source import (
    BATCH_BYTES,
    BadRow,
    Report,
    Unit,
    expand_paths,
    given_batch,
    split_into_units,
)
from mlimages.errors import FormatError
from mlimages.storage.batches import BATCH_ROWS

if TYPE_CHECKING:
    from mlimages.hierarchy import Hierarchy

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
        self._keys = KeyTable.of(hierarchy.keys)
        for path in self.inputs:
            if path.stat().st_size == 0:
                raise FormatError(f"the file is empty, {_EXPECTED}", path=path)

    def units(self) -> list[Unit]:
        """Pieces of about 16 MiB; a compressed file is one."""
        return split_into_units(self.inputs, splittable=[not is_compressed(path) for path in self.inputs])

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit, up to 131,072 a batch."""
        for text in read_texts(unit, report):
            yield from self._parse(text, report)

    def _parse(self, text: Text, report: Report) -> Iterator[pa.RecordBatch]:
        from mlimages.annotate.sources import imagelistkernels as kernels

        at = text.start
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
            first = text.line_number(at) if wrong else 0
            for note in bad[:wrong].tolist():
                report.bad_row(self._bad_row(text, first + note[0], *note[1:]))
            yield given_batch(
                names[:used], name_offsets[: rows + 1], offsets[: rows + 1], labels[:entries], confidences[:entries]
            )
            at = end

    def _bad_row(
        self, text: Text, line: int, first: int, last: int, problem: int, token: int, token_end: int
    ) -> BadRow:
        from mlimages.annotate.sources import imagelistkernels as kernels

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
