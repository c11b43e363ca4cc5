"""Hierarchies as networkx graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlimages.errors import HierarchyError
from mlimages.hierarchy.definition import Definition
from mlimages.hierarchy.relations import Relations

if TYPE_CHECKING:
    import networkx


def from_networkx(graph: networkx.DiGraph[Any]) -> Definition:
    """Read a graph whose edges run from parent to child.

    The key of a node is its ``key`` attribute if present, else ``str(node)``. The attributes ``names`` and ``index``
    are optional; ``index`` must be on all nodes or none, and gives the index order. Without it, nodes keep their order.

    Raises
    ------
    HierarchyError
        For another type of graph, indices that do not count up from 0, names that are not strings, and for what
        :class:`~mlimages.Hierarchy` refuses.
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
    return Definition.checked(keys, parents, [_names(node, graph.nodes[node].get("names", ())) for node in nodes])


def _names(node: object, names: Any) -> Sequence[str]:
    if not isinstance(names, str | list | tuple):
        raise HierarchyError(f"the node {node!r} has the names {names!r}, expected a list of strings")
    return names


def to_networkx(hierarchy: Relations) -> networkx.DiGraph[str]:
    """A ``DiGraph`` over the keys, parent to child; see :meth:`Hierarchy.to_networkx`."""
    import networkx as nx

    graph: networkx.DiGraph[str] = nx.DiGraph()
    for category in hierarchy:
        graph.add_node(category.key, key=category.key, names=category.names, index=category.index)
    for child, above in zip(hierarchy.keys, hierarchy.parents(), strict=True):
        graph.add_edges_from((hierarchy.keys[parent], child) for parent in above)
    return graph
