"""GraphML, as yEd, Gephi and networkx read it; marks are data of the edges."""

from fedcausal.errors import GraphError
from fedcausal.formats.networkx_graph import from_networkx, to_networkx
from fedcausal.graph import Graph

__all__ = ["read_graphml", "write_graphml"]


def write_graphml(graph: Graph) -> str:
    """The graph as GraphML text; nodes are n0, n1, ... with their name as data `name`.

    Raises
    ------
    GraphError
        A name holds a character that XML does not allow.
    """
    import networkx

    for name in graph.nodes:
        if not name or not all(_is_xml(character) for character in name):
            raise GraphError(f"graphml: the name {name!r} cannot be written in XML; rename it")
    plain = to_networkx(graph)
    numbered = networkx.relabel_nodes(plain, {name: f"n{i}" for i, name in enumerate(plain)})
    for node, name in zip(numbered, graph.nodes, strict=True):
        numbered.nodes[node]["name"] = name
    return "\n".join(networkx.generate_graphml(numbered)) + "\n"


def read_graphml(text: str) -> Graph:
    """Read what `write_graphml` wrote, or any GraphML graph; see `from_networkx`.

    A node is called by its data `name`, else `label`, else its id.

    Raises
    ------
    GraphError
        When the text is no GraphML, declares a document type, or is not a graph of its kind.
    """
    import networkx

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise GraphError("graphml: a document type or entities have no place here; remove them")
    try:
        found = networkx.parse_graphml(text)
    except Exception as error:  # the parser raises whatever its layers raise
        raise GraphError(f"graphml: the text cannot be read: {error}") from None
    names = {
        node: str(data.get("name", data.get("label", node))) for node, data in found.nodes.items()
    }
    if len(set(names.values())) < len(names):
        raise GraphError("graphml: a graph names each variable once")
    return from_networkx(networkx.relabel_nodes(found, names))


def _is_xml(character: str) -> bool:
    """What XML 1.0 allows and every parser gives back unchanged."""
    code = ord(character)
    return code == 0x9 or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
