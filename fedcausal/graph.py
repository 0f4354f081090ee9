"""Causal graphs as values: DAGs, their equivalence classes, and partial ancestral graphs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import GraphError
from fedcausal_privacy.canonical import JsonValue

__all__ = ["MARK_CODES", "PROBABILITIES", "Edge", "Graph", "GraphKind", "Mark"]

GraphKind = Literal["dag", "cpdag", "pag"]


class Mark(StrEnum):
    """What stands at one end of an edge."""

    TAIL = "tail"
    ARROW = "arrow"
    CIRCLE = "circle"


# Codes of `Graph.marks`; 0 is no edge.
MARK_CODES: Mapping[Mark, int] = {Mark.TAIL: 1, Mark.ARROW: 2, Mark.CIRCLE: 3}

PROBABILITIES = ("probability", "source_mark_probability", "target_mark_probability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An edge with a mark at either end, and perhaps how probable it and its marks are.

    `probability` is that the pair is joined; `source_mark_probability` and
    `target_mark_probability` that it is joined with this mark at that end.
    """

    source: str
    target: str
    source_mark: Mark
    target_mark: Mark
    probability: float | None = None
    source_mark_probability: float | None = None
    target_mark_probability: float | None = None

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise GraphError(f"an edge joins two variables, got {self.source!r} twice")
        for name in PROBABILITIES:
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise GraphError(
                    f"edge {self.source!r}, {self.target!r}: expected a {name} in [0, 1], "
                    f"got {value}"
                )

    @classmethod
    def directed(cls, source: str, target: str) -> "Edge":
        """The edge source -> target."""
        return cls(source=source, target=target, source_mark=Mark.TAIL, target_mark=Mark.ARROW)

    @classmethod
    def undirected(cls, source: str, target: str) -> "Edge":
        """The edge source -- target."""
        return cls(source=source, target=target, source_mark=Mark.TAIL, target_mark=Mark.TAIL)

    @property
    def is_directed(self) -> bool:
        """True for source -> target."""
        return self.source_mark is Mark.TAIL and self.target_mark is Mark.ARROW

    @property
    def is_undirected(self) -> bool:
        """True for source -- target."""
        return self.source_mark is Mark.TAIL and self.target_mark is Mark.TAIL

    def reversed(self) -> "Edge":
        """The same edge, read from the other end."""
        return Edge(
            source=self.target,
            target=self.source,
            source_mark=self.target_mark,
            target_mark=self.source_mark,
            probability=self.probability,
            source_mark_probability=self.target_mark_probability,
            target_mark_probability=self.source_mark_probability,
        )

    @property
    def sign(self) -> str:
        """The edge as it is drawn: `->`, `--`, `<->`, `o->`, `o-o`, `-o` and their mirrors."""
        left = {Mark.TAIL: "", Mark.ARROW: "<", Mark.CIRCLE: "o"}[self.source_mark]
        right = {Mark.TAIL: "", Mark.ARROW: ">", Mark.CIRCLE: "o"}[self.target_mark]
        return f"{left}-{right}" if left or right else "--"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph of one kind; what its kind forbids cannot exist.

    Parameters
    ----------
    kind
        `dag` (every edge directed, no cycle), `cpdag` (directed or undirected edges, no directed
        cycle; with background knowledge it is the maximally oriented graph of the class), or
        `pag` (any marks).
    nodes
        Variable names in schema order.
    edges
        At most one per pair. They are stored in a normal form (arrowheads point at the target
        where only one end has one, otherwise schema order; sorted), so equal graphs are equal
        values.

    Raises
    ------
    GraphError
        For an unknown node, two edges on a pair, a mark that the kind forbids, or a cycle.

    Examples
    --------
    >>> graph = Graph.dag(("x", "y", "z"), [("x", "y"), ("y", "z")])
    >>> graph.parents("z"), sorted(graph.ancestors("z"))
    (('y',), ['x', 'y'])
    """

    kind: GraphKind
    nodes: tuple[str, ...]
    edges: tuple[Edge, ...] = ()
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _pairs: Mapping[frozenset[str], Edge] = field(init=False, repr=False, compare=False)
    _touching: Mapping[str, tuple[Edge, ...]] = field(init=False, repr=False, compare=False)
    _parents: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _children: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_nodes(self.kind, self.nodes)
        index = {name: position for position, name in enumerate(self.nodes)}
        object.__setattr__(self, "_index", index)
        edges = [_normal_form(edge, index) for edge in self.edges]
        edges.sort(key=lambda edge: (index[edge.source], index[edge.target]))
        object.__setattr__(self, "edges", tuple(edges))
        pairs = {frozenset((edge.source, edge.target)): edge for edge in edges}
        if len(pairs) < len(edges):
            raise GraphError("a graph has at most one edge between two variables")
        object.__setattr__(self, "_pairs", pairs)
        touching: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in edges:
            touching[edge.source].append(edge)
            touching[edge.target].append(edge)
        object.__setattr__(self, "_touching", {n: tuple(e) for n, e in touching.items()})
        # edges are sorted, so that parents and children come in schema order
        into: dict[str, list[str]] = {name: [] for name in self.nodes}
        out_of: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in edges:
            if edge.is_directed:
                into[edge.target].append(edge.source)
                out_of[edge.source].append(edge.target)
        object.__setattr__(self, "_parents", {n: tuple(own) for n, own in into.items()})
        object.__setattr__(self, "_children", {n: tuple(own) for n, own in out_of.items()})
        _check_marks(self.kind, edges)
        if self.kind != "pag":
            _order(self)

    @classmethod
    def dag(cls, nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> "Graph":
        """The DAG with these (parent, child) edges."""
        directed = tuple(Edge.directed(parent, child) for parent, child in edges)
        return cls(kind="dag", nodes=tuple(nodes), edges=directed)

    @classmethod
    def cpdag(
        cls,
        nodes: Iterable[str],
        directed: Iterable[tuple[str, str]] = (),
        undirected: Iterable[tuple[str, str]] = (),
    ) -> "Graph":
        """The partially directed graph with these edges (taken as given, not closed)."""
        edges = [Edge.directed(parent, child) for parent, child in directed]
        edges += [Edge.undirected(first, second) for first, second in undirected]
        return cls(kind="cpdag", nodes=tuple(nodes), edges=tuple(edges))

    @property
    def directed_edges(self) -> tuple[tuple[str, str], ...]:
        """All (parent, child) pairs."""
        return tuple((edge.source, edge.target) for edge in self.edges if edge.is_directed)

    @property
    def undirected_edges(self) -> tuple[tuple[str, str], ...]:
        """All pairs joined by an undirected edge, in schema order."""
        return tuple((edge.source, edge.target) for edge in self.edges if edge.is_undirected)

    def index(self, name: str) -> int:
        """The position of a variable; an unknown name is a `GraphError`."""
        if name not in self._index:
            raise GraphError(f"expected one of the graph's variables {self.nodes}, got {name!r}")
        return self._index[name]

    def edge(self, first: str, second: str) -> Edge | None:
        """The edge between two variables, in its normal form, or None."""
        self.index(first), self.index(second)
        return self._pairs.get(frozenset((first, second)))

    def adjacent(self, first: str, second: str) -> bool:
        """True if any edge joins the two."""
        return self.edge(first, second) is not None

    def parents(self, name: str) -> tuple[str, ...]:
        """All p with p -> name, in schema order."""
        self.index(name)
        return self._parents[name]

    def children(self, name: str) -> tuple[str, ...]:
        """All c with name -> c, in schema order."""
        self.index(name)
        return self._children[name]

    def neighbours(self, name: str) -> tuple[str, ...]:
        """All n with name -- n, in schema order."""
        return self._select(name, lambda edge: edge.is_undirected)

    def ancestors(self, name: str) -> frozenset[str]:
        """All variables with a directed path to `name`, itself left out."""
        return self._closure(name, self.parents)

    def descendants(self, name: str) -> frozenset[str]:
        """All variables that a directed path from `name` reaches, itself left out."""
        return self._closure(name, self.children)

    def topological_order(self) -> tuple[str, ...]:
        """Parents before children, ties in schema order; a `GraphError` unless this is a DAG."""
        if self.kind != "dag":
            raise GraphError(
                f"a topological order needs a dag, got a {self.kind}; use equivalence.extension"
            )
        return _order(self)

    def skeleton(self) -> frozenset[tuple[str, str]]:
        """All joined pairs, each in schema order."""
        pairs = ((edge.source, edge.target) for edge in self.edges)
        return frozenset((a, b) if self._index[a] < self._index[b] else (b, a) for a, b in pairs)

    def marks(self) -> NDArray[np.int8]:
        """Marks as a matrix (num_nodes, num_nodes): entry [i, j] is the mark at j on i *-* j.

        0 no edge, 1 tail, 2 arrow, 3 circle; i -> j is entry [i, j] = 2 and [j, i] = 1.
        """
        matrix = np.zeros((len(self.nodes), len(self.nodes)), dtype=np.int8)
        for edge in self.edges:
            i, j = self._index[edge.source], self._index[edge.target]
            matrix[i, j] = MARK_CODES[edge.target_mark]
            matrix[j, i] = MARK_CODES[edge.source_mark]
        return matrix

    def with_probabilities(self, probability: Callable[[Edge], float | None]) -> "Graph":
        """The same graph, each edge with the probability that the function gives it."""
        edges = tuple(replace(edge, probability=probability(edge)) for edge in self.edges)
        return replace(self, edges=edges)

    def to_json(self) -> dict[str, JsonValue]:
        """The graph as the JSON value of `graph.json`."""
        return {
            "kind": self.kind,
            "nodes": list(self.nodes),
            "edges": [_edge_json(edge) for edge in self.edges],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JsonValue]) -> "Graph":
        """Rebuild a graph from `to_json`; anything else is a `GraphError`."""
        try:
            nodes, edges = value["nodes"], value["edges"]
            if not isinstance(nodes, list) or not isinstance(edges, list):
                raise TypeError("nodes and edges are lists")
            return cls(
                kind=cast(GraphKind, value["kind"]),
                nodes=tuple(str(node) for node in nodes),
                edges=tuple(_edge_from_json(edge) for edge in edges),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise GraphError(
                f"graph.json: expected kind, nodes and edges (source, target, source_mark, "
                f"target_mark: {', '.join(Mark)}), got a value where {error} is wrong or missing"
            ) from None

    def _select(self, name: str, is_wanted: Callable[[Edge], bool]) -> tuple[str, ...]:
        self.index(name)
        found = [
            edge.target if edge.source == name else edge.source
            for edge in self._touching[name]
            if is_wanted(edge)
        ]
        return tuple(sorted(found, key=self._index.__getitem__))

    def _closure(self, name: str, step: Callable[[str], tuple[str, ...]]) -> frozenset[str]:
        found: set[str] = set()
        frontier = list(step(name))
        while frontier:
            reached = frontier.pop()
            if reached not in found:
                found.add(reached)
                frontier.extend(step(reached))
        return frozenset(found)


def _check_nodes(kind: str, nodes: tuple[str, ...]) -> None:
    if kind not in get_args(GraphKind):
        raise GraphError(f"expected a graph kind of {get_args(GraphKind)}, got {kind!r}")
    if len(set(nodes)) < len(nodes):
        raise GraphError(f"a graph names each variable once, got {nodes}")


def _check_marks(kind: GraphKind, edges: Iterable[Edge]) -> None:
    for edge in edges:
        fits = {
            "dag": edge.is_directed,
            "cpdag": edge.is_directed or edge.is_undirected,
            "pag": True,
        }[kind]
        if not fits:
            raise GraphError(
                f"a {kind} cannot hold the edge {edge.source!r} ({edge.source_mark}) to "
                f"{edge.target!r} ({edge.target_mark})"
            )


def _normal_form(edge: Edge, index: Mapping[str, int]) -> Edge:
    for name in (edge.source, edge.target):
        if name not in index:
            raise GraphError(f"an edge names {name!r}, which is not among the nodes")
    arrows = (edge.source_mark is Mark.ARROW, edge.target_mark is Mark.ARROW)
    if arrows[0] != arrows[1]:
        return edge.reversed() if arrows[0] else edge
    return edge if index[edge.source] < index[edge.target] else edge.reversed()


def _order(graph: Graph) -> tuple[str, ...]:
    """Kahn's algorithm on the directed edges, ties in schema order."""
    children: dict[str, list[str]] = {name: [] for name in graph.nodes}
    waiting = dict.fromkeys(graph.nodes, 0)
    for parent, child in graph.directed_edges:
        children[parent].append(child)
        waiting[child] += 1
    order: list[str] = []
    while len(order) < len(graph.nodes):
        ready = next((name for name, count in waiting.items() if count == 0), None)
        if ready is None:
            raise GraphError(f"directed edges form a cycle among {sorted(waiting)}")
        order.append(ready)
        del waiting[ready]
        for child in children[ready]:
            waiting[child] -= 1
    return tuple(order)


def _edge_json(edge: Edge) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {
        "source": edge.source,
        "target": edge.target,
        "source_mark": edge.source_mark.value,
        "target_mark": edge.target_mark.value,
    }
    for name in PROBABILITIES:
        probability = getattr(edge, name)
        if probability is not None:
            value[name] = probability
    return value


def _edge_from_json(value: JsonValue) -> Edge:
    if not isinstance(value, dict):
        raise TypeError("an edge")
    given = {name: value[name] for name in PROBABILITIES if value.get(name) is not None}
    return Edge(
        source=str(value["source"]),
        target=str(value["target"]),
        source_mark=Mark(value["source_mark"]),
        target_mark=Mark(value["target_mark"]),
        **{name: float(probability) for name, probability in given.items()},
    )
