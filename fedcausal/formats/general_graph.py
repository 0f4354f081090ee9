"""causal-learn's GeneralGraph, there and back."""

from typing import TYPE_CHECKING

from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, Mark

if TYPE_CHECKING:
    from causallearn.graph.GeneralGraph import GeneralGraph

__all__ = ["from_general_graph", "to_general_graph"]


def to_general_graph(graph: Graph) -> "GeneralGraph":
    """The graph as causal-learn holds it; probabilities have no place there."""
    from causallearn.graph.Edge import Edge as CausalLearnEdge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode

    nodes = {name: GraphNode(name) for name in graph.nodes}
    found = GeneralGraph(list(nodes.values()))
    for each in graph.edges:
        # causal-learn drops an edge whose second end alone is a tail.
        edge = each.reversed() if each.target_mark is Mark.TAIL else each
        ends = (Endpoint[edge.source_mark.name], Endpoint[edge.target_mark.name])
        found.add_edge(CausalLearnEdge(nodes[edge.source], nodes[edge.target], *ends))
    found.set_pag(graph.kind == "pag")
    return found


def from_general_graph(found: "GeneralGraph") -> Graph:
    """Read a graph of causal-learn: a `pag` by its own flag, else by what its edges need.

    Raises
    ------
    GraphError
        For two edges on a pair, or a directed cycle in a graph that is no PAG.
    """
    names = tuple(node.get_name() for node in found.get_nodes())
    marks = {mark.name: mark for mark in Mark}
    edges = []
    for edge in found.get_graph_edges():
        ends = (edge.get_endpoint1().name, edge.get_endpoint2().name)
        if not set(ends) <= set(marks):
            raise GraphError(f"causal-learn: expected one edge on each pair, got {edge}")
        edges.append(
            Edge(
                source=edge.get_node1().get_name(),
                target=edge.get_node2().get_name(),
                source_mark=marks[ends[0]],
                target_mark=marks[ends[1]],
            )
        )
    if found.pag or not all(edge.is_directed or edge.is_undirected for edge in edges):
        return Graph(kind="pag", nodes=names, edges=tuple(edges))
    is_dag = all(edge.is_directed for edge in edges)
    return Graph(kind="dag" if is_dag else "cpdag", nodes=names, edges=tuple(edges))
