"""Graphs of networkx, there and back; marks and probabilities are attributes of the edges."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast, get_args

from fedcausal.errors import GraphError
from fedcausal.graph import PROBABILITIES, Edge, Graph, GraphKind, Mark

if TYPE_CHECKING:
    import networkx

__all__ = ["from_networkx", "to_networkx"]


def to_networkx(graph: Graph) -> "networkx.DiGraph":
    """One arc per edge, from source to target, with both marks; the graph's kind is kept.

    An edge that is not directed is one arc as well: its attributes `source_mark` and
    `target_mark` say what it is.
    """
    import networkx

    found = networkx.DiGraph(kind=graph.kind)
    found.add_nodes_from(graph.nodes)
    for edge in graph.edges:
        known = {name: getattr(edge, name) for name in PROBABILITIES}
        found.add_edge(
            edge.source,
            edge.target,
            source_mark=edge.source_mark.value,
            target_mark=edge.target_mark.value,
            **{name: value for name, value in known.items() if value is not None},
        )
    return found


def from_networkx(found: "networkx.Graph") -> Graph:
    """Read a graph of `to_networkx`, or any other one.

    Without marks, an arc is a directed edge, two opposite arcs are an undirected one, and so is
    every edge of a graph that is not a DiGraph. Without a kind, it is a `dag` when every edge is
    directed, a `cpdag` when some are undirected, and else a `pag`. Names become text.

    Raises
    ------
    GraphError
        For parallel edges, names that are equal as text, unknown marks, or what the kind forbids.
    """
    if found.is_multigraph():
        raise GraphError("networkx: a graph has at most one edge between two variables")
    arcs = {(str(a), str(b)): attributes for a, b, attributes in found.edges(data=True)}
    edges = [
        _edge(pair, attributes, is_two_way=not found.is_directed() or pair[::-1] in arcs)
        for pair, attributes in arcs.items()
        if not _is_second(pair, arcs)
    ]
    kind = found.graph.get("kind") or _kind(edges)
    if kind not in get_args(GraphKind):
        raise GraphError(f"networkx: expected a kind of {get_args(GraphKind)}, got {kind!r}")
    nodes = tuple(str(name) for name in found.nodes)
    return Graph(kind=cast(GraphKind, kind), nodes=nodes, edges=tuple(edges))


def _is_second(pair: tuple[str, str], arcs: Mapping[tuple[str, str], Any]) -> bool:
    """Whether an arc without marks is the later half of a two-way pair."""
    opposite = pair[::-1]
    if opposite not in arcs or "source_mark" in arcs[pair] or pair == opposite:
        return False
    return list(arcs).index(opposite) < list(arcs).index(pair)


def _edge(pair: tuple[str, str], attributes: Mapping[str, Any], *, is_two_way: bool) -> Edge:
    plain = Mark.TAIL if is_two_way else Mark.ARROW
    try:
        return Edge(
            source=pair[0],
            target=pair[1],
            source_mark=Mark(attributes.get("source_mark", Mark.TAIL)),
            target_mark=Mark(attributes.get("target_mark", plain)),
            **{
                name: float(attributes[name])
                for name in PROBABILITIES
                if attributes.get(name) is not None
            },
        )
    except (TypeError, ValueError) as error:
        raise GraphError(
            f"networkx: edge {pair[0]!r}, {pair[1]!r}: expected marks {', '.join(Mark)} and "
            f"numbers as probabilities: {error}"
        ) from None


def _kind(edges: list[Edge]) -> GraphKind:
    if all(edge.is_directed for edge in edges):
        return "dag"
    return "cpdag" if all(edge.is_directed or edge.is_undirected for edge in edges) else "pag"
