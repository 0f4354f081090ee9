"""Covariate adjustment: which sets turn a regression into an effect, the least and the best."""

from collections.abc import Collection

from fedcausal.effects.mixed_graph import MixedGraph, Names

__all__ = [
    "adjustment_set",
    "causal_nodes",
    "forbidden_nodes",
    "is_adjustment_set",
    "is_back_door_set",
    "minimal_adjustment_set",
    "non_causal_path",
    "optimal_adjustment_set",
]


def causal_nodes(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> Names:
    """All but the treatments on directed paths to an outcome that leave the treatments at once."""
    below = graph.without_into(treatments).descendants(treatments)
    above = graph.without_out_of(treatments).ancestors(outcomes)
    return (below & above) - frozenset(treatments)


def forbidden_nodes(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> Names:
    """What no adjustment set may hold: descendants of causal nodes, and the treatments."""
    return graph.descendants(causal_nodes(graph, treatments, outcomes)) | frozenset(treatments)


def non_causal_path(
    graph: MixedGraph,
    treatments: Collection[str],
    outcomes: Collection[str],
    given: Collection[str],
) -> str | None:
    """A non-causal path that `given` leaves open, as it is drawn, or None."""
    return _back_door_graph(graph, treatments, outcomes).open_path(treatments, outcomes, given)


def is_adjustment_set(
    graph: MixedGraph,
    treatments: Collection[str],
    outcomes: Collection[str],
    given: Collection[str],
) -> bool:
    """Whether E[Y | do(x)] is the mean over `given` of E[Y | x, given], in every model.

    References
    ----------
    Shpitser, VanderWeele and Robins (2010), On the validity of covariate adjustment for
    estimating causal effects, UAI. Van der Zander, Liskiewicz and Textor (2019), Separators and
    adjustment sets in causal graphs, Artificial Intelligence 270, theorem 4.
    """
    if set(given) & (forbidden_nodes(graph, treatments, outcomes) | frozenset(outcomes)):
        return False
    return non_causal_path(graph, treatments, outcomes, given) is None


def is_back_door_set(
    graph: MixedGraph, treatment: str, outcome: str, given: Collection[str]
) -> bool:
    """Pearl's back-door criterion: no descendant of the treatment, all paths into it blocked.

    >>> fork = MixedGraph(nodes=tuple("axy"), directed=frozenset({("a", "x"), ("a", "y")}))
    >>> is_back_door_set(fork, "x", "y", []), is_back_door_set(fork, "x", "y", ["a"])
    (False, True)
    """
    if set(given) & (graph.descendants([treatment]) | {outcome}):
        return False
    return graph.without_out_of([treatment]).is_separated([treatment], [outcome], given)


def adjustment_set(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> Names | None:
    """The set that works whenever any does: allowed ancestors of the two; None if none works."""
    allowed = frozenset(graph.nodes) - forbidden_nodes(graph, treatments, outcomes)
    ends = frozenset(treatments) | frozenset(outcomes)
    reduced = _back_door_graph(graph, treatments, outcomes)
    found = (reduced.ancestors(ends) & allowed) - ends
    return found if reduced.is_separated(treatments, outcomes, found) else None


def minimal_adjustment_set(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> Names | None:
    """An adjustment set of which no part is one; None if there is no set at all.

    Within the ancestors of the two ends separation is monotone, so that leaving out one variable
    after the other ends at a minimal set. Variables near the treatment go first.
    """
    found = adjustment_set(graph, treatments, outcomes)
    if found is None:
        return None
    reduced = _back_door_graph(graph, treatments, outcomes)
    for name in sorted(found, key=lambda n: (n not in graph.parents(treatments), n)):
        if reduced.is_separated(treatments, outcomes, found - {name}):
            found -= {name}
    return found


def optimal_adjustment_set(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> Names | None:
    """The adjustment set with the least asymptotic variance, where the graph has one.

    It is pa(cn) without forbidden nodes. With hidden common causes it may not be an adjustment
    set, and then the answer is None.

    Assumptions: for linear models, and semiparametrically efficient estimates of all others.

    References
    ----------
    Henckel, Perkovic and Maathuis (2022), Graphical criteria for efficient total effect
    estimation via adjustment in causal linear models, JRSS B 84, definition 3.1. Rotnitzky and
    Smucler (2020), JMLR 21.
    """
    causal = causal_nodes(graph, treatments, outcomes)
    found = graph.parents(causal) - forbidden_nodes(graph, treatments, outcomes)
    return found if is_adjustment_set(graph, treatments, outcomes, found) else None


def _back_door_graph(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> MixedGraph:
    """The graph without the first edges of causal paths: what stays open there is not causal."""
    causal = causal_nodes(graph, treatments, outcomes)
    return graph.without([e for e in graph.directed if e[0] in treatments and e[1] in causal])
