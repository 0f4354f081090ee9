"""DAGitty's text: the graph, what is exposure and outcome, and where nodes are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcausal.errors import GraphError
from fedcausal.formats.graph_text import Statement, parse_statements, quote
from fedcausal.graph import Edge, Graph, GraphKind, Mark

__all__ = ["Dagitty", "read_dagitty", "write_dagitty"]

_TYPES: Mapping[str, GraphKind] = {"dag": "dag", "pdag": "cpdag", "pag": "pag", "mag": "pag"}
_KEYWORDS: Mapping[GraphKind, str] = {"dag": "dag", "cpdag": "pdag", "pag": "pag"}
_LEFT: Mapping[Mark, str] = {Mark.TAIL: "", Mark.ARROW: "<", Mark.CIRCLE: "@"}
_RIGHT: Mapping[Mark, str] = {Mark.TAIL: "", Mark.ARROW: ">", Mark.CIRCLE: "@"}
_MARKS: Mapping[str, Mark] = {"<": Mark.ARROW, ">": Mark.ARROW, "@": Mark.CIRCLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dagitty:
    """A graph with DAGitty's roles and positions; probabilities have no place in this format."""

    graph: Graph
    exposures: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    latents: tuple[str, ...] = ()
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def write_dagitty(document: Dagitty) -> str:
    """Text that dagitty.net and the R package read.

    >>> print(write_dagitty(Dagitty(graph=Graph.dag("xy", [("x", "y")]), exposures=("x",))))
    dag {
    "x" [exposure]
    "y"
    "x" -> "y"
    }
    <BLANKLINE>
    """
    lines = [f"{_KEYWORDS[document.graph.kind]} {{"]
    lines += [quote(name) + _attributes(document, name) for name in document.graph.nodes]
    lines += [
        f"{quote(edge.source)} {_sign(edge)} {quote(edge.target)}" for edge in document.graph.edges
    ]
    return "\n".join([*lines, "}", ""])


def read_dagitty(text: str) -> Dagitty:
    """Read a `dag`, `pdag`, `pag` or `mag`; chains and undeclared nodes are allowed.

    Raises
    ------
    GraphError
        When the text is not DAGitty's, or the graph not of its kind.
    """
    keyword, statements = parse_statements(text, source="dagitty", keywords=_TYPES)
    nodes = list(dict.fromkeys(name for item in statements for name in item.names))
    edges = tuple(edge for item in statements for edge in _edges(item))
    declared = {item.names[0]: item.attributes for item in statements if len(item.names) == 1}
    positions = {
        name: _position(name, attributes["pos"])
        for name, attributes in declared.items()
        if "pos" in attributes
    }
    return Dagitty(
        graph=Graph(kind=_TYPES[keyword], nodes=tuple(nodes), edges=edges),
        exposures=_with_role(declared, {"exposure", "e", "source"}),
        outcomes=_with_role(declared, {"outcome", "o", "target"}),
        latents=_with_role(declared, {"latent", "l", "unobserved"}),
        positions=positions,
    )


def _attributes(document: Dagitty, name: str) -> str:
    attributes = []
    if name in document.exposures:
        attributes.append("exposure")
    if name in document.outcomes:
        attributes.append("outcome")
    if name in document.latents:
        attributes.append("latent")
    if name in document.positions:
        x, y = document.positions[name]
        attributes.append(f'pos="{x!r},{y!r}"')
    return f" [{','.join(attributes)}]" if attributes else ""


def _sign(edge: Edge) -> str:
    """`->`, `<->`, `@->`, `@-@`; two dashes where that leaves a tail unmarked: `--`, `@--`."""
    dash = "--" if edge.target_mark is Mark.TAIL or edge.is_undirected else "-"
    dash = "--" if edge.source_mark is Mark.TAIL and edge.target_mark is Mark.CIRCLE else dash
    return _LEFT[edge.source_mark] + dash + _RIGHT[edge.target_mark]


def _edges(item: Statement) -> list[Edge]:
    pairs = zip(item.names, item.signs, item.names[1:], strict=False)
    return [
        Edge(
            source=first,
            target=second,
            source_mark=_MARKS.get(sign[0], Mark.TAIL),
            target_mark=_MARKS.get(sign[-1], Mark.TAIL),
        )
        for first, sign, second in pairs
    ]


def _position(name: str, text: str | None) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise GraphError(
            f'dagitty: {name!r} has the position {text!r}; write pos="0.1,0.2"'
        ) from None
    return x, y


def _with_role(
    declared: Mapping[str, Mapping[str, str | None]], words: set[str]
) -> tuple[str, ...]:
    return tuple(name for name, attributes in declared.items() if words & set(attributes))
