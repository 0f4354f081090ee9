"""Acyclic graphs with hidden common causes: directed edges for causes, bidirected for those."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from fedcausal.errors import GraphError
from fedcausal.graph import Graph

__all__ = ["MixedGraph", "Names"]

Names = frozenset[str]
State = tuple[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedGraph:
    """An acyclic directed mixed graph (ADMG); a pair may hold a directed and a bidirected edge.

    Attributes
    ----------
    nodes
        Variable names in schema order.
    directed
        (parent, child) pairs, without a cycle.
    bidirected
        Pairs that a hidden variable may influence both of.

    Raises
    ------
    GraphError
        For an edge with an unknown variable, an edge to itself, or a cycle.

    References
    ----------
    Richardson (2003), Markov properties for acyclic directed mixed graphs, Scandinavian Journal
    of Statistics 30.
    """

    nodes: tuple[str, ...]
    directed: frozenset[tuple[str, str]] = frozenset()
    bidirected: frozenset[Names] = frozenset()

    def __post_init__(self) -> None:
        known = set(self.nodes)
        for pair in [*self.directed, *self.bidirected]:
            unknown = sorted(set(pair) - known)
            if unknown:
                raise GraphError(f"an edge names {unknown[0]!r}, which is not among the nodes")
            if len(set(pair)) != 2:
                raise GraphError(f"an edge joins two variables, got {sorted(pair)}")
        Graph.dag(self.nodes, self.directed)

    @classmethod
    def of(cls, dag: Graph, hidden: Iterable[Collection[str]] = ()) -> "MixedGraph":
        """A DAG with hidden common causes of some pairs."""
        if dag.kind != "dag":
            raise GraphError(f"expected a dag, got a {dag.kind}")
        return cls(
            nodes=dag.nodes,
            directed=frozenset(dag.directed_edges),
            bidirected=frozenset(frozenset(pair) for pair in hidden),
        )

    def parents(self, names: Iterable[str]) -> Names:
        """All p with p -> v for some v of `names`."""
        chosen = set(names)
        return frozenset(a for a, b in self.directed if b in chosen)

    def children(self, names: Iterable[str]) -> Names:
        """All c with v -> c for some v of `names`."""
        chosen = set(names)
        return frozenset(b for a, b in self.directed if a in chosen)

    def siblings(self, names: Iterable[str]) -> Names:
        """All s with s <-> v for some v of `names`."""
        chosen = set(names)
        found = (pair - {v} for pair in self.bidirected for v in pair & chosen)
        return frozenset(name for rest in found for name in rest)

    def ancestors(self, names: Iterable[str]) -> Names:
        """`names` and all from which a directed path leads to them."""
        return _closure(names, self.parents)

    def descendants(self, names: Iterable[str]) -> Names:
        """`names` and all that a directed path from them reaches."""
        return _closure(names, self.children)

    def districts(self) -> tuple[Names, ...]:
        """Maximal sets joined by bidirected edges (c-components), in the order of the nodes."""
        found: list[Names] = []
        for name in self.nodes:
            if not any(name in district for district in found):
                found.append(_closure([name], self.siblings))
        return tuple(found)

    def induced(self, names: Collection[str]) -> "MixedGraph":
        """The graph over some of the nodes, with the edges among them."""
        return MixedGraph(
            nodes=tuple(n for n in self.nodes if n in names),
            directed=frozenset(e for e in self.directed if set(e) <= set(names)),
            bidirected=frozenset(e for e in self.bidirected if e <= set(names)),
        )

    def without(self, edges: Collection[tuple[str, str]]) -> "MixedGraph":
        """The graph without some directed edges."""
        return MixedGraph(
            nodes=self.nodes,
            directed=self.directed - frozenset(edges),
            bidirected=self.bidirected,
        )

    def without_into(self, names: Collection[str]) -> "MixedGraph":
        """The graph of do(names): no edge has an arrowhead at them."""
        return MixedGraph(
            nodes=self.nodes,
            directed=frozenset(e for e in self.directed if e[1] not in names),
            bidirected=frozenset(e for e in self.bidirected if not e & set(names)),
        )

    def without_out_of(self, names: Collection[str]) -> "MixedGraph":
        """The graph without the directed edges that leave `names`."""
        return self.without([e for e in self.directed if e[0] in names])

    def topological_order(self) -> tuple[str, ...]:
        """Parents before children, ties in the order of the nodes."""
        return Graph.dag(self.nodes, self.directed).topological_order()

    def is_separated(
        self, first: Collection[str], second: Collection[str], given: Collection[str] = ()
    ) -> bool:
        """Whether `given` m-separates two sets: no walk between them is open.

        Raises
        ------
        GraphError
            When the sets overlap.
        """
        return self.open_path(first, second, given) is None

    def open_path(
        self, first: Collection[str], second: Collection[str], given: Collection[str] = ()
    ) -> str | None:
        """A shortest walk that `given` leaves open, as it is drawn; None where there is none.

        A walk is open if every collider on it is in or above `given`, and nothing else on it is
        in `given`.
        """
        blocked = set(given)
        if set(first) & set(second) or (set(first) | set(second)) & blocked:
            raise GraphError("separation needs three sets that share no variable")
        above = self.ancestors(blocked)
        trails: dict[State, str] = {}
        frontier: list[State] = []
        for start in sorted(first, key=self.nodes.index):
            for state, sign in self._steps(start):
                if state not in trails:
                    trails[state] = f"{start} {sign} {state[0]}"
                    frontier.append(state)
        for state in frontier:
            name, at_arrow = state
            if name in second:
                return trails[state]
            for following, sign in self._steps(name):
                is_collider = at_arrow and sign in ("<-", "<->")
                is_open = name in above if is_collider else name not in blocked
                if is_open and following not in trails:
                    trails[following] = f"{trails[state]} {sign} {following[0]}"
                    frontier.append(following)
        return None

    def _steps(self, name: str) -> list[tuple[State, str]]:
        """Neighbours with whether they are entered at an arrowhead, and the edge's sign."""
        steps: list[tuple[State, str]] = [((c, True), "->") for c in self.children([name])]
        steps += [((p, False), "<-") for p in self.parents([name])]
        steps += [((s, True), "<->") for s in self.siblings([name])]
        return sorted(steps)


def _closure(names: Iterable[str], step: Callable[[Iterable[str]], Names]) -> Names:
    found, fresh = frozenset(names), frozenset(names)
    while fresh:
        fresh = step(fresh) - found
        found |= fresh
    return found
