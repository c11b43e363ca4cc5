"""A hierarchy from and to other structures: edges, networkx, Parquet, and parts of another hierarchy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, HierarchyError, first_line
from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR, ancestor_closure
from mlimages.hierarchy.graph import Hierarchy

if TYPE_CHECKING:
    import networkx
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


def write_parquet(hierarchy: Hierarchy, path: str | os.PathLike[str]) -> None:
    """Write one Parquet file, zstd-compressed, that any reader of Parquet understands."""
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


def read_parquet(path: str | os.PathLike[str]) -> Hierarchy:
    """Read what `write_parquet` wrote.

    Raises
    ------
    FormatError
        Where the file is no Parquet, a column is missing or of another type, or the rows make no hierarchy.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = Path(path).read_bytes()  # an OSError from here on is damaged content, which pyarrow reports so
    try:
        # read_table would load pandas; threads that still let go of `data` while the interpreter ends would abort it
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        stated = (table.schema.metadata or {}).get(FINGERPRINT_KEY)
        for name in arrow_schema().names:
            if table.column_names.count(name) != 1:
                raise FormatError(
                    f"found the columns {', '.join(table.column_names)}; expected {name} once among them", path=path
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
        hierarchy = Hierarchy(
            keys.to_pylist(),
            CSR(_offsets(above), _indices(above.flatten())),
            _cut(names.flatten(), _offsets(names)),
        )
    except HierarchyError as error:
        raise FormatError(str(error), path=path) from None
    if stated is not None and stated != hierarchy.fingerprint.encode():
        raise FormatError("the stored fingerprint does not fit the rows: the file was changed by hand", path=path)
    return hierarchy


def _offsets(lists: pyarrow.ListArray) -> NDArray[np.int64]:
    """Where each row of a list column begins in its flattened values, int64 [rows + 1]."""
    offsets: NDArray[np.int64] = np.from_dlpack(lists.offsets).astype(np.int64)  # to_numpy would load pandas
    return offsets - offsets[:1]


def _indices(values: pyarrow.Int32Array) -> NDArray[np.int32]:
    indices: NDArray[Any] = np.from_dlpack(values)
    return indices


def _cut(values: pyarrow.StringArray, offsets: NDArray[np.int64]) -> list[list[str]]:
    flat, bounds = values.to_pylist(), offsets.tolist()
    return [flat[start:stop] for start, stop in pairwise(bounds)]


def _schema_text() -> str:
    return ", ".join(f"{field.name} {field.type}" for field in arrow_schema())


def from_edges(
    pairs: Iterable[tuple[str, str]], *, keys: Iterable[str] = (), names: Mapping[str, Sequence[str]] | None = None
) -> Hierarchy:
    """See :meth:`Hierarchy.from_edges`."""
    index: dict[str, int] = {}
    for place, key in enumerate(keys):
        if not isinstance(key, str):
            raise HierarchyError(f"found the key {key!r}, expected a string")
        if index.setdefault(key, place) != place:
            raise HierarchyError(f"duplicate key {key!r}: a key identifies one category")
    parents: list[dict[int, None]] = [{} for _ in index]  # ordered sets
    for pair in pairs:
        parent, child = _edge(pair)
        for key in (parent, child):
            if index.setdefault(key, len(index)) == len(parents):
                parents.append({})
        above = parents[index[child]]
        if index[parent] in above:
            raise HierarchyError(f"the edge {parent!r} -> {child!r} appears twice")
        above[index[parent]] = None
    given = names or {}
    return Hierarchy(list(index), [list(above) for above in parents], [given.get(key, ()) for key in index])


def _edge(pair: Any) -> tuple[str, str]:
    try:
        parent, child = pair
    except (TypeError, ValueError):
        parent = child = None
    if isinstance(pair, str) or not isinstance(parent, str) or not isinstance(child, str):
        raise HierarchyError(f"found the edge {pair!r}, expected a (parent, child) pair of string keys")
    return parent, child


def from_networkx(graph: networkx.DiGraph[Any]) -> Hierarchy:
    """See :meth:`Hierarchy.from_networkx`.

    A node's key is its ``key`` attribute, else the node as text; ``names`` and ``index`` are used where given, the
    latter where every node has one.
    """
    import networkx as nx

    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise HierarchyError(f"found a {type(graph).__name__}, expected a networkx DiGraph with edges parent to child")
    nodes = list(graph.nodes)
    given = nx.get_node_attributes(graph, "index")
    if given:
        numbers = [each for each in given.values() if isinstance(each, int | np.integer)]
        if sorted(numbers) != list(range(len(nodes))):
            raise HierarchyError(f"the index attributes of the {len(nodes)} nodes do not count up from 0, one each")
        nodes.sort(key=given.__getitem__)
    place = {node: i for i, node in enumerate(nodes)}
    parents = [[place[above] for above in graph.predecessors(node)] for node in nodes]
    keys = [str(graph.nodes[node].get("key", node)) for node in nodes]
    return Hierarchy(keys, parents, [_names(node, graph.nodes[node].get("names", ())) for node in nodes])


def _names(node: object, names: Any) -> Sequence[str]:
    if not isinstance(names, str | list | tuple):
        raise HierarchyError(f"the node {node!r} has the names {names!r}, expected a list of strings")
    return names


def to_networkx(hierarchy: Hierarchy) -> networkx.DiGraph[str]:
    """See :meth:`Hierarchy.to_networkx`."""
    import networkx as nx

    graph: networkx.DiGraph[str] = nx.DiGraph()
    for category in hierarchy:
        graph.add_node(category.key, key=category.key, names=category.names, index=category.index)
    for child, above in zip(hierarchy.keys, hierarchy.parents(), strict=True):
        graph.add_edges_from((hierarchy.keys[parent], child) for parent in above)
    return graph


def subtree(hierarchy: Hierarchy, root: CategoryLike) -> Hierarchy:
    """See :meth:`Hierarchy.subtree`."""
    top = hierarchy.index(root)
    kept = np.sort(np.append(hierarchy.descendants(top), np.int32(top)))
    return _part(hierarchy, kept, _kept_only(hierarchy.parents(kept), _places(hierarchy, kept)))


def restrict(hierarchy: Hierarchy, categories: Iterable[CategoryLike] | NDArray[Any]) -> Hierarchy:
    """See :meth:`Hierarchy.restrict`."""
    kept = np.atleast_1d(hierarchy.index(categories))
    values, counts = np.unique(kept, return_counts=True)
    if len(values) != len(kept):
        raise HierarchyError(f"duplicate category {hierarchy[int(values[counts > 1][0])]}: name each one once")
    return _part(hierarchy, kept, nearest_kept(hierarchy, kept))


def nearest_kept(hierarchy: Hierarchy, kept: NDArray[Any]) -> CSR:
    """For each of `kept`, int [m], its nearest kept ancestors as positions in `kept`, nearest first: CSR of m rows.

    A kept ancestor is left out where another kept ancestor lies below it.
    """
    places = _places(hierarchy, kept)
    # a walk that stops at the first kept category on each way; one may still lie above another
    reached = _kept_only(ancestor_closure(hierarchy.parents(), barriers=places >= 0)[0].take(kept), places)
    several = np.flatnonzero(reached.lengths > 1)
    if not len(several):
        return reached
    m = len(kept)
    positions, indptr = reached.positions(several)
    rows = np.repeat(several, np.diff(indptr))
    above, above_indptr = hierarchy.closure.positions(np.asarray(kept)[reached.indices[positions]])
    higher = np.repeat(rows, np.diff(above_indptr)) * m + places[hierarchy.closure.indices[above]]
    higher = higher[places[hierarchy.closure.indices[above]] >= 0]
    lowest = np.ones(len(reached.indices), bool)
    lowest[positions] = ~np.isin(rows * m + reached.indices[positions], higher)
    return CSR.from_pairs(reached.row_numbers[lowest], reached.indices[lowest], length=m)


def _part(hierarchy: Hierarchy, kept: NDArray[Any], parents: CSR) -> Hierarchy:
    indices = kept.tolist()
    return Hierarchy([hierarchy.keys[i] for i in indices], parents, [hierarchy.names[i] for i in indices])


def _places(hierarchy: Hierarchy, kept: NDArray[Any]) -> NDArray[np.int32]:
    """Position in `kept` of every category, -1 where it is dropped: int32 [n]."""
    places = np.full(len(hierarchy), -1, np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    return places


def _kept_only(rows: CSR, places: NDArray[np.int32]) -> CSR:
    """The rows without what is dropped, as positions."""
    new = places[rows.indices]
    return CSR.from_pairs(rows.row_numbers[new >= 0], new[new >= 0], length=len(rows))
