"""Hierarchies as Parquet files."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, HierarchyError, first_line, listed
from mlimages.hierarchy.csr import CSR
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.relations import Relations

if TYPE_CHECKING:
    import pyarrow

FINGERPRINT_KEY = b"mlimages.hierarchy.fingerprint"


def arrow_schema() -> pyarrow.Schema:
    """The Parquet columns of a hierarchy: index int32, key string, names list<string>, parents list<int32>."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("names", pa.list_(pa.string()), nullable=False),
            pa.field("parents", pa.list_(pa.int32()), nullable=False),
        ]
    )


def write_parquet(hierarchy: Relations, path: str | os.PathLike[str]) -> None:
    """Write one zstd-compressed Parquet file with the columns of :func:`arrow_schema`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parents = hierarchy.parents()
    columns = [
        pa.array(np.arange(len(hierarchy), dtype=np.int32)),
        pa.array(hierarchy.keys, pa.string()),
        pa.array(hierarchy.names, pa.list_(pa.string())),
        pa.ListArray.from_arrays(pa.array(parents.indptr.astype(np.int32)), pa.array(parents.indices)),
    ]
    schema = arrow_schema().with_metadata({FINGERPRINT_KEY: hierarchy.fingerprint.encode()})
    with Path(path).open("wb") as file:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), file, compression="zstd")


def read_parquet(path: str | os.PathLike[str]) -> Definition:
    """Read what :func:`write_parquet` wrote; other columns are ignored.

    Raises
    ------
    FormatError
        If the file is not Parquet, a column is missing or of an incompatible type, the rows do not form a hierarchy, or
        the stored fingerprint differs from theirs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = Path(path).read_bytes()  # pyarrow reports damaged content as OSError: so read the file first
    try:
        # read_table would import pandas; threads releasing `data` while the interpreter exits would abort it
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        stated = (table.schema.metadata or {}).get(FINGERPRINT_KEY)
        for name in arrow_schema().names:
            if table.column_names.count(name) != 1:
                raise FormatError(
                    f"found the columns {listed(table.column_names)}; expected {name} once among them", path=path
                )
        table = table.select(arrow_schema().names).cast(arrow_schema())
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        message = first_line(error)
        raise FormatError(
            f"not a Parquet file of a hierarchy ({message}); expected {_schema_text()}", path=path
        ) from None
    index, keys, names, above = (table.column(name).combine_chunks() for name in table.column_names)
    for name, column in (("names", names.flatten()), ("parents", above.flatten())):
        if column.null_count:
            raise FormatError(f"found a null in the lists of the column {name}, expected none", path=path)
    if not np.array_equal(np.from_dlpack(index), np.arange(len(index))):
        raise FormatError("found a column index that does not count up from 0", path=path)
    try:
        definition = Definition.checked(
            keys.to_pylist(),
            CSR(_offsets(above), np.asarray(np.from_dlpack(above.flatten()), np.int32)),
            _cut(names.flatten(), _offsets(names)),
        )
    except HierarchyError as error:
        raise FormatError(str(error), path=path) from None
    if stated is not None and stated != definition.fingerprint.encode():
        raise FormatError("the stored fingerprint does not fit the rows: the file was changed by hand", path=path)
    return definition


def _offsets(lists: pyarrow.ListArray) -> NDArray[np.int64]:
    """Row pointers of a list column into its flattened values, int64 [rows + 1]."""
    offsets: NDArray[np.int64] = np.from_dlpack(lists.offsets).astype(np.int64)  # to_numpy would import pandas
    return offsets - offsets[:1]


def _cut(values: pyarrow.StringArray, offsets: NDArray[np.int64]) -> list[list[str]]:
    """The rows of a list column of strings."""
    flat, bounds = values.to_pylist(), offsets.tolist()
    return [flat[start:stop] for start, stop in pairwise(bounds)]


def _schema_text() -> str:
    return ", ".join(f"{field.name} {field.type}" for field in arrow_schema())
