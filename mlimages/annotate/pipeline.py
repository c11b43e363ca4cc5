"""The annotation pipeline: read, augment, write."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from mlimages.annotate.parts import Additions, table_job
from mlimages.annotate.propagation.augment import Augmenter, Propagation
from mlimages.annotate.propagation.rules import RuleConfidence, Rules
from mlimages.annotate.sources.formats import Format, open_source
from mlimages.annotate.sources.source import OnError, Source
from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import MlimagesError
from mlimages.hierarchy import Hierarchy, load_hierarchy
from mlimages.job.folder import SCRATCH
from mlimages.job.job import Progress, Report
from mlimages.job.local import checked_workers
from mlimages.kernels import load_kernels
from mlimages.storage.checks import validate
from mlimages.storage.files import replacing


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
    """Regenerate annotations: add to every image the labels that its own imply, and write an annotation table.

    Parameters
    ----------
    source : path-like, list of them, DataFrame, pyarrow Table or RecordBatch, iterable of RecordBatch, or Source
        Label lists (globs allowed) in the given format, or labels in memory with the columns image, labels and, where
        they are known, confidences; or a :class:`~mlimages.annotate.sources.source.Source` of a format of your own.
    hierarchy : Hierarchy or str
        The categories; a name or path is loaded by :func:`mlimages.load_hierarchy`.
    out : path-like, optional
        Folder of the table, new or empty. Without it the annotations come back in memory.
    propagation : Propagation or {"default", "published", "parent", "none"}
        The rules by which labels are added.
    rules : path-like or DataFrame, optional
        Co-occurrence rules, applied last: a CSV (:mod:`mlimages.annotate.propagation.rules`), or what
        :meth:`Cooccurrence.rules <mlimages.annotate.cooccurrence.counts.Cooccurrence.rules>` returns.
    rule_confidence : {"one", "p"}
        The confidence of a label that a rule adds: 1, as published, or the rule's probability.
    format : {"list", "imagenet", "open-images"}
        The format of the files.
    on_error : {"raise", "quarantine"}
        Whether the first bad row ends the job, or bad rows are written to ``quarantine/`` with the reason.
    workers : int, optional
        Threads (or, with Ray, tasks at a time); as many as there are cores by default. The bytes of the table do not
        depend on it.
    engine : {"local", "ray"}
        Where the work is done.
    resume : bool
        Resume an interrupted job.
    progress : callable, optional
        Called with a :class:`~mlimages.job.job.Progress` after every part.
    **options
        More of the format; None means the default. For ``imagenet``: `unmapped`, `classes`
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
        If `out` is not empty, or the job to resume was begun with another input or other options.
    """
    if not isinstance(hierarchy, Hierarchy):
        hierarchy = load_hierarchy(hierarchy)
    if isinstance(propagation, str):
        propagation = Propagation.named(propagation)
    workers = checked_workers(workers)
    if on_error not in ("raise", "quarantine"):
        raise MlimagesError(f"on_error={on_error!r}: expected raise or quarantine")
    compiled = None if rules is None else Rules.of(rules, hierarchy, confidence=rule_confidence)
    options = {name: value for name, value in options.items() if value is not None}
    if out is None:
        for name, given in (("resume", resume), ("engine", engine != "local"), ("quarantine", on_error != "raise")):
            if given:
                raise MlimagesError(f"{name} needs out=: without a folder the annotations come back in memory")
        reader = open_source(source, hierarchy, format, **options)
        return _in_memory(source, reader, Augmenter(hierarchy, propagation, compiled))

    load_kernels(
        "mlimages.annotate.sources.imagelistkernels",
        "mlimages.annotate.propagation.augmentkernels",
        "mlimages.annotate.parquet.writerkernels",
    )
    reader = open_source(source, hierarchy, format, **options)
    if not reader.repeatable and (resume or engine != "local"):
        raise MlimagesError("labels in memory can be neither resumed nor sent to Ray: write them to a file first")
    folder = Path(out)
    plain = {name: _plain(value) for name, value in options.items()}
    job = table_job(
        folder,
        hierarchy,
        Additions(propagation, compiled),
        options={"format": reader.format, "on_error": on_error, **plain, **reader.state},
        inputs=reader.inputs,
        add=True,
        on_error=on_error,
        stage=partial(_prepare, reader, on_error) if reader.stage else None,
        beside=partial(_keep, reader.kept),
    )
    job.run(reader.tasks(folder / SCRATCH), engine=engine, workers=workers, resume=resume, progress=progress)
    return AnnotationTable.open(folder)


def _plain(value: Any) -> Any:
    """An option as a JSON value."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _prepare(source: Source, on_error: OnError, scratch: Path, /, *, workers: int, progress: Report) -> None:
    """Let a source do what precedes its tasks; a :class:`~mlimages.job.job.Stage`."""

    def show(done: int, total: int) -> None:
        progress(Progress(0, 0, done, total, 0, stage=source.stage))

    source.prepare(scratch, on_error=on_error, workers=workers, progress=show)


def _keep(names: tuple[str, ...], folder: Path) -> None:
    """Keep some files of the scratch folder, which is about to go."""
    for name in names:
        with replacing(folder / name) as file:
            file.write((folder / SCRATCH / name).read_bytes())


def _in_memory(source: Any, reader: Source, augmenter: Augmenter) -> Any:
    """The annotations in the type of `source` where that holds labels, else batch by batch."""
    if isinstance(source, pa.RecordBatch):
        validate(source)
        return augmenter(source)
    batches = (augmenter(batch) for batch in reader.batches())
    if isinstance(source, pa.Table):
        return pa.Table.from_batches(batches, augmenter.schema)
    if hasattr(source, "columns"):
        return pa.Table.from_batches(batches, augmenter.schema).to_pandas()
    return batches
