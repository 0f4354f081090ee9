"""Graphviz DOT: the graph for drawing, and back."""

from collections.abc import Mapping

from fedcausal.errors import GraphError
from fedcausal.formats.graph_text import Statement, parse_statements, quote
from fedcausal.graph import PROBABILITIES, Edge, Graph, GraphKind, Mark

__all__ = ["read_dot", "write_dot"]

_SHAPES: Mapping[Mark, str] = {Mark.TAIL: "none", Mark.ARROW: "normal", Mark.CIRCLE: "odot"}
_MARKS: Mapping[str | None, Mark] = {shape: mark for mark, shape in _SHAPES.items()}
_KINDS: Mapping[str | None, GraphKind] = {"dag": "dag", "cpdag": "cpdag", "pag": "pag"}


def write_dot(graph: Graph) -> str:
    """Text for `dot -Tsvg`: marks as arrow shapes, probabilities as labels.

    The graph's kind is kept as the attribute `kind`, which Graphviz ignores.
    """
    lines = ["digraph {", f"  kind={graph.kind}"]
    lines += [f"  {quote(name)}" for name in graph.nodes]
    lines += [f"  {_edge_line(edge)}" for edge in graph.edges]
    return "\n".join([*lines, "}", ""])


def read_dot(text: str) -> Graph:
    """Read what `write_dot` wrote, or a plain `digraph { a -> b }` (a DAG).

    Raises
    ------
    GraphError
        When the text is not such a digraph.
    """
    _, statements = parse_statements(text, source="dot", keywords={"digraph"})
    kind = next((i.attributes["kind"] for i in statements if "kind" in i.attributes), "dag")
    if kind not in _KINDS:
        raise GraphError(f"dot: expected kind = {' | '.join(_SHAPES)}, got {kind!r}")
    bodies = [item for item in statements if not _is_default(item)]
    nodes = dict.fromkeys(name for item in bodies for name in item.names)
    edges = tuple(edge for item in bodies for edge in _edges(item))
    return Graph(kind=_KINDS[kind], nodes=tuple(nodes), edges=edges)


def _is_default(item: Statement) -> bool:
    """`node [shape=box]` and its like; a variable may still be called node."""
    return item.names in (("graph",), ("node",), ("edge",)) and bool(item.attributes)


def _edge_line(edge: Edge) -> str:
    attributes = []
    if not edge.is_directed:
        tail, head = _SHAPES[edge.source_mark], _SHAPES[edge.target_mark]
        attributes += ["dir=both", f"arrowtail={tail}", f"arrowhead={head}"]
    if edge.probability is not None:
        label = f"{edge.probability:.2f}"
        attributes.append(f'label="{label}"')
    for name in PROBABILITIES:
        value = getattr(edge, name)
        if value is not None:
            attributes.append(f'{name}="{value!r}"')
    suffix = f" [{', '.join(attributes)}]" if attributes else ""
    return f"{quote(edge.source)} -> {quote(edge.target)}{suffix}"


def _edges(item: Statement) -> list[Edge]:
    given = {name: item.attributes.get(name) for name in PROBABILITIES}
    known = {name: _number(text) for name, text in given.items() if text is not None}
    pairs = zip(item.names, item.signs, item.names[1:], strict=False)
    return [
        Edge(
            source=first,
            target=second,
            source_mark=_mark(item, "arrowtail", "none"),
            target_mark=_mark(item, "arrowhead", "normal"),
            **known,
        )
        for first, _, second in pairs
    ]


def _mark(item: Statement, key: str, default: str) -> Mark:
    shape = item.attributes.get(key, default)
    if shape not in _MARKS:
        raise GraphError(f"dot: expected {key} = {' | '.join(_SHAPES.values())}, got {shape!r}")
    return _MARKS[shape]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GraphError(f"dot: expected a number as probability, got {text!r}") from None
