"""Random hierarchies and rows for hypothesis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

import mlimages
from mlimages import AnnotationTable, Hierarchy, Propagation
from mlimages.annotate.sources.memory import MemorySource
from mlimages.storage.batches import BATCH_ROWS, PART_ROWS

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
    part_rows: int = PART_ROWS,
    batch_rows: int = BATCH_ROWS,
) -> AnnotationTable:
    """An annotation table on disk of given labels by image; in parts and row groups of so many rows, if said."""
    batch = batch_of(list(rows.values())).set_column(0, "image", pa.array(list(rows), pa.string()))
    source = MemorySource(batch, hierarchy, part_rows=part_rows, batch_rows=batch_rows)
    table = mlimages.annotate(source, hierarchy, out=out, propagation=propagation)
    assert isinstance(table, AnnotationTable)
    return table


def labels_by_image(table: AnnotationTable) -> dict[str, list[tuple[int, float, int]]]:
    whole = table.to_table()
    return dict(zip(whole.column("image").to_pylist(), rows_in(whole), strict=True))
