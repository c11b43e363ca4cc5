"""Image lists: ``name<TAB>label:confidence...``, one image per line, as ML-Images published them.

A label is a category index or a key; ``label`` alone means a confidence of 1. Names are file names, ImageNet ids or
URLs. LF or CRLF line ends, a byte order mark and a last line without its end are understood; gzip and zstd files are
decompressed as they are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlimages.annotate.sources.lines import (
    BATCH_BYTES,
    LONGEST_NAME,
    Lines,
    batches_of_lines,
    read_texts,
    split_into_units,
)
from mlimages.annotate.sources.mapping import KeyTable
from mlimages.annotate.sources.source import Report, RowBuffers, Unit, UnitSource, expand_paths
from mlimages.errors import FormatError
from mlimages.hierarchy import Hierarchy
from mlimages.storage.batches import BATCH_ROWS

_EXPECTED = "expected name<tab>label:confidence..., such as img.jpg<tab>5193:0.9"


class ImageList(UnitSource):
    """Read image lists.

    Parameters
    ----------
    paths : path-like or list of them
        Files, or patterns of them (``lists/*.txt.gz``).
    hierarchy : Hierarchy
        The categories, whose indices or keys the lists use.
    unit_bytes : int, optional
        Text of a unit, 16 MiB by default.
    batch_rows, batch_bytes : int
        A batch ends after `batch_rows` lines, or with the line at which it reaches `batch_bytes` bytes.

    Raises
    ------
    FormatError
        For an empty file.
    """

    format = "list"

    def __init__(
        self,
        paths: str | os.PathLike[str] | list[str | os.PathLike[str]],
        hierarchy: Hierarchy,
        *,
        unit_bytes: int | None = None,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self.inputs: list[Path] = expand_paths(paths)
        self.state = {}
        self._unit_bytes, self._batch_rows, self._batch_bytes = unit_bytes, batch_rows, batch_bytes
        self._categories = len(hierarchy)
        self._keys = KeyTable.of(hierarchy.keys)
        for path in self.inputs:
            if path.stat().st_size == 0:
                raise FormatError(f"the file is empty, {_EXPECTED}", path=path)

    def units(self) -> list[Unit]:
        """Pieces of equal size; a compressed file is one."""
        return split_into_units(self.inputs, unit_bytes=self._unit_bytes)

    def read(self, unit: Unit, report: Report) -> Iterator[pa.RecordBatch]:
        """The rows of a unit."""
        for text in read_texts(unit, report):
            for lines in batches_of_lines(text, report, rows=self._batch_rows, size=self._batch_bytes):
                yield self._parse(lines, report)

    def _parse(self, lines: Lines, report: Report) -> pa.RecordBatch:
        from mlimages.annotate.sources import imagelistkernels as kernels

        buffers = RowBuffers.of(lines.total, name_bytes=lines.size, labels=lines.tabs)
        confidences = np.empty(lines.tabs, np.float32)
        span = lines.text.data, lines.start, lines.stop
        rows, labels, name_bytes, wrong = kernels.parse(
            *span, self._categories, tuple(self._keys), buffers, confidences, lines.bad
        )
        lines.report_bad(wrong, report, self._reasons)
        return buffers.batch(rows, name_bytes=name_bytes, labels=labels, confidences=confidences)

    def _reasons(self, found: str) -> dict[int, str]:
        from mlimages.annotate.sources import imagelistkernels as kernels

        return {
            kernels.EMPTY_LINE: f"found an empty line, {_EXPECTED}",
            kernels.NO_TAB: f"found no tab in {found}, {_EXPECTED}",
            kernels.EMPTY_NAME: f"found no name before the tab, {_EXPECTED}",
            kernels.BAD_NAME: f"found the control character {found} in a name, expected text",
            kernels.LONG_NAME: f"found the name {found}, expected at most {LONGEST_NAME} bytes",
            kernels.BAD_UTF8: f"found the name {found}, expected UTF-8",
            kernels.UNKNOWN_LABEL: f"found the label {found}, expected an index or a key of the hierarchy",
            kernels.OUT_OF_RANGE: f"found the label {found}, expected an index from 0 to {self._categories - 1}",
            kernels.BAD_CONFIDENCE: f"found {found}, expected a number such as 0.8 as confidence",
            kernels.OUTSIDE: f"found {found}, expected a confidence from 0 to 1",
        }
