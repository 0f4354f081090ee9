"""Score-based search over causal orders: best insertions, grow-shrink families, restarts."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.family_search import FamilySearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.optimum import Optimum
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.permitted_orders import PermittedOrders
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.graph import Graph
from fedcausal.noisy_score import NoisyBlockScore
from fedcausal.pdag import bits
from fedcausal.score import BlockScore

__all__ = ["Climber", "order_search"]

# A climb must gain more than this: below it, floating point decides.
TOLERANCE = 1e-8

# Up to so many variables a table of families is quicker than loading compiled kernels.
FEW_VARIABLES = 12

# Failed climbs in a row that one of the user's restarts stands for: with 20 of them the score is
# above that of FLOP with 20 restarts (20 to 100 variables, degree 3) at about twice its cost.
CLIMBS_PER_RESTART = 3

STOPPED = "the search stopped at its time limit: another run may find another graph"


class Climber(Protocol):
    """Takes an order to one that no move of a single variable improves."""

    @property
    def num_scores(self) -> int:
        """Families scored so far."""

    def climb(
        self, order: Sequence[int], warm: Optimum | None, is_over: Callable[[], bool]
    ) -> Optimum:
        """Climb until no move helps or the time is over; `warm` may lend its families."""


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
    position until no move helps; then, in turn, a perturbation of the best order and a random one
    are climbed from, until three times `restarts` climbs in a row have brought nothing. Forbidden
    parents are never candidates and required ones never removed, so every graph on the way honours
    the knowledge. Ties are broken by variable name: neither the order of the columns nor that of
    the sites changes the graph.

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
    clock = _Clock(options.time_limit_seconds)
    names = sorted(statistics.names)
    score = BlockScore.from_covariance(
        statistics, penalty=options.penalty, edge_prior=edge_prior, names=names
    )
    climber = _climber(score, knowledge)
    orders = PermittedOrders(knowledge.predecessors(names))
    best = _best_of_climbs(climber, orders, options, clock, progress)
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


def _best_of_climbs(
    climber: Climber,
    orders: PermittedOrders,
    options: DiscoveryOptions,
    clock: "_Clock",
    progress: Callable[[int, float], None] | None,
) -> Optimum:
    """Climb from a random order, then from perturbations of the best one and from random orders.

    Perturbations find what is near, random orders leave a basin with nothing better near: in turn
    they find better graphs than twice as many perturbations.
    """
    rng = np.random.default_rng(options.seed)
    best = climber.climb(orders.random(rng), None, clock.is_over)
    num_climbs, failed = 1, 0
    num_moves = 2 + len(orders.before) // 10
    patience = options.restarts * CLIMBS_PER_RESTART
    while failed < patience and not clock.is_over():
        if progress is not None:
            progress(num_climbs, best.score)
        if num_climbs % 2 == 0:
            start, warm = orders.random(rng), None
        else:
            start, warm = orders.perturb(best.order, num_moves, rng), best
        candidate = climber.climb(start, warm, clock.is_over)
        num_climbs += 1
        improved = candidate.score > best.score + TOLERANCE
        best, failed = (candidate, 0) if improved else (best, failed + 1)
    if progress is not None:
        progress(num_climbs, best.score)
    return best


class _Clock:
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
