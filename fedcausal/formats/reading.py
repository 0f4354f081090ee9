"""Read a graph from text, whichever of the known formats it is in."""

from fedcausal.errors import GraphError
from fedcausal.formats.dagitty import read_dagitty
from fedcausal.formats.dot import read_dot
from fedcausal.formats.graph_json import read_graph_json
from fedcausal.graph import Graph

__all__ = ["read_graph"]


def read_graph(text: str) -> Graph:
    """A graph from `graph.json`, DAGitty or DOT text, told apart by how it begins.

    Raises
    ------
    GraphError
        The text is none of these, or not a valid graph.

    >>> read_graph("dag { x -> y }").directed_edges
    (('x', 'y'),)
    """
    start = text.lstrip()
    if start.startswith("{"):
        return read_graph_json(text)
    keyword = start.split("{")[0].strip().lower().split(" ")[0]
    if keyword in ("digraph", "strict"):
        return read_dot(text)
    if keyword in ("dag", "pdag", "pag", "mag"):
        return read_dagitty(text).graph
    raise GraphError(
        "expected a graph as JSON ({...}), DAGitty (dag {...}) or DOT (digraph {...}), "
        f"got text that begins with {start[:20]!r}"
    )
