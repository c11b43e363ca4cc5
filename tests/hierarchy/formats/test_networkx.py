"""Hierarchies from and to networkx graphs."""

from __future__ import annotations

import networkx as nx
import pytest

from mlimages import Hierarchy
from mlimages.errors import CycleError, HierarchyError


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
