"""The front door: an effect through mediators that no hidden cause of the treatment reaches."""

from itertools import combinations

from fedcausal.effects.adjustment import causal_nodes
from fedcausal.effects.mixed_graph import MixedGraph, Names

__all__ = ["MOST_MEDIATORS", "front_door_set", "is_front_door_set"]

MOST_MEDIATORS = 12
"""Candidates whose subsets are tried; the general algorithm answers beyond."""


def is_front_door_set(graph: MixedGraph, treatment: str, outcome: str, mediators: Names) -> bool:
    """Whether a set meets the three conditions of the front-door criterion.

    The mediators cut all directed paths from the treatment to the outcome; no path into the
    treatment is open towards them; the treatment blocks all paths into them from the outcome.

    References
    ----------
    Pearl (2009), Causality, definition 3.3.3.
    """
    if mediators & {treatment, outcome} or not mediators:
        return False
    rest = graph.induced(frozenset(graph.nodes) - mediators)
    if outcome in rest.descendants([treatment]):
        return False
    if not graph.without_out_of([treatment]).is_separated([treatment], mediators):
        return False
    return graph.without_out_of(mediators).is_separated(mediators, [outcome], [treatment])


def front_door_set(graph: MixedGraph, treatment: str, outcome: str) -> Names | None:
    """The smallest set that meets the criterion, or None where there is none (to be found)."""
    back = graph.without_out_of([treatment])
    on_paths = causal_nodes(graph, [treatment], [outcome]) - {outcome}
    usable = [n for n in graph.nodes if n in on_paths and back.is_separated([treatment], [n])]
    if len(usable) > MOST_MEDIATORS:
        return None
    sets = (frozenset(c) for k in range(1, len(usable) + 1) for c in combinations(usable, k))
    return next((s for s in sets if is_front_door_set(graph, treatment, outcome, s)), None)
