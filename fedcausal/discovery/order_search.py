"""Score-based search over causal orders: best insertions, grow-shrink families, restarts."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.family_search import FamilySearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.optimum import Optimum
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.permitted_orders import PermittedOrders
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.pdag import bits
from fedcausal.scores.noisy_score import NoisyBlockScore
from fedcausal.scores.score import BlockScore

__all__ = ["STOPPED", "Climber", "Clock", "best_of_climbs", "order_search"]

# A climb must gain more than this: below it, floating point decides.
TOLERANCE = 1e-8

# Climbs agree when their scores, sums in different orders, differ by less than this.
AGREEMENT = 1e-6

# Up to so many variables a table of families is quicker than loading compiled kernels.
FEW_VARIABLES = 12

# Climbs in a row without gain that one of the user's restarts stands for.
CLIMBS_PER_RESTART = 2

# Climbs that end at the best score end the search when there are so many more than restarts: at 20
# variables a quarter less time, and no more misses than climbs take to settle.
MORE_AGREEING = 2

STOPPED = "the search stopped at its time limit: another run may find another graph"


class Climber(Protocol):
    """Takes an order to one that no move of a single variable improves."""

    @property
    def num_scores(self) -> int:
        """Families scored so far."""

    def climb(
        self, order: Sequence[int], rng: np.random.Generator, is_over: Callable[[], bool]
    ) -> Optimum:
        """Climb until no move helps or the time is over; of equal moves one at random."""


def order_search(
    statistics: BlockCovariance,
    knowledge: Knowledge,
    options: DiscoveryOptions,
    edge_prior: NDArray[np.float64] | None = None,
    *,
    progress: Callable[[int, float], None] | None = None,
) -> Discovery:
    """Find the causal order whose grow-shrink families have the largest total score.

    From a random order that honours tiers and required edges, each variable is moved to its best
    position, and to a random one of equally good positions, until no move has helped in two
    rounds (beyond a dozen variables the second starts from a random order of the DAG that the
    first has left); so again from further random orders, until twice `restarts` of them in a row
    have brought nothing, or `restarts` + 2 have ended at the best score. Forbidden parents are
    never candidates and required ones never removed, so every graph on the way honours the
    knowledge. Chance goes by variable name: neither the order of the columns nor that of the sites
    changes the graph.

    Parameters
    ----------
    statistics
        Block covariances; at least one variable.
    knowledge
        About exactly the variables of the statistics (`Knowledge.restrict`).
    options
        Uses `penalty`, `restarts`, `seed`, `time_limit_seconds`.
    edge_prior
        (d, d) [parent, child] in the order of `statistics.names`, added to the score.
    progress
        Called after each climb with the number of climbs and the best score so far.

    Returns
    -------
    Discovery
        With the class of the best DAG.

    Assumptions: no latent confounding, faithfulness to what block covariances can express.

    References
    ----------
    Teyssier and Koller (2005), Ordering-based search, UAI. Andrews et al. (2023), Fast scalable
    and accurate discovery of DAGs using the best order score search and grow-shrink trees,
    NeurIPS. Wienöbst, Leopold and Henckel (2025), Embracing discrete search, arXiv:2510.04970.
    """
    clock = Clock(options.time_limit_seconds)
    names = sorted(statistics.names)
    score = BlockScore.from_covariance(
        statistics, penalty=options.penalty, edge_prior=edge_prior, names=names
    )
    climber = _climber(score, knowledge)
    orders = PermittedOrders(knowledge.predecessors(names))
    best = best_of_climbs(climber, orders, options, clock, progress)
    edges = [(names[i], names[j]) for j, mask in enumerate(best.parents) for i in bits(mask)]
    best_dag = Graph.dag(statistics.names, edges)
    graph = cpdag_of(best_dag, knowledge)
    return Discovery(
        graph=graph,
        dag=extension(graph, knowledge),
        algorithm="order-search",
        score=score.total(best_dag),
        num_scores=climber.num_scores,
        notes=(STOPPED,) if clock.has_struck else (),
        seconds=clock.seconds,
    )


def _climber(score: BlockScore, knowledge: Knowledge) -> Climber:
    # The compiled kernels know no noise.
    if len(score.names) <= FEW_VARIABLES or isinstance(score, NoisyBlockScore):
        return FamilySearch(score, knowledge)
    from fedcausal.discovery.compiled_search import CompiledSearch

    return CompiledSearch(score, knowledge)


def best_of_climbs(
    climber: Climber,
    orders: PermittedOrders,
    options: DiscoveryOptions,
    clock: "Clock",
    progress: Callable[[int, float], None] | None = None,
) -> Optimum:
    """Climb from random orders until many have brought nothing or agree, or the time is over."""
    rng = np.random.default_rng(options.seed)
    best = climber.climb(orders.random(rng), rng, clock.is_over)
    num_climbs, failed, agreeing = 1, 0, 1
    while (
        failed < CLIMBS_PER_RESTART * options.restarts
        and agreeing < options.restarts + MORE_AGREEING
        and not clock.is_over()
    ):
        if progress is not None:
            progress(num_climbs, best.score)
        candidate = climber.climb(orders.random(rng), rng, clock.is_over)
        num_climbs += 1
        gained = candidate.score - best.score
        if gained > TOLERANCE:
            best, failed, agreeing = candidate, 0, 1
        else:
            failed, agreeing = failed + 1, agreeing + (gained > -AGREEMENT)
    if progress is not None:
        progress(num_climbs, best.score)
    return best


class Clock:
    """Says when the time is over, and remembers having said so."""

    def __init__(self, limit_seconds: float | None) -> None:
        self._started = monotonic()
        self._limit = float("inf") if limit_seconds is None else limit_seconds
        self.has_struck = False

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return monotonic() - self._started

    def is_over(self) -> bool:
        """Whether the limit has passed."""
        self.has_struck = self.has_struck or self.seconds > self._limit
        return self.has_struck
