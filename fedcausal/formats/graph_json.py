"""`graph.json`: the graph's own format, without loss."""

import json

from fedcausal.errors import GraphError
from fedcausal.graph import Graph

__all__ = ["read_graph_json", "write_graph_json"]


def write_graph_json(graph: Graph) -> str:
    """The text of `graph.json`, ending in a newline."""
    return json.dumps(graph.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_graph_json(text: str) -> Graph:
    """Read `graph.json`; anything else is a `GraphError`."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise GraphError(f"graph.json: expected JSON, got text that breaks at {error}") from None
    if not isinstance(value, dict):
        raise GraphError(f"graph.json: expected an object, got a {type(value).__name__}")
    return Graph.from_json(value)
