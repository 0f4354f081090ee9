"""BOSS with block scores: causal-learn's order moves and grow-shrink trees on released sums."""

from time import monotonic

import numpy as np

from fedcausal.discovery.causal_learn import LocalScore, best_order, parents_along
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import extension, graph_of_parents, graph_of_pdag
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.pdag import bits, class_of
from fedcausal.scores.score import BlockScore

__all__ = ["boss", "known_score", "order_within"]

STOPPED = (
    "boss: the time limit of {seconds:g} s ran out; this is the best graph so far, and it depends "
    "on the machine's speed"
)


def boss(
    statistics: BlockCovariance, knowledge: Knowledge, options: DiscoveryOptions
) -> Discovery:
    """Best order score search, its families scored by the block BIC of the released covariance.

    Knowledge is a part of the score: a family with a forbidden parent is never scored, one
    without a required parent always loses, so every order it moves through honours both.

    Parameters
    ----------
    statistics
        Block covariances.
    knowledge
        About exactly the variables of the statistics.
    options
        Uses `penalty`, `restarts` (from random orders), `seed` and the time limit.

    Assumptions: no latent confounding, faithfulness, dependence that block covariances express.
    Privacy: reads released totals only.

    References
    ----------
    Andrews, Ramsey, Sánchez-Romero, Camchong and Kummerfeld (2023), Fast scalable and accurate
    discovery of DAGs using the best order score search and grow-shrink trees, NeurIPS.
    """
    started = monotonic()
    limit = options.time_limit_seconds
    deadline = None if limit is None else started + limit
    names = tuple(sorted(statistics.names))
    score = BlockScore.from_covariance(statistics, penalty=options.penalty, names=names)
    scored = known_score(score, knowledge)
    rng = np.random.default_rng([options.seed, 2])
    best: tuple[float, list[int]] | None = None
    late = False
    for attempt in range(options.restarts + 1):
        wanted = rng.permutation(len(names)).tolist() if attempt else list(range(len(names)))
        order, total, late = best_order(
            scored,
            order_within(wanted, knowledge.predecessors(names)),
            seed=options.seed + attempt,
            deadline=deadline,
        )
        if best is None or total > best[0] + 1e-9 * abs(total):
            best = (total, order)
        if late:
            break
    parents = _parents(scored, best[1] if best else [], knowledge, names)
    by_name = graph_of_pdag(names, class_of(parents, knowledge.allowed_parents(names)))
    graph = Graph(kind="cpdag", nodes=statistics.names, edges=by_name.edges)
    return Discovery(
        graph=graph,
        dag=extension(graph, knowledge),
        algorithm="boss",
        score=sum(score.local(child, list(bits(mask))) for child, mask in enumerate(parents)),
        notes=(STOPPED.format(seconds=limit),) if late else (),
        seconds=monotonic() - started,
    )


def _parents(
    score: LocalScore, order: list[int], knowledge: Knowledge, names: tuple[str, ...]
) -> list[int]:
    """The families along the order, or along the nearest one in which no tier comes late.

    A move may place a variable before one of an earlier tier that it does not cause directly; the
    order is changed only where that makes it a cause by way of variables without a tier.
    """
    parents = parents_along(score, order)
    if not knowledge.causes_of_the_past(graph_of_parents(names, parents)):
        return parents
    return parents_along(score, order_within(order, knowledge.predecessors(names)))


def known_score(score: BlockScore, knowledge: Knowledge) -> LocalScore:
    """The block score where knowledge permits the family, over the variables of the score.

    A forbidden parent makes it `-inf` without looking at the data; each missing required parent
    costs more than any family can gain.
    """
    allowed = knowledge.allowed_parents(score.names)
    required = knowledge.required_parents(score.names)
    cost = 1e3 * float(score.num_records.max()) * max(int(score.widths.max()), 1)

    def scored(child: int, parents: tuple[int, ...]) -> float:
        mask = sum(1 << parent for parent in parents)
        if mask & ~allowed[child]:
            return float("-inf")
        return score.local(child, parents) - cost * (required[child] & ~mask).bit_count()

    return scored


def order_within(wanted: list[int], predecessors: list[int]) -> list[int]:
    """The order nearest to `wanted` that places every variable after its predecessors.

    >>> order_within([2, 1, 0], [0, 0, 0b001])
    [1, 0, 2]
    """
    left, done, order = list(wanted), 0, list[int]()
    while left:
        chosen = next(v for v in left if not predecessors[v] & ~done)
        left.remove(chosen)
        done |= 1 << chosen
        order.append(chosen)
    return order
