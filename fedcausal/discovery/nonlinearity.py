"""Directions that only nonlinearity tells, and when to believe them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.equivalence import cpdag_of, pdag_of
from fedcausal.graph import Graph
from fedcausal.pdag import Pdag, apply_knowledge, bits, close
from fedcausal.scores.score import BlockScore

__all__ = ["Directions", "direct_by_nonlinearity"]

MAX_MEMBERS = 500
"""Members of one undirected component that are compared; a larger component stays as it is."""

TOO_MANY = (
    "{} are joined without directions in more than {} ways; nonlinearity was not asked about them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """What nonlinearity tells: `against` are the (child, parent) edges that it excludes."""

    against: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def direct_by_nonlinearity(dag: Graph, score: BlockScore, knowledge: Knowledge) -> Directions:
    r"""Compare, for each undirected edge of the class, the best members of either direction.

    u -> v is believed when the best member of the class that has it exceeds the best that has
    v -> u by more than :math:`\lambda \log n`, and v -> u is no simpler: there, too, the mechanism
    must bend, or show no line at all. The second condition is for linear mechanisms with skewed
    causes or noise: fitted against their direction they bend, and along it they are straight.

    Members are compared within one undirected component at a time, at most `MAX_MEMBERS`.

    Assumptions: additive mechanisms, Gaussian noise (approximately), no latent confounding.
    Where n is small the rule stays silent: under linear Gaussian mechanisms a wrong direction has
    a probability of the order of 1/n.

    References
    ----------
    Hoyer et al. (2009), Nonlinear causal discovery with additive noise models, NIPS. Bühlmann,
    Peters and Ernest (2014), CAM: causal additive models, Annals of Statistics 42.
    """
    nodes = score.names
    pdag = pdag_of(cpdag_of(Graph.dag(nodes, dag.directed_edges), knowledge))
    apply_knowledge(pdag, knowledge.allowed_parents(nodes))
    close(pdag)
    against, notes = list[tuple[str, str]](), list[str]()
    for component in _components(pdag):
        members = _members(pdag, component)
        if members is None:
            listed = ", ".join(nodes[i] for i in component)
            notes.append(TOO_MANY.format(listed, MAX_MEMBERS))
            continue
        totals = [sum(score.local(c, list(bits(m[c]))) for c in component) for m in members]
        ranked = sorted(range(len(members)), key=lambda k: -totals[k])
        for first, second in _edges(pdag, component):
            ends = _best_each_way(members, ranked, first, second)
            if ends is None:
                continue
            along, other = ends
            parent, child = (
                (first, second) if members[along][second] >> first & 1 else (second, first)
            )
            is_clear = totals[along] - totals[other] > _threshold(score)
            if is_clear and _is_no_simpler(score, parent, child, members[other]):
                against.append((nodes[child], nodes[parent]))
    return Directions(against=tuple(against), notes=tuple(notes))


def _threshold(score: BlockScore) -> float:
    return score.penalty * float(np.log(score.num_records.max()))


def _is_no_simpler(score: BlockScore, parent: int, child: int, reverse: list[int]) -> bool:
    """Whether child -> parent bends as well, or shows no line, in the member that has it."""
    others = [k for k in bits(reverse[parent]) if k != child]
    line, bend = score.line_and_bend(parent, child, others)
    return bend > 0.0 or line <= 0.0


def _best_each_way(
    members: list[list[int]], ranked: list[int], first: int, second: int
) -> tuple[int, int] | None:
    """The best member, and the best with this edge the other way round."""
    along = ranked[0]
    forward = members[along][second] >> first & 1
    other = next((k for k in ranked if members[k][second] >> first & 1 != forward), None)
    return None if other is None else (along, other)


def _components(pdag: Pdag) -> Iterator[list[int]]:
    """Variables that undirected edges join, smallest first."""
    left = {i for i in range(len(pdag.to)) if pdag.undirected(i)}
    while left:
        seen, frontier = 0, 1 << min(left)
        while frontier & ~seen:
            seen |= frontier
            for i in bits(frontier):
                frontier |= pdag.undirected(i)
        yield list(bits(seen))
        left -= set(bits(seen))


def _edges(pdag: Pdag, component: list[int]) -> list[tuple[int, int]]:
    return [(i, j) for i in component for j in bits(pdag.undirected(i)) if i < j]


def _members(pdag: Pdag, component: list[int]) -> list[list[int]] | None:
    """Parent masks of every orientation of one component; None when there are too many."""
    found, stack = list[list[int]](), [pdag]
    while stack:
        open_pdag = stack.pop()
        edge = next(iter(_edges(open_pdag, component)), None)
        if edge is None:
            found.append([open_pdag.parents(i) for i in range(len(open_pdag.to))])
            if len(found) > MAX_MEMBERS:
                return None
            continue
        for first, second in pairwise((*edge, edge[0])):
            directed = open_pdag.copy()
            directed.orient(first, second)
            close(directed)
            stack.append(directed)
    return found
