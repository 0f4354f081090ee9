"""GML, the Graph Modelling Language; marks are keys of the edges."""

from fedcausal.errors import GraphError
from fedcausal.formats.networkx_graph import from_networkx, to_networkx
from fedcausal.graph import Graph

__all__ = ["read_gml", "write_gml"]


def write_gml(graph: Graph) -> str:
    """The graph as GML text; a node's label is its name."""
    import networkx

    return "\n".join(networkx.generate_gml(to_networkx(graph))) + "\n"


def read_gml(text: str) -> Graph:
    """Read what `write_gml` wrote, or any GML graph with labels; see `from_networkx`.

    Raises
    ------
    GraphError
        When the text is no GML, or not a graph of its kind.
    """
    import networkx

    try:
        found = networkx.parse_gml(text.splitlines())
    except Exception as error:  # the parser raises whatever its layers raise
        raise GraphError(f"gml: the text cannot be read: {error}") from None
    return from_networkx(found)
