"""What it costs to check a table while it is read: the checked scan of its columns beside the plain one.

Makes an annotation table of so many rows in a temporary folder, then reads it as the package does
(``AnnotationTable.batches``, every batch checked) and as pyarrow alone does (``ParquetFile.iter_batches`` of the same
parts, columns and batch size), one after the other, alternating, and prints the ratio of the least times: on the clock,
of all threads, and of the checks alone to the plain scan that they stand in.

    python benchmarks/door.py [--rows 5000000] [--repeats 5] [--table DIR]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import mlimages
from mlimages import AnnotationTable, Hierarchy
from mlimages.storage.batches import BATCH_ROWS

COLUMNS = (
    ("image", "labels", "confidences", "origins"),
    ("labels", "confidences", "origins"),
    ("image", "labels"),
    ("labels", "confidences"),
    ("labels",),
    ("image",),
)


def hierarchy() -> Hierarchy:
    """A tree of 11,111 categories, ten below each."""
    return Hierarchy([f"n{i:08d}" for i in range(11_111)], [[] if i == 0 else [(i - 1) // 10] for i in range(11_111)])


def generate(rows: int, leaves: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Names of 30 characters, 1.45 labels a row on average, four in ten of them below confidence 1."""
    rng = np.random.default_rng(1)
    for start in range(0, rows, BATCH_ROWS):
        count = min(BATCH_ROWS, rows - start)
        lengths = 1 + (rng.random(count) < 0.4) + (rng.random(count) < 0.05)
        offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
        labels = leaves[rng.integers(0, len(leaves), lengths.sum())].astype(np.int32)
        confidences = rng.choice(np.array([1, 1, 1, 0.9, 0.8], np.float32), lengths.sum())
        names = [f"{start + i:010d}_{secret:010x}_o.jpg" for i, secret in enumerate(rng.integers(0, 16**10, count))]
        yield pa.record_batch(
            {
                "image": names,
                "labels": pa.ListArray.from_arrays(offsets, pa.array(labels)),
                "confidences": pa.ListArray.from_arrays(offsets, pa.array(confidences)),
            }
        )


def checked(table: AnnotationTable, columns: Sequence[str]) -> int:
    """Rows, read as the package does."""
    return sum(batch.num_rows for batch in table.batches(columns=columns))


def plain(table: AnnotationTable, columns: Sequence[str]) -> int:
    """Rows, read as pyarrow alone does."""
    rows = 0
    for part in table.manifest.parts:
        with pq.ParquetFile(table.folder / part.file) as file:
            rows += sum(each.num_rows for each in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)))
    return rows


def checks_alone(table: AnnotationTable, columns: Sequence[str]) -> float:
    """Time on the clock of the checks, divided by that of the plain scan in which they are called."""
    wanted = table.columns.select(columns)
    start, spent = time.perf_counter(), 0.0
    for part in table.manifest.parts:
        with pq.ParquetFile(table.folder / part.file) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                before = time.perf_counter()
                wanted.check(batch)
                spent += time.perf_counter() - before
    return spent / (time.perf_counter() - start - spent)


def seconds(
    read: Callable[[AnnotationTable, Sequence[str]], int], table: AnnotationTable, columns: Sequence[str]
) -> Any:
    """Time on the clock and of all threads, float64 [2]."""
    start, busy = time.perf_counter(), time.process_time()
    assert read(table, columns) == len(table)
    return np.array([time.perf_counter() - start, time.process_time() - busy])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--table", type=Path, help="a table to read instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlimages-door-") as folder:
        if options.table is None:
            tree = hierarchy()
            mlimages.annotate(generate(options.rows, tree.leaves), tree, out=Path(folder) / "table")
        table = AnnotationTable.open(options.table or Path(folder) / "table")
        size = sum(part.bytes for part in table.manifest.parts)
        print(
            f"{len(table):,} rows in {len(table.manifest.parts)} parts, {size / 1e6:,.0f} MB; pyarrow {pa.__version__}"
        )
        print(f"{'columns':37}{'plain':>9}{'checked':>9}{'ratio':>7}{'of CPU':>8}{'checks alone':>14}")
        for columns in COLUMNS:
            times = [(seconds(plain, table, columns), seconds(checked, table, columns)) for _ in range(options.repeats)]
            bare, ours = (np.min([each[side] for each in times], axis=0) for side in range(2))
            alone = min(checks_alone(table, columns) for _ in range(options.repeats))
            wall, busy = ours / bare
            print(
                f"{', '.join(columns):37}{bare[0]:7.3f} s{ours[0]:7.3f} s{wall:7.3f}{busy:8.3f}{alone:14.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
