"""The same table, written otherwise: by other programmes, with other types, in other pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.damage.specimen import GROUP_ROWS, PART, Specimens, change_column, change_manifest, read_part, write_part


@dataclass(frozen=True)
class Rewrite:
    """What is done to a copy of the table; the manifest is left as it was."""

    apply: Callable[[Specimens, Path], Any]
    minor: bool = False  # much like another, so that a few operations do


REWRITES: dict[str, Rewrite] = {}


def add(name: str, apply: Callable[[Path], Any], *, minor: bool = False) -> None:
    """Add a rewrite to the list."""
    REWRITES[name] = Rewrite(lambda _, folder: apply(folder), minor)


def pandas_(folder: Path) -> None:
    import pandas as pd

    pd.read_parquet(folder / PART).to_parquet(folder / PART)


def pandas_index(folder: Path) -> None:
    """With an index of its own, which pandas keeps as a column."""
    import pandas as pd

    frame = pd.read_parquet(folder / PART)
    frame.index = pd.Index(range(100, 100 + len(frame)), name="number").repeat(1)
    frame.reset_index().set_index("number").to_parquet(folder / PART, index=True)


def pandas_lists(folder: Path) -> None:
    """From lists of Python's own numbers, which become int64 and float64."""
    import pandas as pd

    pd.DataFrame(read_part(folder).to_pydict()).to_parquet(folder / PART)


def polars_(folder: Path) -> None:
    import polars as pl

    pl.read_parquet(folder / PART).write_parquet(folder / PART)


def polars_lists(folder: Path) -> None:
    import polars as pl

    pl.DataFrame(read_part(folder).to_pydict()).write_parquet(folder / PART, row_group_size=2)


def polars_categorical(folder: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(folder / PART).with_columns(pl.col("image").cast(pl.Categorical))
    frame.write_parquet(folder / PART, compression="lz4")


def duckdb_(folder: Path) -> None:
    import duckdb

    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT * FROM '{folder / PART}') TO '{folder / 'new'}' (FORMAT parquet)")
    (folder / "new").replace(folder / PART)


def duckdb_wide(folder: Path) -> None:
    import duckdb

    with duckdb.connect() as db:
        db.execute(
            "COPY (SELECT confidences::DOUBLE[] AS confidences, image, labels::BIGINT[] AS labels, "
            f"origins::INTEGER[] AS origins FROM '{folder / PART}') TO '{folder / 'new'}' "
            "(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)"
        )
    (folder / "new").replace(folder / PART)


add("pandas", pandas_)
add("pandas with an index", pandas_index)
add("pandas of lists", pandas_lists)
add("Polars", polars_)
add("Polars of lists", polars_lists)
add("Polars categorical", polars_categorical)
add("DuckDB", duckdb_)
add("DuckDB with wide types", duckdb_wide)


def retyped(name: str, column: str, kind: pa.DataType) -> None:
    """A column of another type that holds the same."""
    add(name, lambda folder: change_column(folder, column, lambda cells: pa.array(cells.to_pylist(), kind)), minor=True)


retyped("large names", "image", pa.large_string())
retyped("viewed names", "image", pa.string_view())
retyped("large lists of labels", "labels", pa.large_list(pa.int16()))
retyped("wide labels", "labels", pa.list_(pa.int64()))
retyped("labels of 32 bits", "labels", pa.list_(pa.int32()))
retyped("labels of 8 bits", "labels", pa.list_(pa.int8()))
retyped("unsigned labels", "labels", pa.list_(pa.uint16()))
retyped("wide confidences", "confidences", pa.list_(pa.float64()))
retyped("large lists of wide confidences", "confidences", pa.large_list(pa.float64()))
retyped("wide origins", "origins", pa.list_(pa.int64()))
retyped("large lists of origins", "origins", pa.large_list(pa.uint8()))
add("names in a dictionary", lambda folder: change_column(folder, "image", lambda names: names.dictionary_encode()))
add(
    "large names in a dictionary",
    lambda folder: change_column(folder, "image", lambda names: names.cast(pa.large_string()).dictionary_encode()),
)
add(
    "labels in a dictionary",
    lambda folder: change_column(
        folder, "labels", lambda lists: pa.ListArray.from_arrays(lists.offsets, lists.values.dictionary_encode())
    ),
)


def stored(name: str, **options: Any) -> None:
    """Other pages of the same columns."""
    add(name, lambda folder: write_part(folder, read_part(folder), **options), minor=True)


stored("one row group", row_group_size=1000)
stored("a row group a row", row_group_size=1)
stored("not compressed", compression="none")
stored("Snappy", compression="snappy")
stored("Gzip", compression="gzip")
stored("LZ4", compression="lz4")
stored("Brotli", compression="brotli")
stored("no dictionaries", use_dictionary=False)
stored("data pages of version 2", data_page_version="2.0", version="2.4")
stored("no statistics", write_statistics=False)
stored("no Arrow schema", store_schema=False)
stored("page checksums", write_page_checksum=True)

#: Columns that change places, are added, or have no metadata.
add("columns in another order", lambda folder: write_part(folder, read_part(folder).select([3, 1, 0, 2])))
add("no metadata", lambda folder: write_part(folder, read_part(folder).replace_schema_metadata(None)))
add(
    "a column more",
    lambda folder: write_part(
        folder, read_part(folder).append_column("split", pa.array(np.arange(len(read_part(folder)))))
    ),
)
add(
    "a column more, of lists, at first",
    lambda folder: write_part(
        folder, read_part(folder).add_column(0, "boxes", pa.array([[[0.5] * 4]] * len(read_part(folder))))
    ),
)
add(
    "columns that are never null",
    lambda folder: write_part(
        folder, read_part(folder).cast(pa.schema([each.with_nullable(False) for each in read_part(folder).schema]))
    ),
)
add(
    "elements of another name",
    lambda folder: change_column(
        folder, "labels", lambda lists: lists.cast(pa.list_(pa.field("item", pa.int16(), nullable=False)))
    ),
)


def every_part(folder: Path) -> None:
    """Other types in every part, so that no part is of the declared ones."""
    kinds = [pa.large_string(), pa.large_list(pa.int64()), pa.large_list(pa.float64()), pa.large_list(pa.int64())]
    for path in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(path)
        columns = {
            name: pa.array(table.column(name).to_pylist(), kind)
            for name, kind in zip(table.column_names, kinds, strict=True)
        }
        pq.write_table(pa.table(columns), path, row_group_size=GROUP_ROWS)


def empty_part(folder: Path) -> None:
    """A part of no rows, of which the manifest says so."""
    pq.write_table(read_part(folder).slice(0, 0), folder / "part-00003.parquet")
    stated = {"file": "part-00003.parquet", "rows": 0, "bytes": 0, "xxh3_128": "0" * 32}
    change_manifest(folder, lambda content: content["parts"].append(stated))


add("every part of other types", every_part)
add("an empty part more", empty_part)
