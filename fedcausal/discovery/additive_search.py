"""Search with polynomial bases: the block score for the class, the child score for directions."""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from fedcausal.child_score import ChildScore
from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.nonlinearity import direct_by_nonlinearity
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import order_search
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.graph import Graph
from fedcausal.pdag import bits
from fedcausal.score import Families

__all__ = ["additive_search"]

# A move must gain more than this: below it, floating point decides.
TOLERANCE = 1e-8

# Evaluated parent sets kept in memory; the families found from them are kept for good.
CACHED_PARENT_SETS = 4096

STOPPED = "the search stopped at its time limit: another run may find another graph"
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
    (`ChildScore`) asks which parents' polynomials explain a child's number: it needs fewer
    parameters where mechanisms are additive with Gaussian noise, and then tells directions; but
    against the direction of a linear mechanism with skewed noise it sees bends, and adds edges to
    explain them. So the additive graph is kept when it has no more edges than the other. Edges
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
    started = monotonic()
    in_blocks = order_search(statistics, knowledge, options, edge_prior)
    names = sorted(statistics.names)
    score = ChildScore.from_covariance(
        statistics, penalty=options.penalty, edge_prior=edge_prior, names=names
    )
    limit = options.time_limit_seconds
    climb = _Climb(_Orders(score, knowledge), None if limit is None else started + limit)
    order = climb.best_order(options.restarts, np.random.default_rng(options.seed))
    parents = climb.orders.parents(order)
    edges = [(names[i], names[j]) for j, mask in enumerate(parents) for i in bits(mask)]
    if len(edges) > len(in_blocks.graph.edges):
        denser = DENSER.format(len(edges), len(in_blocks.graph.edges))
        return replace(in_blocks, notes=(*in_blocks.notes, denser), seconds=monotonic() - started)
    found = _directed(Graph.dag(statistics.names, edges), in_blocks.graph, score, knowledge)
    return replace(
        found,
        num_scores=in_blocks.num_scores + climb.orders.num_scores,
        notes=found.notes if climb.is_complete else (*found.notes, STOPPED),
        seconds=monotonic() - started,
    )


def _directed(best: Graph, in_blocks: Graph, score: ChildScore, knowledge: Knowledge) -> Discovery:
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


def _total(score: ChildScore, dag: Graph) -> float:
    place = score.names.index
    return sum(score.local(place(c), [place(p) for p in dag.parents(c)]) for c in dag.nodes)


class _Orders:
    """Grow-shrink families of each variable among its predecessors, remembered."""

    def __init__(self, score: ChildScore, knowledge: Knowledge) -> None:
        self.score = score
        self.num_scores = 0
        self.allowed = knowledge.allowed_parents(score.names)
        self.required = knowledge.required_parents(score.names)
        self.before = knowledge.predecessors(score.names)
        self._families: dict[int, Families] = {}
        self._local: dict[tuple[int, int], float] = {}
        self._best: dict[tuple[int, int], tuple[int, float]] = {}

    def best(self, child: int, available: int) -> tuple[int, float]:
        """The parents of a child within a mask of predecessors, and the family's score."""
        key = (child, available & self.allowed[child])
        found = self._best.get(key)
        if found is None:
            parents = self._shrink(child, self._grow(child, key[1]))
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

    def permitted(self, wanted: Sequence[int]) -> list[int]:
        """The order wanted, each variable held back until all that must precede it are placed."""
        left, order = list(wanted), list[int]()
        while left:
            waiting = sum(1 << i for i in left)
            order.append(next(i for i in left if not self.before[i] & waiting))
            left.remove(order[-1])
        return order

    def span(self, rest: Sequence[int], variable: int) -> tuple[int, int]:
        """First and last position at which a variable may enter the order of the others."""
        low, high = 0, len(rest)
        for position, other in enumerate(rest):
            if self.before[variable] >> other & 1:
                low = position + 1
            if self.before[other] >> variable & 1:
                high = min(high, position)
        return low, high

    def _grow(self, child: int, available: int) -> int:
        parents = self.required[child]
        while True:
            families = self._evaluate(parents)
            here = float(families.here[child])
            self._local[child, parents] = here
            scores = families.with_one_more[child]
            open_to = [k for k in bits(available & ~parents) if scores[k] > here + TOLERANCE]
            if not open_to:
                return parents
            parents |= 1 << max(open_to, key=lambda k: (scores[k], -k))

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

    def _score(self, child: int, parents: int) -> float:
        key = (child, parents)
        if key not in self._local:
            self._local[key] = self.score.local(child, list(bits(parents)))
            self.num_scores += 1
        return self._local[key]

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

    def __init__(self, orders: _Orders, deadline: float | None) -> None:
        self.orders = orders
        self.deadline = deadline
        self.is_complete = True

    def best_order(self, restarts: int, rng: np.random.Generator) -> list[int]:
        """The best order of one climb and its restarts."""
        orders, size = self.orders, len(self.orders.before)
        order = self._improve(orders.permitted(range(size)))
        for restart in range(restarts):
            start = rng.permutation(size).tolist() if restart % 2 else self._perturb(order, rng)
            candidate = self._improve(orders.permitted(start))
            if orders.total(candidate) > orders.total(order) + TOLERANCE:
                order = candidate
        return order

    def _perturb(self, order: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Move a few variables (two, and one in ten) anywhere."""
        result = list(order)
        for variable in rng.integers(len(result), size=2 + len(result) // 10).tolist():
            result.remove(variable)
            result.insert(int(rng.integers(len(result) + 1)), variable)
        return result

    def _improve(self, order: list[int]) -> list[int]:
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
        best, current = self.orders.best, order.index(variable)
        rest = order[:current] + order[current + 1 :]
        low, high = self.orders.span(rest, variable)
        before = sum(1 << i for i in rest[:low])
        totals, shift = [best(variable, before)[1]], 0.0
        for other in rest[low:high]:
            shift += best(other, before)[1] - best(other, before | 1 << variable)[1]
            before |= 1 << other
            totals.append(shift + best(variable, before)[1])
        position = max(range(len(totals)), key=lambda i: (totals[i], -i))
        if totals[position] <= totals[current - low] + TOLERANCE:
            return None
        rest.insert(low + position, variable)
        return rest
