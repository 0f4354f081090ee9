"""Read a graph from text, whichever of the known formats it is in."""

import re

from fedcausal.errors import GraphError
from fedcausal.formats.adjacency_csv import read_adjacency_csv
from fedcausal.formats.bif import read_bif
from fedcausal.formats.dagitty import read_dagitty
from fedcausal.formats.dot import read_dot
from fedcausal.formats.gml import read_gml
from fedcausal.formats.graph_json import read_graph_json
from fedcausal.formats.graphml import read_graphml
from fedcausal.graph import Graph

__all__ = ["read_graph"]

# Spaces and comments before the graph.
COMMENTS = re.compile(r"\A(?:\s+|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)


def read_graph(text: str) -> Graph:
    """A graph from JSON, DAGitty, DOT, GraphML, GML, BIF or adjacency CSV, told by its beginning.

    Raises
    ------
    GraphError
        The text is none of these, or not a valid graph.

    >>> read_graph("dag { x -> y }").directed_edges
    (('x', 'y'),)
    """
    start = COMMENTS.sub("", text, count=1)
    first_line = start.partition("\n")[0]
    if start.startswith("{"):
        return read_graph_json(start)
    if start.startswith("<"):
        return read_graphml(start)
    if "," in first_line.partition("{")[0]:
        return read_adjacency_csv(start)
    keyword = re.split(r"[\s{\[\"]", start, maxsplit=1)[0].lower()
    if keyword in ("digraph", "strict"):
        return read_dot(start)
    if keyword in ("dag", "pdag", "pag", "mag"):
        return read_dagitty(start).graph
    if keyword in ("network", "variable"):
        return read_bif(start).graph
    if keyword == "creator" or re.match(r"graph\s*\[", start):
        return read_gml(start)
    raise GraphError(
        "expected a graph as JSON ({...}), DAGitty (dag {...}), DOT (digraph {...}), GraphML "
        "(<graphml ...>), GML (graph [...]), BIF (network ...) or adjacency CSV (,x,y), got text "
        f"that begins with {start[:20]!r}"
    )
