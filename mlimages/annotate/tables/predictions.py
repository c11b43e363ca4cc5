"""Prediction tables: the categories and scores that a teacher predicts for each image."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlimages.annotate.labels.columns import GivenLabels
from mlimages.annotate.labels.schema import label_type, made_with
from mlimages.errors import FormatError, JobError, LabelError, listed
from mlimages.hierarchy import Category, Hierarchy
from mlimages.storage.arrow import list_batch
from mlimages.storage.batches import BATCH_ROWS, cut_into_parts, rebatched
from mlimages.storage.categories import write_categories
from mlimages.storage.files import file_hash, replacing
from mlimages.storage.manifest import (
    CATEGORIES,
    MANIFEST,
    Input,
    Manifest,
    Part,
    check_keys,
    check_type,
    encode_metadata,
    part_path,
)
from mlimages.storage.part import stored_part
from mlimages.storage.table import ImageTable

PREDICTIONS = "predictions"


@cache
def prediction_schema(categories: int) -> pa.Schema:
    """Columns of a prediction table.

    ======  =====================  ===========================================================
    image   string                 name, as the annotation table has it
    labels  list<int16 or int32>   category indices, each once
    scores  list<float32>          as long; the teacher's posteriors, 0 to 1
    ======  =====================  ===========================================================
    """
    labels = pa.list_(label_type(categories))
    return pa.schema({"image": pa.string(), "labels": labels, "scores": pa.list_(pa.float32())})


class PredictionTable(ImageTable):
    """A prediction table on disk; open one with :meth:`open`, write one with :func:`write_predictions`."""

    CONTENT = PREDICTIONS

    def check_metadata(self) -> None:
        """Raise a FormatError if the manifest lacks the metadata of a prediction table."""
        super().check_metadata()
        path = self.folder / MANIFEST
        expected = {"outputs": list, "threshold": int | float, "top": int | None, "teacher": dict}
        check_keys(self.manifest.metadata, expected, path)
        for i, key in enumerate(self.manifest.metadata["outputs"]):
            check_type(key, str, f"outputs[{i}]", path)
        outputs = self.manifest.metadata["outputs"]
        if len(set(outputs)) < len(outputs):
            twice = next(key for i, key in enumerate(outputs) if key in outputs[:i])
            raise FormatError(f"found the output {twice!r} twice, expected each once", path=path)
        threshold = self.manifest.metadata["threshold"]
        if not (threshold == -math.inf or -1e300 < threshold <= 1):  # nor NaN, nor what no float holds
            raise FormatError(f"found threshold {threshold}, expected a number up to 1", path=path)
        if self.top is not None and self.top < 1:
            raise FormatError(f"found top {self.top}, expected 1 or more, or null", path=path)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return prediction_schema(self.categories)

    @cached_property
    def outputs(self) -> NDArray[np.int32]:
        """The categories that the teacher can predict, int32 [k], in its order."""
        keys = self.manifest.metadata["outputs"]
        for key in keys:
            if key not in self.hierarchy:
                raise FormatError(
                    f"found the output {key!r}, expected keys of {self.folder / CATEGORIES}",
                    path=self.folder / MANIFEST,
                )
        outputs: NDArray[np.int32] = np.asarray(self.hierarchy.index(keys), np.int32)
        return outputs

    @property
    def threshold(self) -> float:
        """Scores up to this one were not written; -1 if all were."""
        return float(self.manifest.metadata["threshold"])

    @property
    def top(self) -> int | None:
        """Maximum number of labels per image; None if there was no limit."""
        found: int | None = self.manifest.metadata["top"]
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionWriter:
    """Writes the parts of a prediction table, from any number of processes.

    Parameters
    ----------
    folder : pathlib.Path
        The table's.
    hierarchy : Hierarchy
        The categories.
    outputs : int array [k]
        The categories that the teacher can predict, in its order.
    threshold : float
        Scores up to this one are already left out of the batches; -1 if none are.
    top : int, optional
        Maximum number of labels per image.
    teacher : mapping
        Identity of the teacher, as JSON values.
    """

    folder: Path
    hierarchy: Hierarchy
    outputs: NDArray[np.int32]
    threshold: float = -1.0
    top: int | None = None
    teacher: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the schema metadata of every part says."""
        return {
            "content": PREDICTIONS,
            **made_with(self.hierarchy),
            "threshold": self.threshold,
            "top": self.top,
            "teacher": dict(self.teacher),
        }

    def write_part(self, index: int, batches: Iterable[pa.RecordBatch]) -> Part:
        """Write one part under a temporary name, then give it its own; row groups do not depend on the batches.

        Raises
        ------
        LabelError
            For a label that is not an output or occurs twice in a row, a score outside [0, 1] or up to the threshold.
        """
        path = part_path(self.folder, index)
        schema = prediction_schema(len(self.hierarchy)).with_metadata(encode_metadata(self.metadata))
        is_output = np.zeros(len(self.hierarchy), bool)
        is_output[self.outputs] = True
        options = {
            "compression": "zstd",
            "compression_level": 1,
            "use_dictionary": ["labels.list.element"],
            "column_encoding": {"image": "DELTA_LENGTH_BYTE_ARRAY", "scores.list.element": "BYTE_STREAM_SPLIT"},
            "write_statistics": False,
        }
        rows = 0
        with replacing(path) as file, pq.ParquetWriter(file, schema, **options) as writer:
            for batch in rebatched(_checked(batch, schema, is_output, self.threshold) for batch in batches):
                writer.write_table(pa.Table.from_batches([batch]), row_group_size=BATCH_ROWS)
                rows += batch.num_rows
        return Part(path.name, rows, path.stat().st_size, file_hash(path))

    def finished_part(self, index: int) -> Part | None:
        """A part of an earlier run with the same metadata, if it is there and whole."""
        stored = stored_part(part_path(self.folder, index))
        return stored[0] if stored is not None and encode_metadata(self.metadata).items() <= stored[1].items() else None

    @property
    def table_metadata(self) -> dict[str, Any]:
        """The metadata of the manifest: that of the schema, and the keys of the outputs."""
        return self.metadata | {"outputs": [self.hierarchy.keys[i] for i in self.outputs.tolist()]}


def write_predictions(
    batches: Iterable[pa.RecordBatch],
    out: str | os.PathLike[str],
    hierarchy: Hierarchy,
    *,
    outputs: Iterable[int | str | Category] | NDArray[Any],
    threshold: float = -1.0,
    top: int | None = None,
    teacher: Mapping[str, Any] | None = None,
    inputs: Sequence[Input] = (),
) -> PredictionTable:
    """Write a prediction table.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        Columns as :func:`prediction_schema` says.
    out : path-like
        Folder of the table, new or empty.
    hierarchy : Hierarchy
        The categories.
    outputs : iterable of categories
        The categories that the teacher can predict.
    threshold, top, teacher
        As those of :class:`PredictionWriter`; the first two state what the batches leave out.
    inputs : sequence of Input
        The inputs of the predictions, for the manifest.

    Raises
    ------
    JobError
        If `out` is not empty.
    LabelError
        For a label that is not an output or occurs twice in a row, a score outside [0, 1] or up to the threshold.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise JobError(f"{folder}: exists and is not an empty folder: choose a new one")
    folder.mkdir(parents=True, exist_ok=True)
    writer = PredictionWriter(
        folder=folder,
        hierarchy=hierarchy,
        outputs=np.asarray(hierarchy.index(outputs), np.int32),
        threshold=threshold,
        top=top,
        teacher=teacher or {},
    )
    parts = [writer.write_part(index, group) for index, group in enumerate(cut_into_parts(batches))]
    parts = parts or [writer.write_part(0, ())]
    write_categories(folder, hierarchy)
    Manifest(writer.table_metadata, {"format": PREDICTIONS}, list(inputs), parts).write(folder / MANIFEST)
    return PredictionTable.open(folder)


def _checked(
    batch: pa.RecordBatch, schema: pa.Schema, is_output: NDArray[np.bool_], threshold: float
) -> pa.RecordBatch:
    """The batch as a table holds it, its labels and scores checked."""
    image, offsets, labels, scores, _ = GivenLabels.scored(batch, "scores", labels=pa.int32()).own()
    if "scores" not in batch.schema.names:
        raise LabelError(f"found the columns {listed(batch.schema.names)}, expected scores among them")
    rows = np.repeat(np.arange(batch.num_rows), np.diff(offsets))
    n = len(is_output)
    unknown = ~((labels >= 0) & (labels < n))
    unknown[~unknown] = ~is_output[labels[~unknown]]
    flat = rows * n + labels
    order = np.argsort(flat, kind="stable")
    twice = np.zeros(len(labels), bool)
    twice[order[1:][flat[order][1:] == flat[order][:-1]]] = True
    # counting above the threshold does not read the scores again
    for wrong, what, expected in (
        (unknown, "label {label}", f"expected one of the {is_output.sum()} outputs"),
        (~((scores >= 0) & (scores <= 1)), "score {score:g} of label {label}", "expected 0 to 1"),
        (
            ~(scores > np.float32(threshold)),
            "score {score:g} of label {label}",
            f"expected one above the threshold {threshold:g}",
        ),
        (twice, "label {label} twice", "expected each once"),
    ):
        if wrong.any():
            at = int(wrong.argmax())
            found = what.format(label=labels[at], score=scores[at])
            raise LabelError(f"row {rows[at]} ({image[int(rows[at])].as_py()!r}): found the {found}, {expected}")
    return list_batch(schema.remove_metadata(), image, offsets, labels, scores)
