"""What a class of DAGs says of an effect: whether it is one number, and else its parent sets."""

from itertools import combinations

from fedcausal.equivalence import extension, graph_of_parents, last_first, pdag_of
from fedcausal.errors import IdentificationError
from fedcausal.graph import Graph
from fedcausal.pdag import Pdag, bits, close, extend

__all__ = ["MOST_NEIGHBOURS", "is_amenable", "possible_parent_sets", "possibly_causes"]

MOST_NEIGHBOURS = 12
"""Undirected edges at the treatment whose 2^k orientations are tried."""


def possibly_causes(cpdag: Graph, treatment: str, outcome: str) -> bool:
    """Whether a path without an arrowhead against it leads from treatment to outcome."""
    return outcome in _reached(cpdag, (treatment,), treatment)


def is_amenable(cpdag: Graph, treatment: str, outcome: str) -> bool:
    """Whether every possibly causal path leaves the treatment by a directed edge.

    Then the effect is the same number in every DAG of the class: its adjustment sets are those of
    any member. For classes with background knowledge the answer may be no where a yes was
    possible; the parent sets then still list every effect.

    References
    ----------
    Perkovic, Textor, Kalisch and Maathuis (2018), Complete graphical characterization and
    construction of adjustment sets in Markov equivalence classes of ancestral graphs, JMLR 18,
    definition 5.
    """
    return outcome not in _reached(cpdag, cpdag.neighbours(treatment), treatment) | set(
        cpdag.neighbours(treatment)
    )


def possible_parent_sets(cpdag: Graph, treatment: str) -> tuple[tuple[str, ...], ...]:
    """The parents that the treatment has in the DAGs of the class, each set once.

    Every orientation of the edges at the treatment is closed under Meek's rules and kept if some
    DAG of the class has it; with background knowledge in the graph this is exact too.

    Raises
    ------
    IdentificationError
        When the treatment has too many undirected edges.

    References
    ----------
    Maathuis, Kalisch and Buehlmann (2009), Estimating high-dimensional intervention effects from
    observational data, Annals of Statistics 37. Perkovic, Kalisch and Maathuis (2017),
    Interpreting and using CPDAGs with background knowledge, UAI.
    """
    if cpdag.kind == "dag":
        return (cpdag.parents(treatment),)
    around = cpdag.neighbours(treatment)
    if len(around) > MOST_NEIGHBOURS:
        raise IdentificationError(
            f"the graph leaves {len(around)} edges at {treatment!r} without a direction; more "
            f"than {MOST_NEIGHBOURS} are not tried; state the order in time under knowledge.tiers"
        )
    colliders = _colliders(extension(cpdag))
    chosen = (c for size in range(len(around) + 1) for c in combinations(around, size))
    return tuple(
        tuple(n for n in cpdag.nodes if n in {*cpdag.parents(treatment), *parents})
        for parents in chosen
        if _exists(cpdag, treatment, parents, colliders)
    )


def _exists(
    cpdag: Graph,
    treatment: str,
    parents: tuple[str, ...],
    colliders: frozenset[tuple[frozenset[str], str]],
) -> bool:
    """Whether a DAG of the class has exactly these neighbours above the treatment."""
    pdag, here = pdag_of(cpdag), cpdag.index(treatment)
    for name in cpdag.neighbours(treatment):
        ends = (cpdag.index(name), here)
        pdag.orient(*(ends if name in parents else ends[::-1]))
    close(pdag)
    masks = extend(pdag, last_first(cpdag.nodes, None))
    if masks is None or not _keeps(pdag, masks):
        return False
    return _colliders(graph_of_parents(cpdag.nodes, masks)) == colliders


def _keeps(pdag: Pdag, masks: list[int]) -> bool:
    """Whether the extension has all directed edges of the graph that it extends."""
    return all(pdag.parents(i) & ~mask == 0 for i, mask in enumerate(masks))


def _colliders(dag: Graph) -> frozenset[tuple[frozenset[str], str]]:
    """Unshielded colliders: two parents that are not joined, and their child."""
    pdag = pdag_of(dag)
    found = set()
    for child in range(len(dag.nodes)):
        for i, j in combinations(bits(pdag.parents(child)), 2):
            if not pdag.adjacent(i) >> j & 1:
                found.add((frozenset((dag.nodes[i], dag.nodes[j])), dag.nodes[child]))
    return frozenset(found)


def _reached(cpdag: Graph, starts: tuple[str, ...], avoided: str) -> set[str]:
    """All that edges without an arrowhead at their beginning reach, around one variable."""
    found: set[str] = set()
    frontier = list(starts)
    while frontier:
        name = frontier.pop()
        for following in (*cpdag.children(name), *cpdag.neighbours(name)):
            if following != avoided and following not in found:
                found.add(following)
                frontier.append(following)
    return found
