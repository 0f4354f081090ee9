"""Search with polynomial bases: blocks tell the class, the additive reading its directions."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.family_search import FamilySearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.nonlinearity import direct_by_nonlinearity
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import STOPPED, Clock, best_of_climbs, order_search
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.pdag import bits
from fedcausal.scores.score import BlockScore

__all__ = ["additive_search"]

DENSER = (
    "additive mechanisms would need {} edges where dependence of whole blocks needs {}, as linear "
    "mechanisms with skewed noise do: no direction was read from nonlinearity"
)
DIRECTED = (
    "directed by nonlinearity, beyond what independences tell: {}; this assumes additive "
    "mechanisms and nearly Gaussian noise"
)


def additive_search(
    statistics: BlockCovariance,
    knowledge: Knowledge,
    options: DiscoveryOptions,
    edge_prior: NDArray[np.float64] | None = None,
) -> Discovery:
    """Find a graph under two readings of the same sums, and keep the sparser one.

    The block reading (`order_search`) asks which whole blocks depend on one another: it scores
    equivalent graphs alike and tells no direction within a class. The additive reading
    (`BlockScore.of_responses`) asks which parents' polynomials explain a child's number: it needs
    fewer parameters where mechanisms are additive with Gaussian noise, and then tells directions;
    but against the direction of a linear mechanism with skewed noise it sees bends, and adds edges
    to explain them. So the additive graph is kept when it has no more edges than the other. Edges
    that nonlinearity directs beyond its Markov class are in `by_nonlinearity`; it is asked only
    where both graphs join the two ends of an edge with the same variables.

    Each search moves every variable to its best position until no move helps, and restarts.
    Every order honours tiers and required edges, forbidden parents are no candidates, required
    ones are never removed.

    Parameters
    ----------
    statistics
        Block covariances with polynomials of some numbers; at least one variable.
    knowledge
        About exactly the variables of the statistics (`Knowledge.restrict`).
    options
        Uses `penalty`, `restarts`, `seed`, `time_limit_seconds`.
    edge_prior
        (d, d) [parent, child] in the order of `statistics.names`, added to the score.

    Assumptions: dependence within the span of the basis, no latent confounding.

    References
    ----------
    Bühlmann, Peters and Ernest (2014), CAM: causal additive models, Annals of Statistics 42.
    Raskutti and Uhler (2018), Learning directed acyclic graph models based on sparsest
    permutations, Stat 7. Teyssier and Koller (2005), Ordering-based search, UAI.
    """
    clock = Clock(options.time_limit_seconds)
    in_blocks = order_search(statistics, knowledge, options, edge_prior)
    names = sorted(statistics.names)
    score = BlockScore.of_responses(
        statistics, penalty=options.penalty, edge_prior=edge_prior, names=names
    )
    climber = FamilySearch(score, knowledge)
    best = best_of_climbs(climber, climber.orders, options, clock)
    edges = [(names[i], names[j]) for j, mask in enumerate(best.parents) for i in bits(mask)]
    if len(edges) > len(in_blocks.graph.edges):
        denser = DENSER.format(len(edges), len(in_blocks.graph.edges))
        return replace(in_blocks, notes=(*in_blocks.notes, denser), seconds=clock.seconds)
    found = _directed(Graph.dag(statistics.names, edges), in_blocks.graph, score, knowledge)
    return replace(
        found,
        num_scores=in_blocks.num_scores + climber.num_scores,
        notes=(*found.notes, STOPPED) if clock.has_struck else found.notes,
        seconds=clock.seconds,
    )


def _directed(best: Graph, in_blocks: Graph, score: BlockScore, knowledge: Knowledge) -> Discovery:
    """The class of the best additive DAG, with what nonlinearity directs in it."""
    directions = direct_by_nonlinearity(best, score, knowledge)
    against = [pair for pair in directions.against if _agree_around(best, in_blocks, pair)]
    known = replace(knowledge, forbidden=(*knowledge.forbidden, *against))
    graph, markov_class = cpdag_of(best, known), cpdag_of(best, knowledge)
    beyond = tuple(e for e in graph.directed_edges if e not in markov_class.directed_edges)
    told = DIRECTED.format(", ".join(f"{a} -> {b}" for a, b in beyond))
    dag = extension(graph, knowledge)
    return Discovery(
        graph=graph,
        dag=dag,
        algorithm="order-search",
        score=_total(score, dag),
        by_nonlinearity=beyond,
        notes=(*directions.notes, told) if beyond else directions.notes,
    )


def _agree_around(first: Graph, second: Graph, pair: tuple[str, str]) -> bool:
    """Whether both graphs join both variables of a pair with the same others."""
    return all(
        {other for other in first.nodes if first.adjacent(name, other)}
        == {other for other in second.nodes if second.adjacent(name, other)}
        for name in pair
    )


def _total(score: BlockScore, dag: Graph) -> float:
    place = score.names.index
    return sum(score.local(place(c), [place(p) for p in dag.parents(c)]) for c in dag.nodes)
