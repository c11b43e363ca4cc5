"""Random hierarchies and rows for hypothesis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

import mlimages
from mlimages import AnnotationTable, Hierarchy, Propagation
from mlimages.annotate.parquet.writer import TableWriter
from mlimages.storage.manifest import MANIFEST, Part, encode_metadata, part_path

CONFIDENCES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
REACHES = st.sampled_from(["all", "parent", "none"])
PROPAGATIONS = st.builds(
    Propagation,
    ancestors=REACHES,
    uncertain=REACHES,
    conflict=st.sampled_from(["max", "first"]),
    absent=st.sampled_from(["keep", "descendants"]),
)


@st.composite
def hierarchies(draw: st.DrawFn, *, most: int = 12) -> Hierarchy:
    """A random DAG whose index order is not topological."""
    n = draw(st.integers(1, most))
    order = draw(st.permutations(range(n)))
    parents: list[list[int]] = [[] for _ in range(n)]
    for place, node in enumerate(order):
        if place:
            parents[node] = draw(st.lists(st.sampled_from(order[:place]), max_size=3, unique=True))
    return Hierarchy([f"k{i}" for i in range(n)], parents)


def rows_of(hierarchy: Hierarchy, *, most: int = 6) -> st.SearchStrategy[list[tuple[int, float]]]:
    return st.lists(st.tuples(st.integers(0, len(hierarchy) - 1), CONFIDENCES), max_size=most)


def rules_of(hierarchy: Hierarchy) -> st.SearchStrategy[list[tuple[int, int, float]]]:
    """Rules as source, target and p, each pair once, none of a category and itself."""
    categories = st.integers(0, len(hierarchy) - 1)
    rule = st.tuples(categories, categories, st.sampled_from([0.5625, 0.75, 1.0]))
    return st.lists(rule, max_size=8, unique_by=lambda each: each[:2]).map(
        lambda rules: [each for each in rules if each[0] != each[1]]
    )


def batch_of(rows: list[list[tuple[int, float]]]) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "image": [f"{i}.jpg" for i in range(len(rows))],
            "labels": pa.array([[label for label, _ in row] for row in rows], pa.list_(pa.int32())),
            "confidences": pa.array([[float(c) for _, c in row] for row in rows], pa.list_(pa.float32())),
        }
    )


def rows_in(batch: pa.RecordBatch | pa.Table) -> list[list[tuple[int, float, int]]]:
    columns = [batch.column(name).to_pylist() for name in ("labels", "confidences", "origins")]
    return [
        [(int(a), float(np.float32(b)), int(c)) for a, b, c in zip(*row, strict=True)]
        for row in zip(*columns, strict=True)
    ]


def table_of(
    rows: dict[str, list[tuple[int, float]]],
    hierarchy: Hierarchy,
    out: Path,
    propagation: Propagation | str = "default",
    *,
    part_rows: int | None = None,
    batch_rows: int | None = None,
) -> AnnotationTable:
    """An annotation table on disk of given labels by image; in parts and row groups of so many rows, if said."""
    batch = batch_of(list(rows.values())).set_column(0, "image", pa.array(list(rows), pa.string()))
    table = mlimages.annotate(batch, hierarchy, out=out, propagation=propagation)
    assert isinstance(table, AnnotationTable)
    return table if part_rows is None else _in_parts(table, part_rows, batch_rows or part_rows)


def _in_parts(table: AnnotationTable, part_rows: int, batch_rows: int) -> AnnotationTable:
    """The table of the same folder, written anew in many small parts."""
    whole = table.to_table().combine_chunks()
    metadata = encode_metadata(table.manifest.metadata)
    parts = []
    for index, start in enumerate(range(0, len(table), part_rows)):
        path = part_path(table.folder, index)
        with path.open("wb") as file:
            writer = TableWriter(file, categories=len(table.hierarchy), metadata=metadata)
            for batch in whole.slice(start, part_rows).to_batches(max_chunksize=batch_rows):
                writer.write(batch)
            written = writer.close()
        parts.append(Part(path.name, written.rows, written.bytes, written.xxh3_128))
    replace(table.manifest, parts=parts).write(table.folder / MANIFEST)
    return AnnotationTable.open(table.folder)


def labels_by_image(table: AnnotationTable) -> dict[str, list[tuple[int, float, int]]]:
    whole = table.to_table()
    return dict(zip(whole.column("image").to_pylist(), rows_in(whole), strict=True))
