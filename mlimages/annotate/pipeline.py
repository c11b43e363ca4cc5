"""The steps joined up: read, augment, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.parts import Additions, table_job
from mlimages.annotate.propagation.augment import Augmenter, Propagation
from mlimages.annotate.propagation.rules import RuleConfidence, Rules
from mlimages.annotate.sources.imagelist import ImageList
from mlimages.annotate.sources.imagenet.lists import ImageNet
from mlimages.annotate.sources.imagenet.tree import ImageNetTree
from mlimages.annotate.sources.openimages.files import OpenImages
from mlimages.annotate.sources.openimages.notes import REMOVED_LABELS
from mlimages.annotate.sources.source import BadRow, OnError, Report, Source, Unit
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import MlimagesError
from mlimages.hierarchy import Hierarchy, load_hierarchy
from mlimages.job.folder import SCRATCH
from mlimages.job.job import Progress
from mlimages.job.local import cores
from mlimages.job.task import Task
from mlimages.kernels import load_kernels
from mlimages.storage.batches import BATCH_ROWS, PART_ROWS
from mlimages.storage.files import replacing

Format = Literal["list", "imagenet", "open-images"]


def annotate(
    source: Any,
    hierarchy: Hierarchy | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    propagation: Propagation | str = "default",
    rules: Any = None,
    rule_confidence: RuleConfidence = "one",
    format: Format = "list",  # noqa: A002  (what the command and everybody call it)
    on_error: OnError = "raise",
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Any:
    """Regenerate annotations: add to every image what its labels bring, and write an annotation table.

    Parameters
    ----------
    source : path-like, list of them, DataFrame, pyarrow Table or RecordBatch, or iterable of RecordBatch
        Label lists (globs allowed) in the given format, or labels in memory with the columns image, labels and, where
        they are known, confidences.
    hierarchy : Hierarchy or str
        The categories; a name or path is loaded by :func:`mlimages.load_hierarchy`.
    out : path-like, optional
        Folder of the table, new or empty. Without it the annotations come back in memory.
    propagation : Propagation or {"default", "published", "parent", "none"}
        What labels bring.
    rules : path-like or DataFrame, optional
        Co-occurrence rules, applied last: a CSV (:mod:`mlimages.annotate.propagation.rules`), or what
        :meth:`Cooccurrence.rules <mlimages.annotate.cooccurrence.counts.Cooccurrence.rules>` returns.
    rule_confidence : {"one", "p"}
        The confidence of a label that a rule adds: 1, as published, or the rule's probability.
    format : {"list", "imagenet", "open-images"}
        What the files are.
    on_error : {"raise", "quarantine"}
        Whether the first bad row ends the job, or bad rows are written to ``quarantine/`` with the reason.
    workers : int, optional
        Threads (or, with Ray, tasks at a time); as many as there are cores by default. The bytes of the table do not
        depend on it.
    engine : {"local", "ray"}
        Where the work is done.
    resume : bool
        Go on where an interrupted job stopped.
    progress : callable, optional
        Called with a :class:`~mlimages.job.job.Progress` after every part.
    **options
        More of the format; None is as good as not given. For ``imagenet``: `unmapped`, `classes`
        (:class:`~mlimages.annotate.sources.imagenet.lists.ImageNet`); for ``open-images``: `mapping`, `images_csv`,
        `class_descriptions` (:class:`~mlimages.annotate.sources.openimages.files.OpenImages`).

    Returns
    -------
    AnnotationTable
        With `out`. Without it: a DataFrame for a DataFrame, a Table for a Table, a RecordBatch for a RecordBatch, and
        otherwise an iterator of RecordBatches.

    Raises
    ------
    FormatError, LabelError
        For a bad row (file, line, what was found and expected), unless these are quarantined.
    JobError
        Where `out` is not empty, or what is to be resumed was begun with another input or other options.
    """
    if not isinstance(hierarchy, Hierarchy):
        hierarchy = load_hierarchy(hierarchy)
    if isinstance(propagation, str):
        propagation = Propagation.named(propagation)
    if workers is not None and workers < 1:
        raise MlimagesError(f"workers={workers}: expected at least 1")
    if on_error not in ("raise", "quarantine"):
        raise MlimagesError(f"on_error={on_error!r}: expected raise or quarantine")
    compiled = None if rules is None else Rules.of(rules, hierarchy, confidence=rule_confidence)
    options = {name: value for name, value in options.items() if value is not None}
    in_memory = not _is_paths(source)
    if in_memory and not isinstance(source, Iterable | pa.Table | pa.RecordBatch):
        raise MlimagesError(
            f"found a {type(source).__name__} as source, expected paths, a DataFrame, a pyarrow Table or RecordBatches"
        )
    if in_memory and options:
        raise MlimagesError(f"{', '.join(options)}: no option of labels in memory")
    if out is None:
        for name, given in (("resume", resume), ("engine", engine != "local"), ("quarantine", on_error != "raise")):
            if given:
                raise MlimagesError(f"{name} needs out=: without a folder the annotations come back in memory")
        augmenter = Augmenter(hierarchy, propagation, compiled)
        return _in_memory(source if in_memory else _read(open_source(source, hierarchy, format, **options)), augmenter)

    load_kernels(
        "mlimages.annotate.sources.imagelistkernels",
        "mlimages.annotate.propagation.augmentkernels",
        "mlimages.annotate.parquet.writerkernels",
    )
    folder = Path(out)
    describe = partial(table_job, folder, hierarchy, Additions(propagation, compiled), add=True, on_error=on_error)
    if in_memory:
        if resume or engine != "local":
            raise MlimagesError("labels in memory can be neither resumed nor sent to Ray: write them to a file first")
        job = describe(options={"format": "memory", "on_error": on_error}, inputs=[])
        tasks: Iterable[Task] = _batch_tasks(memory_batches(source), len(hierarchy))
    else:
        reader = open_source(source, hierarchy, format, **options)
        state = reader.state if isinstance(reader, ImageNetTree) else {}
        stage = beside = None
        if isinstance(reader, OpenImages):
            stage, beside = partial(_sort_rows, reader, on_error), _keep_removed_labels
        stated = {"format": format, "on_error": on_error, **_plain(options), **state}
        job = describe(options=stated, inputs=reader.inputs, stage=stage, beside=beside)
        if isinstance(reader, OpenImages):
            reader = reader.buckets(folder / SCRATCH)
        tasks = [UnitTask(unit, reader) for unit in reader.units()]
    job.run(tasks, engine=engine, workers=workers, resume=resume, progress=progress)
    return AnnotationTable.open(folder)


def open_source(source: Any, hierarchy: Hierarchy, format: str, **options: Any) -> Source | OpenImages:  # noqa: A002
    """The reader of files in a format."""
    if format == "list":
        if options:
            raise MlimagesError(f"{', '.join(options)}: no option of the format list")
        return ImageList(source, hierarchy)
    if format == "imagenet":
        return _open_imagenet(source, hierarchy, options)
    if format == "open-images":
        _check_options("open-images", options, ("mapping", "images_csv", "class_descriptions"))
        return OpenImages(source, hierarchy, **options)
    raise MlimagesError(f"unknown format {format!r}: expected list, imagenet or open-images")


def _open_imagenet(source: Any, hierarchy: Hierarchy, options: dict[str, Any]) -> Source:
    """A folder tree or lists; more than one tree would mix the names below different folders."""
    _check_options("imagenet", options, ("unmapped", "classes"))
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    folders = [path for path in paths if Path(path).is_dir()]
    if not folders:
        return ImageNet(paths, hierarchy, **options)
    if len(paths) > 1:
        raise MlimagesError(f"{os.fspath(folders[0])}: a folder is read alone: annotate each and merge the tables")
    if options.get("classes") is not None:
        raise MlimagesError("classes: no option of a folder, whose folders are synsets")
    return ImageNetTree(folders[0], hierarchy, unmapped=options.get("unmapped", "drop"))


def _check_options(format: str, options: dict[str, Any], known: tuple[str, ...]) -> None:  # noqa: A002
    for name in options:
        if name not in known:
            raise MlimagesError(f"{name}: no option of the format {format}, which has {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class UnitTask:
    """A unit of files and its reader."""

    unit: Unit
    source: Source

    @property
    def index(self) -> int:
        """Number of the part."""
        return self.unit.index

    @property
    def size(self) -> int:
        """Bytes of the unit."""
        return self.unit.stop - self.unit.start

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The given labels."""
        return self.source.read(self.unit, report)


@dataclass(frozen=True, slots=True)
class BatchTask:
    """Batches in memory, the first of which begins at row `first` of the input."""

    index: int
    first: int
    given: list[pa.RecordBatch]
    categories: int
    size: int = 0

    def batches(self, report: Report) -> Iterator[pa.RecordBatch]:
        """The given labels, without the rows that are bad."""
        row = self.first
        for batch in self.given:
            yield _checked(batch, row, self.categories, report) if report.on_error == "quarantine" else batch
            row += batch.num_rows


def _is_paths(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) or (
        isinstance(source, list | tuple)
        and bool(source)
        and all(isinstance(each, str | os.PathLike) for each in source)
    )


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON holds them."""

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    return {name: plain(value) for name, value in options.items()}


def _read(source: Source | OpenImages) -> Iterator[pa.RecordBatch]:
    report = Report("raise")
    with TemporaryDirectory(prefix="mlimages-") as folder:
        if isinstance(source, OpenImages):
            scratch = Path(folder) / SCRATCH
            source.partition(scratch, on_error="raise", workers=cores())
            source = source.buckets(scratch)
        for unit in source.units():
            yield from source.read(unit, report)


def _sort_rows(
    source: OpenImages, on_error: OnError, scratch: Path, /, *, workers: int, progress: Callable[[Progress], None]
) -> None:
    """Bring the rows of each image together; a :class:`~mlimages.job.job.Stage`."""

    def show(done: int, total: int) -> None:
        progress(Progress(0, 0, done, total, 0, stage="sorting rows by image"))

    source.partition(scratch, on_error=on_error, workers=workers, progress=show)


def _keep_removed_labels(folder: Path) -> None:
    """Keep the list of removed labels, which lies in the scratch folder that is about to go."""
    with replacing(folder / REMOVED_LABELS) as file:
        file.write((folder / SCRATCH / REMOVED_LABELS).read_bytes())


def _in_memory(source: Any, augmenter: Augmenter) -> Any:
    if isinstance(source, pa.RecordBatch):
        return augmenter(source)
    batches = (augmenter(batch) for batch in memory_batches(source))
    if isinstance(source, pa.Table):
        return pa.Table.from_batches(batches, augmenter.schema)
    if hasattr(source, "columns"):
        return pa.Table.from_batches(batches, augmenter.schema).to_pandas()
    return batches


def memory_batches(source: Any) -> Iterator[pa.RecordBatch]:
    """Any in-memory source as batches of at most `BATCH_ROWS` rows."""
    if isinstance(source, pa.RecordBatch):
        source = [source]
    elif isinstance(source, pa.Table):
        source = source.to_batches()
    elif hasattr(source, "columns") and hasattr(source, "index"):  # a DataFrame, without importing pandas to ask
        source = pa.Table.from_pandas(source, preserve_index=False).to_batches()
    for batch in source:
        if not isinstance(batch, pa.RecordBatch):
            raise MlimagesError(f"found a {type(batch).__name__} among the batches, expected pyarrow RecordBatches")
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _batch_tasks(batches: Iterable[pa.RecordBatch], categories: int) -> Iterator[BatchTask]:
    """Group batches into parts of `PART_ROWS`, cut anew so that parts do not depend on how the input was cut."""
    index = first = 0
    kept: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        while rows + batch.num_rows >= PART_ROWS:
            kept.append(batch.slice(0, PART_ROWS - rows))
            batch = batch.slice(PART_ROWS - rows)
            yield BatchTask(index, first, _rechunked(kept), categories)
            index, first, kept, rows = index + 1, first + PART_ROWS, [], 0
        if batch.num_rows:
            kept.append(batch)
            rows += batch.num_rows
    if kept or index == 0:
        yield BatchTask(index, first, _rechunked(kept), categories)


def _rechunked(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if not batches:
        return []
    found: list[pa.RecordBatch] = pa.Table.from_batches(batches).combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    return found


def _checked(batch: pa.RecordBatch, first: int, categories: int, report: Report) -> pa.RecordBatch:
    """The batch without the rows whose labels or confidences are out of range; those go to the report."""
    given = GivenLabels.of(batch)
    start, stop = given.offsets[0], given.offsets[-1]
    labels, confidences = given.labels[start:stop], given.confidences[start:stop]
    wrong_label = (labels < 0) | (labels >= categories)
    wrong = wrong_label | ~((confidences >= 0) & (confidences <= 1))
    if not wrong.any():
        return batch
    row_of = np.repeat(np.arange(batch.num_rows), np.diff(given.offsets))
    bad_rows, entries = np.unique(row_of[wrong], return_index=True)
    for row, entry in zip(bad_rows.tolist(), np.flatnonzero(wrong)[entries].tolist(), strict=True):
        reason = (
            f"found the label {labels[entry]}, expected an index from 0 to {categories - 1}"
            if wrong_label[entry]
            else f"found the confidence {confidences[entry]:g}, expected 0 to 1"
        )
        report.bad_row(BadRow("(memory)", first + row + 1, reason, str(batch.column("image")[row].as_py()).encode()))
    keep = np.ones(batch.num_rows, bool)
    keep[bad_rows] = False
    return batch.filter(pa.array(keep))
