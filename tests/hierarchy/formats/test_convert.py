"""A hierarchy from and to edges, networkx and Parquet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlimages import Hierarchy
from mlimages.errors import CycleError, FormatError, HierarchyError

GARBAGE = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Edges -----------------------------------------------------------------------------------------------------------


def test_edges_number_categories_by_first_appearance():
    h = Hierarchy.from_edges([("animal", "dog"), ("pet", "dog"), ("animal", "pet")])
    assert h.keys == ("animal", "dog", "pet")
    assert [row.tolist() for row in h.parents()] == [[], [0, 2], [0]]


def test_edges_number_categories_by_the_given_keys_first():
    h = Hierarchy.from_edges([("a", "b")], keys=["lone", "b"], names={"b": ["B", "bee"], "a": "A", "unused": ["U"]})
    assert h.keys == ("lone", "b", "a")
    assert h.names == ((), ("B", "bee"), ("A",))
    assert [row.tolist() for row in h.parents()] == [[], [2], []]


def test_edges_may_be_an_iterator_of_lists_or_arrays():
    assert Hierarchy.from_edges(iter([["a", "b"], np.array(["b", "c"])])).keys == ("a", "b", "c")
    assert len(Hierarchy.from_edges([])) == 0


@pytest.mark.parametrize(
    ("pairs", "keys", "error", "message"),
    [
        ([("a", "b"), ("a", "b")], (), HierarchyError, "the edge 'a' -> 'b' appears twice"),
        ([("a", "b"), ("b", "a")], (), CycleError, "cycle of 2 categories: a -> b -> a"),
        ([("a", "a")], (), CycleError, "cycle of 1 category: a -> a"),
        (["ab"], (), HierarchyError, "found the edge 'ab', expected"),
        ([("a",)], (), HierarchyError, r"found the edge \('a',\), expected a \(parent, child\) pair of string keys"),
        ([("a", 1)], (), HierarchyError, "found the edge"),
        ([("a", ["b"])], (), HierarchyError, "found the edge"),
        ([None], (), HierarchyError, "found the edge None"),
        ([("", "b")], (), HierarchyError, "category 0 has the key ''"),
        ([], ["a", "a"], HierarchyError, "duplicate key 'a'"),
        ([], [["a"]], HierarchyError, r"found the key \['a'\], expected a string"),
    ],
)
def test_bad_edges_are_refused(pairs, keys, error, message):
    with pytest.raises(error, match=message):
        Hierarchy.from_edges(pairs, keys=keys)


# networkx ----------------------------------------------------------------------------------------------------------


def test_networkx_graph_runs_from_parent_to_child_with_attributes(zoo):
    graph = zoo.to_networkx()
    assert type(graph) is nx.DiGraph
    assert list(graph.predecessors("dog")) == ["animal", "pet"]
    assert graph.nodes["dog"] == {"key": "dog", "names": ("Dog", "a dog"), "index": 0}
    assert graph.number_of_edges() == 9
    assert Hierarchy.from_networkx(graph) == zoo


def test_networkx_graph_without_attributes_is_read_in_node_order():
    h = Hierarchy.from_networkx(nx.DiGraph([(1, 2), (1, "x")]))
    assert h.keys == ("1", "2", "x")
    assert [row.tolist() for row in h.parents()] == [[], [0], [0]]
    assert h.names == ((), (), ())


def test_networkx_attributes_win_over_nodes():
    graph = nx.DiGraph()
    graph.add_node("second", key="b", index=1, names="bee")
    graph.add_node("first", key="a", index=0)
    graph.add_edge("first", "second")
    h = Hierarchy.from_networkx(graph)
    assert (h.keys, h.names) == (("a", "b"), ((), ("bee",)))
    assert h.parents("b").tolist() == [0]


def _graph(*nodes: tuple[object, dict[str, object]], edges: tuple[tuple[object, object], ...] = ()) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return graph


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        (nx.Graph(), HierarchyError, "found a Graph, expected a networkx DiGraph with edges parent to child"),
        (nx.MultiDiGraph(), HierarchyError, "found a MultiDiGraph"),
        ([("a", "b")], HierarchyError, "found a list"),
        (_graph((1, {}), ("1", {})), HierarchyError, "duplicate key '1': categories 0 and 1"),
        (_graph((1, {"key": "a"}), (2, {"key": "a"})), HierarchyError, "duplicate key 'a'"),
        (_graph(("a", {"index": 0}), ("b", {})), HierarchyError, "do not count up from 0"),
        (_graph(("a", {"index": 0}), ("b", {"index": 2})), HierarchyError, "the index attributes of the 2 nodes"),
        (_graph(("a", {"index": 0}), ("b", {"index": "1"})), HierarchyError, "do not count up from 0"),
        (_graph(("a", {"index": None})), HierarchyError, "do not count up from 0"),
        (_graph(("a", {"names": 3})), HierarchyError, "the node 'a' has the names 3, expected a list of strings"),
        (_graph(edges=(("a", "b"), ("b", "a"))), CycleError, "cycle of 2 categories: a -> b -> a"),
        (_graph(edges=(("a", "a"),)), CycleError, "cycle of 1 category"),
    ],
)
def test_bad_graphs_are_refused(graph, error, message):
    with pytest.raises(error, match=message):
        Hierarchy.from_networkx(graph)


# Parquet -----------------------------------------------------------------------------------------------------------


def table(**changed: pa.Array | None) -> pa.Table:
    """A table of three categories, some columns changed or, if None, left out."""
    columns = {
        "index": pa.array([0, 1, 2], pa.int32()),
        "key": pa.array(["a", "b", "c"]),
        "names": pa.array([["x", "y"], [], ["z"]], pa.list_(pa.string())),
        "parents": pa.array([[], [0], [1, 0]], pa.list_(pa.int32())),
    } | changed
    return pa.table({name: column for name, column in columns.items() if column is not None})


def test_parquet_brings_the_hierarchy_back(zoo, tmp_path):
    zoo.to_parquet(tmp_path / "h.parquet")
    assert Hierarchy.from_parquet(tmp_path / "h.parquet") == zoo


def test_parquet_is_the_same_byte_for_byte_every_time(zoo, tmp_path):
    for name in ("1", "2"):
        zoo.to_parquet(tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_parquet_has_the_documented_columns(zoo, tmp_path):
    zoo.to_parquet(str(tmp_path / "h.parquet"))
    written = pq.read_table(tmp_path / "h.parquet")
    assert written.schema.metadata[b"mlimages.hierarchy.fingerprint"].decode() == zoo.fingerprint
    assert written.slice(0, 1).to_pylist() == [{"index": 0, "key": "dog", "names": ["Dog", "a dog"], "parents": [2, 3]}]


@pytest.mark.parametrize("keys", [[], ["a"]])
def test_parquet_brings_the_smallest_hierarchies_back(keys, tmp_path):
    h = Hierarchy(keys, [[] for _ in keys])
    h.to_parquet(tmp_path / "h.parquet")
    assert Hierarchy.from_parquet(tmp_path / "h.parquet") == h


def test_parquet_of_wider_types_and_more_columns_is_read(tmp_path):
    wide = table(
        index=pa.array([0, 1, 2], pa.int64()),
        key=pa.array(["a", "b", "c"], pa.large_string()).dictionary_encode(),
        parents=pa.array([[], [0], [1, 0]], pa.large_list(pa.int64())),
        extra=pa.array([1.0, 2.0, 3.0]),
    )
    pq.write_table(wide, tmp_path / "h.parquet", row_group_size=2)
    h = Hierarchy.from_parquet(tmp_path / "h.parquet")
    assert (h.keys, h.names) == (("a", "b", "c"), (("x", "y"), (), ("z",)))
    assert [row.tolist() for row in h.parents()] == [[], [0], [1, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table(parents=None), "found the columns index, key, names; expected parents once among them"),
        (table(index=pa.array(["0", "one", "2"])), "not a Parquet file of a hierarchy"),
        (table(index=pa.array([0, 2, 1])), "found a column index that does not count up from 0"),
        (table(index=pa.array([0, None, 2])), "null"),
        (table(key=pa.array(["a", None, "c"])), "null"),
        (table(key=pa.array(["a", "b", "a"])), "duplicate key 'a': categories 0 and 2"),
        (table(key=pa.array([b"a", b"\xff", b"c"])), "(?i)utf-?8"),
        (table(names=pa.array([["x"], None, []])), "null"),
        (table(names=pa.array([["x"], [None], []])), "found a null in the lists of the column names, expected none"),
        (table(names=pa.array(["x", "y", "z"])), "expected index int32, key string, names list"),
        (table(parents=pa.array([[], [None], []], pa.list_(pa.int32()))), "null in the lists of the column parents"),
        (table(parents=pa.array([[], [3], []])), r"category 1 \(b\) has the unknown parent 3"),
        (table(parents=pa.array([[], [2**40], []])), "not a Parquet file of a hierarchy"),
        (table(parents=pa.array([[], [0, 0], []])), r"category 1 \(b\) names its parent 0 \(a\) twice"),
        (table(parents=pa.array([[], [2], [1]])), "cycle of 2 categories: b -> c -> b"),
        (table().replace_schema_metadata({"mlimages.hierarchy.fingerprint": "0"}), "the stored fingerprint does not"),
        (pa.Table.from_arrays([pa.array([0])] * 2, ["index", "index"]), "expected index once among them"),
        (pa.table({}), "expected index once among them"),
    ],
)
def test_bad_parquet_is_refused_with_the_file(rows, message, tmp_path):
    path = tmp_path / "h.parquet"
    pq.write_table(rows, path)
    with pytest.raises(FormatError, match=message) as caught:
        Hierarchy.from_parquet(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"category_index\tcategory_id\n"])
def test_no_parquet_is_refused_with_the_file(content, tmp_path):
    path = tmp_path / "h.parquet"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"^{path}: not a Parquet file of a hierarchy \("):
        Hierarchy.from_parquet(path)


def test_missing_files_and_folders_are_os_errors(zoo, tmp_path):
    with pytest.raises(FileNotFoundError):
        Hierarchy.from_parquet(tmp_path / "none.parquet")
    with pytest.raises(IsADirectoryError):
        Hierarchy.from_parquet(tmp_path)
    with pytest.raises(FileNotFoundError):
        zoo.to_parquet(tmp_path / "none" / "h.parquet")


@GARBAGE
@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_a_format_error(tmp_path, data, framed):
    path = tmp_path / "garbage.parquet"
    path.write_bytes(b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1" if framed else data)
    with pytest.raises(FormatError):
        Hierarchy.from_parquet(path)


@GARBAGE
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5))
def test_mutated_parquet_is_read_or_refused(tmp_path, zoo, mutations):
    path = tmp_path / "mutated.parquet"
    zoo.to_parquet(path)
    data = bytearray(path.read_bytes())
    for place, value in mutations:
        data[int(place * len(data))] = value
    path.write_bytes(data)
    try:
        h = Hierarchy.from_parquet(path)
    except FormatError:
        return
    assert h.fingerprint  # what was read is whole


def test_reading_parquet_does_not_load_pandas(zoo, tmp_path):
    zoo.to_parquet(tmp_path / "h.parquet")
    code = "import sys, mlimages; mlimages.Hierarchy.from_parquet(sys.argv[1]); print('pandas' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "h.parquet"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert run.stdout == "False\n"
