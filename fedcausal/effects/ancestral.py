"""Adjustment in a partial ancestral graph: what is known in spite of hidden common causes."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from fedcausal.effects.mixed_graph import Names
from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, Mark

__all__ = [
    "AncestralAnswer",
    "adjust_in_pag",
    "forbidden_in_pag",
    "is_adjustment_set_in_pag",
    "is_visible",
    "open_path_in_pag",
    "possible_descendants",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AncestralAnswer:
    """What a PAG says of an effect.

    Attributes
    ----------
    is_zero
        No path can be causal.
    adjustment_set
        A set that is valid in every graph of the class; None where there is none.
    reason
        Why there is none: the path that stands against it.
    """

    is_zero: bool = False
    adjustment_set: Names | None = None
    reason: str = ""


def adjust_in_pag(pag: Graph, treatment: str, outcome: str) -> AncestralAnswer:
    """Whether adjustment identifies the effect in every graph of the class, and by which set.

    Assumptions: no selection; the PAG is that of the observed law. Adjustment is complete for
    sets, not for all formulas: an effect without a set may still be identified otherwise.

    References
    ----------
    Perkovic, Textor, Kalisch and Maathuis (2018), JMLR 18, definition 4 (generalized adjustment
    criterion) and corollary 17 (the set that works whenever any does).
    """
    if outcome not in possible_descendants(pag, [treatment]):
        return AncestralAnswer(is_zero=True, adjustment_set=frozenset())
    path = _not_amenable(pag, treatment, outcome)
    if path is not None:
        return AncestralAnswer(
            reason=f"on {path} the first edge may be no cause, or hide a common one"
        )
    ends = {treatment, outcome}
    forbidden = forbidden_in_pag(pag, treatment, outcome)
    found = possible_ancestors(pag, ends) - ends - forbidden
    path = open_path_in_pag(pag, treatment, outcome, found)
    if path is None:
        return AncestralAnswer(adjustment_set=_thinned(pag, treatment, outcome, found))
    return AncestralAnswer(reason=f"no allowed set blocks the non-causal path {path}")


def is_adjustment_set_in_pag(
    pag: Graph, treatment: str, outcome: str, given: Collection[str]
) -> bool:
    """The generalized adjustment criterion: amenable, nothing forbidden, other paths blocked."""
    return (
        _not_amenable(pag, treatment, outcome) is None
        and not set(given) & {*forbidden_in_pag(pag, treatment, outcome), outcome}
        and open_path_in_pag(pag, treatment, outcome, given) is None
    )


def possible_descendants(pag: Graph, names: Collection[str]) -> Names:
    """`names` and all that a path without an arrowhead against it reaches from them."""
    return _possible(pag, names, forward=True)


def possible_ancestors(pag: Graph, names: Collection[str]) -> Names:
    """`names` and all from which such a path leads to them."""
    return _possible(pag, names, forward=False)


def forbidden_in_pag(pag: Graph, treatment: str, outcome: str) -> Names:
    """Possible descendants of what lies on possibly causal paths, and the treatment."""
    rest = _induced(pag, frozenset(pag.nodes) - {treatment})
    first = {e.target for e in _edges_at(pag, treatment) if e.source_mark is not Mark.ARROW}
    below = possible_descendants(rest, first)
    causal = below & possible_ancestors(rest, [outcome])
    return possible_descendants(pag, causal) | {treatment}


def is_visible(pag: Graph, edge: Edge) -> bool:
    """Whether source -> target can hide no common cause.

    It cannot if some variable apart from the target has an edge into the source, or a path of
    colliders into it that are all parents of the target.

    References
    ----------
    Zhang (2008), Causal reasoning with ancestral graphs, JMLR 9, definition 8.
    """
    if not edge.is_directed:
        return False
    source, target = edge.source, edge.target
    parents = set(pag.parents(target))
    seen, frontier = {source}, [source]
    while frontier:
        for step in _edges_at(pag, frontier.pop()):
            if step.source_mark is not Mark.ARROW or step.target in seen or step.target == target:
                continue
            if not pag.adjacent(step.target, target):
                return True
            if step.target_mark is Mark.ARROW and step.target in parents:
                seen.add(step.target)
                frontier.append(step.target)
    return False


def open_path_in_pag(
    pag: Graph, treatment: str, outcome: str, given: Collection[str]
) -> str | None:
    """A definite-status path, not causal, that `given` leaves open, as it is drawn; else None.

    Every inner variable is surely a collider (in or above `given`) or surely none (not in it).
    Walks are followed edge by edge, so that the cost does not grow with the number of paths: an
    open walk stands for an open path wherever the effect is amenable and nothing forbidden given.
    """
    conditioned = set(given)
    above = conditioned.union(*(pag.ancestors(name) for name in conditioned))
    trails = {
        (edge.source, edge.target, edge.source_mark is not Mark.ARROW): [edge]
        for edge in _edges_at(pag, treatment)
    }
    frontier = list(trails)
    for state in frontier:
        (_, name, is_causal), path = state, trails[state]
        if name == outcome and not is_causal:
            return _drawn(path)
        for edge in [] if name == outcome else _edges_at(pag, name):
            following = (name, edge.target, is_causal and edge.source_mark is not Mark.ARROW)
            is_new = edge.target != treatment and following not in trails
            if is_new and _is_open(pag, path[-1], edge, conditioned, above):
                trails[following] = [*path, edge]
                frontier.append(following)
    return None


def _is_open(
    pag: Graph, entering: Edge, leaving: Edge, conditioned: set[str], above: set[str]
) -> bool:
    marks = (entering.target_mark, leaving.source_mark)
    name = leaving.source
    if marks == (Mark.ARROW, Mark.ARROW):
        return name in above
    apart = not pag.adjacent(entering.source, leaving.target)
    is_definite = Mark.TAIL in marks or (marks == (Mark.CIRCLE, Mark.CIRCLE) and apart)
    return is_definite and name not in conditioned


def _not_amenable(pag: Graph, treatment: str, outcome: str) -> str | None:
    """A possibly causal path whose first edge is not visible, as it is drawn."""
    rest = _induced(pag, frozenset(pag.nodes) - {treatment})
    for edge in _edges_at(pag, treatment):
        if edge.source_mark is Mark.ARROW or is_visible(pag, edge):
            continue
        path = _possible_path(rest, edge.target, outcome)
        if path is not None:
            return _drawn([edge, *path])
    return None


def _possible_path(pag: Graph, start: str, end: str) -> list[Edge] | None:
    trails: dict[str, list[Edge]] = {start: []}
    frontier = [start]
    for name in frontier:
        for edge in _edges_at(pag, name):
            if edge.source_mark is not Mark.ARROW and edge.target not in trails:
                trails[edge.target] = [*trails[name], edge]
                frontier.append(edge.target)
    return trails.get(end)


def _thinned(pag: Graph, treatment: str, outcome: str, found: Names) -> Names:
    """The set without the variables that it does not need, tried one after the other."""
    for name in sorted(found):
        if open_path_in_pag(pag, treatment, outcome, found - {name}) is None:
            found -= {name}
    return found


def _possible(pag: Graph, names: Collection[str], *, forward: bool) -> Names:
    found, frontier = set(names), list(names)
    while frontier:
        for edge in _edges_at(pag, frontier.pop()):
            against = edge.source_mark if forward else edge.target_mark
            if against is not Mark.ARROW and edge.target not in found:
                found.add(edge.target)
                frontier.append(edge.target)
    return frozenset(found)


def _edges_at(pag: Graph, name: str) -> Iterator[Edge]:
    """Every edge of a variable, read from it."""
    if pag.kind != "pag":
        raise GraphError(f"expected a pag, got a {pag.kind}")
    for edge in pag.edges:
        if edge.source == name:
            yield edge
        elif edge.target == name:
            yield edge.reversed()


def _induced(pag: Graph, names: Names) -> Graph:
    edges = tuple(e for e in pag.edges if {e.source, e.target} <= names)
    return Graph(kind="pag", nodes=tuple(n for n in pag.nodes if n in names), edges=edges)


def _drawn(path: list[Edge]) -> str:
    return path[0].source + "".join(f" {edge.sign} {edge.target}" for edge in path)
