"""A hierarchy from and to other structures: edges, networkx, Parquet, and parts of another hierarchy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import FormatError, HierarchyError
from mlimages.hierarchy.category import CategoryLike
from mlimages.hierarchy.csr import CSR
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
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path, compression="zstd")


def read_parquet(path: str | os.PathLike[str]) -> Hierarchy:
    """Read what `write_parquet` wrote.

    Raises
    ------
    FormatError
        Where the file is no Parquet, a column is missing or of another type, or the rows make no hierarchy.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
    except pa.ArrowInvalid as error:
        raise FormatError(f"not a readable Parquet file ({str(error).splitlines()[0]})", path=path) from None
    for field in arrow_schema():
        if field.name not in table.column_names:
            raise FormatError(
                f"found the columns {', '.join(table.column_names)}, expected {field.name} among them", path=path
            )
    try:
        table = table.select(arrow_schema().names).cast(arrow_schema())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise FormatError(f"{str(error).splitlines()[0]}; expected {_schema_text()}", path=path) from None
    columns = [table.column(name).combine_chunks() for name in table.column_names]
    for name, column in zip(table.column_names, columns, strict=True):
        if column.null_count:
            raise FormatError(f"found a null in the column {name}, expected none", path=path)
    index, keys, names, above = columns
    if not np.array_equal(index.to_numpy(), np.arange(len(index))):
        raise FormatError("found a column index that does not count up from 0", path=path)
    parents = CSR.from_rows([row.as_py() for row in above])
    try:
        hierarchy = Hierarchy(keys.to_pylist(), parents, names.to_pylist())
    except HierarchyError as error:
        raise FormatError(str(error), path=path) from None
    stated = (table.schema.metadata or pq.read_schema(path).metadata or {}).get(FINGERPRINT_KEY)
    if stated is not None and stated.decode() != hierarchy.fingerprint:
        raise FormatError("the stored fingerprint does not fit the rows: the file was changed by hand", path=path)
    return hierarchy


def _schema_text() -> str:
    return ", ".join(f"{field.name} {field.type}" for field in arrow_schema())


def from_edges(
    pairs: Iterable[tuple[str, str]], *, keys: Iterable[str] = (), names: Mapping[str, Sequence[str]] | None = None
) -> Hierarchy:
    """See :meth:`Hierarchy.from_edges`."""
    index: dict[str, int] = {}
    for key in keys:
        if index.setdefault(key, len(index)) != len(index) - 1:
            raise HierarchyError(f"duplicate key {key!r}: a key identifies one category")
    parents: list[list[int]] = [[] for _ in index]
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise HierarchyError(f"found the edge {pair!r}, expected a (parent, child) pair of keys")
        for key in pair:
            if index.setdefault(key, len(index)) == len(parents):
                parents.append([])
        above = parents[index[pair[1]]]
        if index[pair[0]] in above:
            raise HierarchyError(f"the edge {pair[0]!r} -> {pair[1]!r} appears twice")
        above.append(index[pair[0]])
    return Hierarchy(list(index), parents, _names_of(index, names))


def _names_of(index: Mapping[str, int], names: Mapping[str, Sequence[str]] | None) -> list[tuple[str, ...]]:
    """The names of each key; a single name may be a plain string."""
    found = [(names or {}).get(key, ()) for key in index]
    return [(each,) if isinstance(each, str) else tuple(each) for each in found]


def from_networkx(graph: networkx.DiGraph[Any]) -> Hierarchy:
    """See :meth:`Hierarchy.from_networkx`.

    A node's key is its ``key`` attribute, else the node as text; ``names`` and ``index`` are used where given, the
    latter where every node has one.
    """
    import networkx as nx

    if not graph.is_directed() or graph.is_multigraph():
        raise HierarchyError(f"found a {type(graph).__name__}, expected a networkx DiGraph with edges parent to child")
    nodes = list(graph.nodes)
    given = nx.get_node_attributes(graph, "index")
    if given and sorted(given.values()) == list(range(len(nodes))):
        nodes.sort(key=given.__getitem__)
    elif given:
        raise HierarchyError(f"the index attributes of the {len(nodes)} nodes do not count up from 0, one each")
    place = {node: i for i, node in enumerate(nodes)}
    keys = [str(graph.nodes[node].get("key", node)) for node in nodes]
    names = {key: graph.nodes[node].get("names", ()) for key, node in zip(keys, nodes, strict=True)}
    parents = [[place[above] for above in graph.predecessors(node)] for node in nodes]
    return Hierarchy(keys, parents, _names_of(dict.fromkeys(keys, 0), names) if len(names) == len(keys) else None)


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
    new = np.full(len(hierarchy), -1, np.int32)
    new[kept] = np.arange(len(kept), dtype=np.int32)
    parents = [new[row][new[row] >= 0] for row in hierarchy.parents(kept)]
    return Hierarchy([hierarchy.keys[i] for i in kept], CSR.from_rows(parents), [hierarchy.names[i] for i in kept])


def restrict(hierarchy: Hierarchy, categories: Iterable[CategoryLike] | NDArray[Any]) -> Hierarchy:
    """See :meth:`Hierarchy.restrict`."""
    kept = hierarchy.index(categories)
    if len(np.unique(kept)) != len(kept):
        values, counts = np.unique(kept, return_counts=True)
        raise HierarchyError(f"duplicate category {hierarchy[int(values[counts > 1][0])]}: name each one once")
    return Hierarchy(
        [hierarchy.keys[i] for i in kept],
        CSR.from_rows(nearest_kept(hierarchy, kept)),
        [hierarchy.names[i] for i in kept],
    )


def nearest_kept(hierarchy: Hierarchy, kept: NDArray[Any]) -> list[list[int]]:
    """For each of `kept`, its nearest kept ancestors as positions in `kept`, nearest first.

    A kept ancestor is left out where another kept ancestor lies below it.
    """
    new = np.full(len(hierarchy), -1, np.int64)
    new[kept] = np.arange(len(kept))
    parents = []
    for row in hierarchy.closure.take(kept):
        above = row[new[row] >= 0]
        parents.append(new[hierarchy.most_specific(above)].tolist() if len(above) > 1 else new[above].tolist())
    return parents
