"""Selecting from a table: the images that have certain categories, or that a list names."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.labels.schema import Origin
from mlimages.annotate.sources.lines import COMPRESSION
from mlimages.annotate.sources.source import Report
from mlimages.annotate.tables.annotations import AnnotationTable, TableLike, as_table
from mlimages.annotate.tables.derive import Run, derive, rows_tasks
from mlimages.errors import FormatError, MlimagesError, TableError
from mlimages.job.engines import EngineName
from mlimages.storage.arrow import list_batch, offsets_of
from mlimages.storage.batches import rebatched
from mlimages.storage.names import NameIndex, hash_names

if TYPE_CHECKING:
    from mlimages.hierarchy import CategoryLike
    from mlimages.job.job import Progress


def filter(  # noqa: A001  (what pandas, Arrow and datasets call it)
    table: TableLike,
    out: str | os.PathLike[str],
    *,
    categories: Iterable[CategoryLike] | None = None,
    match: Literal["any", "all"] = "any",
    restrict: Iterable[CategoryLike] | None = None,
    min_confidence: float | None = None,
    origins: Iterable[Origin | str] | None = None,
    keep_empty: bool = False,
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> AnnotationTable:
    """Keep some labels of a table, and of its images those that then have certain categories.

    Parameters
    ----------
    table : AnnotationTable or path-like
        The table to filter.
    out : path-like
        Folder of the new table, new or empty.
    categories : iterable of categories, optional
        Keep the images in which any (or all, see `match`) of these is present among the labels that were kept.
    match : {"any", "all"}
        Whether an image must have any or all of the `categories`.
    restrict : iterable of categories, optional
        Keep only the labels of these. Their ancestors are not among them unless they are named.
    min_confidence : float, optional
        Drop present labels that are less confident. A verified absence stays.
    origins : iterable of Origin or str, optional
        Keep only the labels of these origins, such as ``["given"]``.
    keep_empty : bool
        Keep images that are left without any label.
    engine, workers, resume, progress
        As those of :func:`mlimages.annotate.pipeline.annotate`.

    Returns
    -------
    AnnotationTable
        The new table, in the order of the old one and with its hierarchy. Its manifest counts ``images_left_out`` and
        ``labels_left_out``.

    Raises
    ------
    UnknownCategoryError
        For a category that is not in the hierarchy of the table.
    MlimagesError
        If there is no condition, or a confidence or an origin is invalid.
    JobError
        If `out` is not empty, or the job to resume was begun with other inputs or options.
    """
    table = as_table(table)
    if match not in ("any", "all"):
        raise MlimagesError(f"match={match!r}: expected any or all")
    if min_confidence is not None and not 0 < min_confidence <= 1:
        raise MlimagesError(f"min_confidence={min_confidence}: expected a confidence above 0, up to 1")
    if categories is None and restrict is None and min_confidence is None and origins is None:
        raise MlimagesError("nothing to filter by: give categories, restrict, min_confidence or origins")
    rules = _Rules(
        wanted=None if categories is None else _mask(table, categories, "categories"),
        match_all=match == "all",
        allowed=None if restrict is None else _mask(table, restrict, "restrict"),
        min_confidence=min_confidence,
        origins=None if origins is None else np.array(sorted({_origin(each) for each in origins}), np.uint8),
        keep_empty=keep_empty,
    )
    tasks = [_FilterTask(part, table, rules) for part in range(len(table.manifest.parts))]
    run = Run(engine, workers, resume, progress)
    return derive([table], out, tasks, run, operation="filter", options=rules.to_dict(table.hierarchy.keys))


def subset(
    table: TableLike,
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | Iterable[str],
    engine: EngineName = "local",
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> AnnotationTable:
    """Keep the images that a list names.

    Parameters
    ----------
    table : AnnotationTable or path-like
        The table to select from.
    out : path-like
        Folder of the new table, new or empty.
    images : path-like or iterable of str
        A file with one name per line, which ends at the first tab, so that an image list is accepted (gzip and zstd are
        decompressed); or the names. They are held in memory.
    engine, workers, resume, progress
        As those of :func:`mlimages.annotate.pipeline.annotate`.

    Returns
    -------
    AnnotationTable
        The new table, in the order of the old one. ``manifest.options`` says how many names were listed and how many
        of them the table does not hold (``not_found``).

    Raises
    ------
    TableError
        If the table contains none of them.
    JobError
        If `out` is not empty, or the job to resume was begun with other inputs or options.
    """
    table = as_table(table)
    names = _names(images)
    wanted = pa.array(sorted(names), pa.string())
    keep = np.zeros(len(table), bool)
    found = np.zeros(len(wanted), bool)
    index = NameIndex(hash_names(wanted))
    at = 0
    for batch in table.batches(columns=["image"]):
        here = index.find(hash_names(batch.column("image")))
        keep[at : at + len(here)] = here >= 0
        found[here[here >= 0]] = True
        at += len(here)
    if not found.any():
        shown = f", such as {wanted[0].as_py()!r}" if len(wanted) else ""
        raise TableError(
            f"{table.folder}: holds none of the {len(wanted):,} images listed{shown}; names are case-sensitive and "
            "written as in the list"
        )
    digest = hashlib.sha256("\n".join(wanted.to_pylist()).encode()).hexdigest()  # another list is no resumption
    options = {"images": len(wanted), "not_found": int((~found).sum()), "images_sha256": digest}
    run = Run(engine, workers, resume, progress)
    return derive([table], out, rows_tasks(table, keep), run, operation="subset", options=options)


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """The conditions of a filter; masks are bool [n], and None keeps all."""

    wanted: NDArray[np.bool_] | None
    match_all: bool
    allowed: NDArray[np.bool_] | None
    min_confidence: float | None
    origins: NDArray[np.uint8] | None
    keep_empty: bool

    def to_dict(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """The options that the manifest states."""

        def named(mask: NDArray[np.bool_] | None) -> list[str] | None:
            return None if mask is None else [keys[i] for i in np.flatnonzero(mask)]

        return {
            "categories": named(self.wanted),
            "match": "all" if self.match_all else "any",
            "restrict": named(self.allowed),
            "min_confidence": self.min_confidence,
            "origins": None if self.origins is None else [Origin(each).name.lower() for each in self.origins],
            "keep_empty": self.keep_empty,
        }

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the labels, and of its rows those, that are kept."""
        image, bounds, labels, confidences, origins = GivenLabels.of(batch).own()
        keep = np.ones(len(labels), bool)
        if self.allowed is not None:
            keep &= self.allowed[labels]
        if self.min_confidence is not None:
            keep &= (confidences == 0) | (confidences >= np.float32(self.min_confidence))
        if self.origins is not None:
            keep &= np.isin(origins, self.origins)
        offsets = offsets_of(keep)[bounds]
        rows = np.ones(batch.num_rows, bool) if self.keep_empty else np.diff(offsets) > 0
        if self.wanted is not None:
            present = offsets_of(keep & self.wanted[labels] & (confidences > 0))[bounds]
            rows &= np.diff(present) >= (int(self.wanted.sum()) if self.match_all else 1)
        kept = list_batch(batch.schema, image, offsets, labels[keep], confidences[keep], origins[keep])
        return kept.filter(pa.array(rows))


@dataclass(frozen=True, slots=True, eq=False)
class _FilterTask:
    """A part to be filtered."""

    index: int
    table: AnnotationTable
    rules: _Rules

    @property
    def size(self) -> int:
        return self.table.manifest.parts[self.index].bytes

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        return rebatched(self._filtered(report))

    def _filtered(self, report: Report) -> Iterator[pa.RecordBatch]:
        for batch in self.table.part_batches(self.index):
            kept = self.rules.apply(batch)
            report.counts["images_left_out"] += batch.num_rows - kept.num_rows
            report.counts["labels_left_out"] += _labels(batch) - _labels(kept)
            yield kept


def _labels(batch: pa.RecordBatch) -> int:
    return len(batch.column("labels").flatten())


def _mask(table: AnnotationTable, categories: Iterable[CategoryLike], name: str) -> NDArray[np.bool_]:
    if isinstance(categories, str):
        raise MlimagesError(f"{name}={categories!r}: expected a sequence of categories, such as [{categories!r}]")
    mask = np.zeros(len(table.hierarchy), bool)
    mask[table.hierarchy.index(list(categories))] = True
    if not mask.any():
        raise MlimagesError(f"{name}: found no category, expected at least one")
    return mask


def _origin(origin: Origin | str) -> int:
    names = {each.name.lower(): each.value for each in Origin}
    if isinstance(origin, Origin):
        return origin.value
    if origin not in names:
        raise MlimagesError(f"unknown origin {origin!r}: expected one of {', '.join(names)}")
    return names[origin]


def _names(images: str | os.PathLike[str] | Iterable[str]) -> set[str]:
    """The names that a file or a sequence holds."""
    if not isinstance(images, str | os.PathLike):
        return set(images)
    path = Path(images)
    data = path.read_bytes()
    compression = COMPRESSION.get(path.suffix)
    try:
        if compression is not None:
            with pa.CompressedInputStream(pa.BufferReader(data), compression) as stream:
                data = stream.read()
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError("found bytes that are no UTF-8, expected a name a line", path=path, line=line) from None
    except OSError as error:
        raise FormatError(f"the {compression} file is damaged or cut short ({error})", path=path) from None
    names = {line.partition("\t")[0].rstrip("\r") for line in text.split("\n")}
    names.discard("")
    if not names:
        raise FormatError("found no name, expected one a line", path=path)
    return names
