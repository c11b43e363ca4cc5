"""Exporting tables for other programs: image lists (the published text format), CSV, and Croissant metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.labels.schema import Origin
from mlimages.annotate.sources.lines import COMPRESSION
from mlimages.annotate.tables.annotations import AnnotationTable, TableLike, as_table
from mlimages.errors import LabelError, MlimagesError
from mlimages.job.engines import EngineName, engine_named
from mlimages.job.local import checked_workers, in_order
from mlimages.job.task import Calls
from mlimages.kernels import load_kernels
from mlimages.storage.arrow import readonly, text_of
from mlimages.storage.batches import BATCH_ROWS
from mlimages.storage.files import replacing
from mlimages.storage.rows import StoredRows

ExportFormat = Literal["list", "csv", "croissant"]

_FORMATS: dict[str, ExportFormat] = {".csv": "csv", ".json": "croissant"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What :func:`export` wrote.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    images : int
        Images in it.
    left_out : int
        Images without any label, which a list and a CSV file of labels cannot hold.
    """

    path: Path
    images: int
    left_out: int


def export(
    table: TableLike,
    path: str | os.PathLike[str],
    *,
    format: ExportFormat | None = None,  # noqa: A002  (what the command and everybody call it)
    keys: bool = False,
    engine: EngineName = "local",
    piece_rows: int = BATCH_ROWS,
    workers: int | None = None,
) -> Exported:
    """Write a table as one file for other programs.

    Parameters
    ----------
    table : AnnotationTable or path-like
        The table to write; every label of it, verified absences (confidence 0) included. Filter it first for fewer.
    path : path-like
        The file. A list or a CSV file is compressed where it ends in ``.gz`` or ``.zst``. An existing file is
        replaced once the new one is whole.
    format : {"list", "csv", "croissant"}, optional
        By default that of the ending: ``.csv``, ``.json`` (Croissant), and anything else is a list. ``list`` is the
        published text: ``name<TAB>index:confidence...``, one line per image. ``csv`` has one line per label: image,
        key, name, confidence, origin. ``croissant`` is JSON metadata (Croissant 1.0) that describes the Parquet files
        of the table; see :func:`mlimages.annotate.tables.croissant.croissant_metadata`.
    keys : bool
        In a list, write the keys of categories in place of their indices.
    engine : {"local", "ray"}
        The engine that formats the text. This process writes it.
    piece_rows : int
        With Ray, images whose text is made by one task; the bytes do not depend on it.
    workers : int, optional
        Threads (or, with Ray, actors); as many as there are cores by default. The bytes do not depend on it.

    Returns
    -------
    Exported
        How many images were written and left out.

    Raises
    ------
    LabelError
        For a name that is empty or contains a control character, which lists cannot hold.
    MlimagesError
        For an unknown format, or keys in a format other than list.

    Notes
    -----
    Confidences are written as the shortest decimal number that reads as the same float32: ``1``, ``0.8``, ``0``.
    """
    table, path = as_table(table), Path(path)
    if format is None:
        format = _FORMATS.get(path.with_suffix("").suffix if path.suffix in COMPRESSION else path.suffix, "list")  # noqa: A001
    if format not in get_args(ExportFormat):
        raise MlimagesError(f"unknown format {format!r}: expected {', '.join(get_args(ExportFormat))}")
    if keys and format != "list":
        raise MlimagesError(f"keys is an option of the format list, not of {format}")
    workers = checked_workers(workers)
    if piece_rows < 1:
        raise MlimagesError(f"piece_rows={piece_rows}: expected at least 1")
    engine_named(engine)  # for an unknown one, before anything is written
    if format == "croissant":
        from mlimages.annotate.tables.croissant import write_croissant

        write_croissant(table, path)
        return Exported(path, len(table), 0)
    formatter = _ListFormatter(table, keys=keys) if format == "list" else _CsvFormatter(table)
    written = 0
    left_out = 0
    with _compressing(path) as file:
        file.write(formatter.header)
        for text, rows, empty in _texts(table, formatter, engine, piece_rows, workers):
            file.write(text)
            written += rows - empty
            left_out += empty
    return Exported(path, written, left_out)


def _texts(
    table: AnnotationTable, formatter: _Formatter, engine: EngineName, piece_rows: int, workers: int
) -> Iterator[_Text]:
    """The texts of all batches in order."""
    if engine == "local":
        batches = table.batches(columns=formatter.columns, rows=formatter.rows)
        yield from in_order(formatter.format, batches, workers=workers, threads=True)
        return
    from mlimages.job.ray import run_on_ray

    pieces = [(start, min(len(table), start + piece_rows)) for start in range(0, len(table), piece_rows)]
    work = Calls(partial(_texts_of, StoredRows(table, formatter.columns), formatter))
    for texts in run_on_ray(work, pieces, workers, in_order=True):
        yield from texts


def _texts_of(rows: StoredRows, formatter: _Formatter, piece: tuple[int, int]) -> list[_Text]:
    """The texts of some rows."""
    return [
        formatter.format(batch.slice(start, formatter.rows))
        for batch in rows.read(*piece)
        for start in range(0, batch.num_rows, formatter.rows)
    ]


#: The text, the rows of the batch, and how many of them have no label and so no line.
_Text = tuple["pa.Buffer | NDArray[np.uint8]", int, int]


class _ListFormatter:
    """Formats batches as lines of an image list."""

    header = b""
    columns: tuple[str, ...] = ("image", "labels", "confidences")
    rows = 65_536  # formatted at a time

    def __init__(self, table: AnnotationTable, *, keys: bool) -> None:
        shown = table.hierarchy.keys if keys else map(str, range(len(table.hierarchy)))
        load_kernels("mlimages.annotate.tables.exportingkernels")
        self._labels = text_of(pa.array(shown, pa.string()))

    def format(self, batch: pa.RecordBatch) -> _Text:
        """The text of a batch."""
        from mlimages.annotate.tables import exportingkernels as textkernels

        given = GivenLabels.of(batch)
        confidences = pa.array(given.confidences).dictionary_encode()
        code_texts = text_of(confidences.dictionary.cast(pa.string()))  # the shortest that reads the same
        codes = readonly(confidences.indices.to_numpy())
        rows = *text_of(given.image), given.offsets, given.labels
        size, bad = textkernels.measure(rows, self._labels, codes, code_texts)
        if bad >= 0:
            name = given.image[bad].as_py()
            found = "a control character in the name" if name else "an empty name"
            raise LabelError(f"image {name!r}: found {found}, which no list can hold")
        out = np.empty(size, np.uint8)
        empty = textkernels.write(rows, self._labels, codes, code_texts, out)
        return out, batch.num_rows, empty


class _CsvFormatter:
    """Formats batches as lines of CSV, one per label."""

    header = b"image,key,name,confidence,origin\n"
    columns: tuple[str, ...] = ("image", "labels", "confidences", "origins")
    rows = 8_192  # a line of CSV takes ten times the bytes of a label in a list

    def __init__(self, table: AnnotationTable) -> None:
        self._keys = pa.array(table.hierarchy.keys, pa.string())
        self._names = pa.array([", ".join(each.names) for each in table.hierarchy], pa.string())
        self._origins = pa.array([each.name.lower() for each in sorted(Origin)], pa.string())

    def format(self, batch: pa.RecordBatch) -> _Text:
        """The text of a batch."""
        lists = batch.column("labels")
        labels = lists.flatten()
        rows = pa.record_batch(
            {
                "image": batch.column("image").take(pc.list_parent_indices(lists)),
                "key": self._keys.take(labels),
                "name": self._names.take(labels),
                "confidence": batch.column("confidences").flatten(),
                "origin": self._origins.take(batch.column("origins").flatten()),
            }
        )
        sink = pa.BufferOutputStream()
        pacsv.write_csv(rows, sink, pacsv.WriteOptions(include_header=False, quoting_style="needed"))
        return sink.getvalue(), batch.num_rows, pc.sum(pc.equal(pc.list_value_length(lists), 0)).as_py() or 0


_Formatter = _ListFormatter | _CsvFormatter


@contextmanager
def _compressing(path: Path) -> Iterator[IO[Any]]:
    """A file that takes its name once it is complete, compressed as its ending says."""
    compression = COMPRESSION.get(path.suffix)
    with replacing(path) as file:
        if compression is None:
            yield file
        else:
            with pa.CompressedOutputStream(pa.PythonFile(file), compression) as stream:
                yield stream
