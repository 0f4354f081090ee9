"""Score-based search over causal orders: best insertions, grow-shrink families, restarts."""

from collections.abc import Sequence
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.graph import Graph
from fedcausal.pdag import bits
from fedcausal.score import BlockScore, Families

__all__ = ["FamilySearch", "order_search"]

# A move must gain more than this: below it, floating point decides.
TOLERANCE = 1e-8

# Evaluated parent sets kept in memory; the families found from them are kept for good.
CACHED_PARENT_SETS = 4096


def order_search(
    statistics: BlockCovariance,
    knowledge: Knowledge,
    options: DiscoveryOptions,
    edge_prior: NDArray[np.float64] | None = None,
) -> Discovery:
    """Find the causal order whose grow-shrink families have the largest total score.

    From an order that honours tiers and required edges, each variable is moved to its best
    position until no move helps; then `restarts` further climbs start, in turn, from a
    perturbation of the best order and from a random one. Forbidden parents are never candidates
    and required ones never removed, so every graph on the way honours the knowledge. Ties are
    broken by variable name: neither the order of the columns nor that of the sites changes the
    graph.

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

    Returns
    -------
    Discovery
        With the class of the best DAG.

    Assumptions: no latent confounding, faithfulness to what block covariances can express.

    References
    ----------
    Teyssier and Koller (2005), Ordering-based search, UAI. Andrews et al. (2023), Fast scalable
    and accurate discovery of DAGs using the best order score search and grow-shrink trees,
    NeurIPS. Wienöbst, Leopold and Henckel (2025), arXiv:2510.04970.
    """
    started = monotonic()
    names = sorted(statistics.names)
    score = BlockScore.from_covariance(
        statistics, penalty=options.penalty, edge_prior=edge_prior, names=names
    )
    search = FamilySearch(score, knowledge)
    climb = _Climb(search, started, options.time_limit_seconds)
    order = climb.improve(search.first_order())
    total = search.total(order)
    rng = np.random.default_rng(options.seed)
    for restart in range(options.restarts):
        start = search.random_order(rng) if restart % 2 else search.perturb(order, rng)
        candidate = climb.improve(start)
        if search.total(candidate) > total + TOLERANCE:
            order, total = candidate, search.total(candidate)
    return _discovery(statistics.names, search, order, knowledge, climb, monotonic() - started)


class FamilySearch:
    """Best families of each variable among its predecessors, remembered.

    Grow-shrink per child: from the required parents, the candidate that raises the score most is
    added while any does; then the parent whose removal raises it most is taken out while any does.

    Parameters
    ----------
    score
        The local scores.
    knowledge
        Which parents are allowed, required, and what must come first.
    """

    def __init__(self, score: BlockScore, knowledge: Knowledge) -> None:
        self.score = score
        self.num_scores = 0
        self.allowed = knowledge.allowed_parents(score.names)
        self.required = knowledge.required_parents(score.names)
        self.before = knowledge.predecessors(score.names)
        self.after = [
            sum(1 << j for j, mask in enumerate(self.before) if mask >> i & 1)
            for i in range(len(self.before))
        ]
        self._families: dict[int, Families] = {}
        self._candidates: dict[tuple[int, int], list[int]] = {}
        self._local: dict[tuple[int, int], float] = {}
        self._best: dict[tuple[int, int], tuple[int, float]] = {}

    def best(self, child: int, available: int) -> tuple[int, float]:
        """The grow-shrink parents of a child within a mask of predecessors, and their score."""
        available &= self.allowed[child]
        key = (child, available)
        found = self._best.get(key)
        if found is None:
            parents = self._shrink(child, self._grow(child, available))
            found = self._best[key] = (parents, self._score(child, parents))
        return found

    def total(self, order: Sequence[int]) -> float:
        """The score of an order: the sum over its families."""
        before, total = 0, 0.0
        for child in order:
            total += self.best(child, before)[1]
            before |= 1 << child
        return total

    def parents(self, order: Sequence[int]) -> list[int]:
        """The parent masks of the DAG of an order."""
        before, parents = 0, [0] * len(order)
        for child in order:
            parents[child] = self.best(child, before)[0]
            before |= 1 << child
        return parents

    def first_order(self) -> list[int]:
        """An order that honours the knowledge, ties by index."""
        return self._permitted(range(len(self.before)))

    def random_order(self, rng: np.random.Generator) -> list[int]:
        """A random order that honours the knowledge."""
        return self._permitted(rng.permutation(len(self.before)).tolist())

    def span(self, rest: Sequence[int], variable: int) -> tuple[int, int]:
        """First and last position at which a variable may enter the order of the others."""
        low, high = 0, len(rest)
        for position, other in enumerate(rest):
            if self.before[variable] >> other & 1:
                low = position + 1
            if self.after[variable] >> other & 1:
                high = min(high, position)
        return low, high

    def perturb(self, order: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Move a few variables (two, and one in ten) to random permitted positions."""
        result = list(order)
        for variable in rng.integers(len(result), size=2 + len(result) // 10).tolist():
            result.remove(variable)
            low, high = self.span(result, variable)
            result.insert(int(rng.integers(low, high + 1)), variable)
        return result

    def _permitted(self, wanted: Sequence[int]) -> list[int]:
        """The order wanted, each variable held back until all that must precede it are placed."""
        left, order = list(wanted), list[int]()
        while left:
            waiting = sum(1 << i for i in left)
            order.append(next(i for i in left if not self.before[i] & waiting))
            left.remove(order[-1])
        return order

    def _grow(self, child: int, available: int) -> int:
        parents = self.required[child]
        while True:
            ranked = self._raising(child, parents)
            chosen = next((k for k in ranked if available >> k & 1), None)
            if chosen is None:
                return parents
            parents |= 1 << chosen

    def _shrink(self, child: int, parents: int) -> int:
        while True:
            best, score = parents, self._score(child, parents) + TOLERANCE
            for k in bits(parents & ~self.required[child]):
                without = parents & ~(1 << k)
                if self._score(child, without) > score:
                    best, score = without, self._score(child, without)
            if best == parents:
                return parents
            parents = best

    def _raising(self, child: int, parents: int) -> list[int]:
        """Allowed further parents that raise the score, best first."""
        key = (child, parents)
        ranked = self._candidates.get(key)
        if ranked is None:
            families = self._evaluate(parents)
            scores = families.with_one_more[child]
            raising = np.flatnonzero(scores > families.here[child] + TOLERANCE)
            raising = raising[np.argsort(-scores[raising], kind="stable")]
            ranked = [k for k in raising.tolist() if self.allowed[child] >> k & 1]
            self._candidates[key] = ranked
            self._local[key] = float(families.here[child])
        return ranked

    def _score(self, child: int, parents: int) -> float:
        """One family's score: from a pass already made, else alone, which is quicker."""
        key = (child, parents)
        score = self._local.get(key)
        if score is None:
            families = self._families.get(parents)
            if families is None:
                score = self.score.local(child, list(bits(parents)))
                self.num_scores += 1
            else:
                score = float(families.here[child])
            self._local[key] = score
        return score

    def _evaluate(self, parents: int) -> Families:
        families = self._families.get(parents)
        if families is None:
            if len(self._families) >= CACHED_PARENT_SETS:
                self._families.clear()
            families = self._families[parents] = self.score.families(list(bits(parents)))
            self.num_scores += families.with_one_more.size
        return families


class _Climb:
    """Best-insertion moves until none helps, or the time is over."""

    def __init__(
        self, search: FamilySearch, started: float, time_limit_seconds: float | None
    ) -> None:
        self.search = search
        self.deadline = None if time_limit_seconds is None else started + time_limit_seconds
        self.is_complete = True

    def improve(self, order: list[int]) -> list[int]:
        """Move each variable to its best position, again and again."""
        moved = True
        while moved:
            moved = False
            for variable in range(len(order)):
                if self.deadline is not None and monotonic() > self.deadline:
                    self.is_complete = False
                    return order
                better = self._best_insertion(order, variable)
                if better is not None:
                    order, moved = better, True
        return order

    def _best_insertion(self, order: list[int], variable: int) -> list[int] | None:
        """The order with one variable at its best position, or None where it stands best."""
        best, current = self.search.best, order.index(variable)
        rest = order[:current] + order[current + 1 :]
        low, high = self.search.span(rest, variable)
        before = sum(1 << i for i in rest[:low])
        totals = [best(variable, before)[1]]
        shift = 0.0
        for other in rest[low:high]:
            shift += best(other, before)[1] - best(other, before | 1 << variable)[1]
            before |= 1 << other
            totals.append(shift + best(variable, before)[1])
        position = max(range(len(totals)), key=lambda i: (totals[i], -i))
        if totals[position] <= totals[current - low] + TOLERANCE:
            return None
        rest.insert(low + position, variable)
        return rest


def _discovery(
    names: tuple[str, ...],
    search: FamilySearch,
    order: Sequence[int],
    knowledge: Knowledge,
    climb: _Climb,
    seconds: float,
) -> Discovery:
    labels = search.score.names
    edges = [
        (labels[i], labels[j]) for j, mask in enumerate(search.parents(order)) for i in bits(mask)
    ]
    graph = cpdag_of(Graph.dag(names, edges), knowledge)
    stopped = "the search stopped at its time limit: another run may find another graph"
    return Discovery(
        graph=graph,
        dag=extension(graph, knowledge),
        algorithm="order-search",
        score=search.total(order),
        num_scores=search.num_scores,
        notes=() if climb.is_complete else (stopped,),
        seconds=seconds,
    )
