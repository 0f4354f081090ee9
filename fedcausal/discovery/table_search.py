"""Order search on contingency tables: three secure rounds, only the families worth scoring."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from fedcausal.discovery.expected_tables import ExpectedTables
from fedcausal.discovery.family_search import FamilySearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.markov_check import MarkovCheck
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import STOPPED, Clock, best_of_climbs
from fedcausal.discovery.permitted_orders import PermittedOrders
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.errors import FedCausalError
from fedcausal.graph import Graph
from fedcausal.pdag import bits
from fedcausal.scores.completed_tables import CompletedTables, Places
from fedcausal.scores.table_score import TableScore
from fedcausal.statistics.kind import Request
from fedcausal.statistics.tables_kind import (
    MAX_ROUND_CELLS,
    MAX_TABLE_CELLS,
    num_cells,
    tables_release,
    tables_request,
)
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = ["TableSearch"]

CANDIDATES = (10, 6)
"""Candidate parents of a variable of whose families tables of two, then of three are asked for."""

COMPLETIONS = ((1.0,) * 6, (8.0, 4.0, 2.0, 1.0, 1.0, 1.0))
"""Prices of an edge, as multiples of `penalty`, in the searches of each run of structural EM.

Where a run ends depends on where it began, and a dearer edge begins with another network.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A network, its score on its completed tables, and its misfit to all released cells."""

    dag: Graph
    tables: CompletedTables
    score: float
    misfit: float
    num_scores: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TableSearch:
    """An order search that asks for the tables that it scores, and is done after three rounds.

    Round 1 asks for all pairs of variables. Of those that raise a variable's score, the best
    ten are its candidate parents, and round 2 asks for the families of two of them; round 3 for
    those of three of the six that raise the scores of such families most. The climbs of
    `order_search` then find the best order, each variable's parents being among the sets asked
    for. Withheld cells are then completed within their margins as rows of the network found
    expect them, weighted to agree with all released tables, and the climbs repeated, five times:
    structural EM, on what was released already. It depends on where it began, so it is begun
    twice, with edges at different prices; of all networks found, the one that all released cells
    together fit best is taken. Pairs that it leaves apart although tests on released tables
    leave no doubt that they depend are joined, and those that it joins although such tests show
    nothing are parted (`MarkovCheck`). Forbidden parents are no candidates, required ones belong
    to every family.

    Sites and rows enter through total counts alone: any split of the rows over sites gives the
    same graph.

    Attributes
    ----------
    request
        The tables of the current round; None when done.
    asked
        The requests of the rounds before.
    seed
        Of the climbs.
    time_limit_seconds
        For the climbs after the last round; afterwards the best graph so far is taken.

    Assumptions: no latent confounding, faithfulness, at most three parents beside required ones
    where a fourth would have to be seen; values missing completely at random. Privacy: reads
    released totals only.

    References
    ----------
    Teyssier and Koller (2005), Ordering-based search, UAI. Friedman, Nachman and Pe'er (1999),
    Learning Bayesian network structure from massive datasets: the sparse candidate algorithm, UAI.
    Friedman (1998), The Bayesian structural EM algorithm, UAI.
    """

    study: Study
    tables: CompletedTables
    seed: int = 0
    time_limit_seconds: float | None = None
    request: Request | None = None
    asked: tuple[Request, ...] = ()
    num_rounds: int = 0
    left_out: int = 0

    @classmethod
    def begin(cls, study: Study, *, seed: int = 0) -> "TableSearch":
        """The search before its first round, which asks for the tables of all pairs."""
        search = cls(
            study=study,
            tables=CompletedTables.begin(study.schema()),
            seed=seed,
            time_limit_seconds=study.discovery.time_limit_seconds,
        )
        size = len(study.schema())
        pairs = combinations(range(size), 2)
        return search._asking(pairs if size > 1 else [(0,)])

    def take(self, released: Released) -> "TableSearch":
        """Take the totals of `request` and go on to the next round."""
        if self.request is None:
            raise FedCausalError("the search is done; it takes no further tables")
        tables = self.tables.take(tables_release(self.study, self.request, released))
        search = replace(
            self,
            tables=tables,
            request=None,
            asked=(*self.asked, self.request),
            num_rounds=self.num_rounds + 1,
        )
        while search.num_rounds <= len(CANDIDATES):
            asked = search._asking(search._families())
            if asked.request is not None:
                return asked
            search = replace(asked, num_rounds=search.num_rounds + 1)
        return search

    def discovery(self) -> Discovery:
        """The graph; it exists when the search is done."""
        if self.request is not None:
            raise FedCausalError("the search is not done; it has asked for more tables")
        clock = Clock(self.time_limit_seconds)
        best, num_scores = self._best_fitting(clock)
        dag = self._checked(best.dag, clock)
        graph = cpdag_of(dag, self._knowledge)
        return Discovery(
            graph=graph,
            dag=extension(graph, self._knowledge),
            algorithm="order-search",
            score=best.score if dag == best.dag else self._scored(best.tables).total(dag),
            num_scores=num_scores,
            notes=(
                *self._notes(),
                *_changes(best.dag, dag),
                *((STOPPED,) if clock.has_struck else ()),
            ),
            seconds=clock.seconds,
        )

    def _best_fitting(self, clock: Clock) -> tuple[_Found, int]:
        """Of the networks found, the one that fits what was released best; families scored."""
        found = list[_Found]()
        for prices in COMPLETIONS if self.tables.gaps else ((1.0,),):
            if not found or not clock.is_over():
                found += self._completed(prices, clock)
        return min(found, key=lambda one: one.misfit), sum(one.num_scores for one in found)

    def _completed(self, prices: Sequence[float], clock: Clock) -> list[_Found]:
        """The networks of one run of structural EM; one at least, however late it is."""
        tables, found = self.tables, list[_Found]()
        for price in prices:
            dag, num_scores = self._climbed(self._scored(tables, price), clock)
            expected = ExpectedTables.sampled(tables, dag)
            score, misfit = self._scored(tables).total(dag), expected.misfit(tables)
            one = _Found(dag=dag, tables=tables, score=score, misfit=misfit, num_scores=num_scores)
            found.append(one)
            if clock.is_over() or len(found) == len(prices):
                break
            tables = tables.around(expected.raked(tables))
        return found

    def _checked(self, dag: Graph, clock: Clock) -> Graph:
        """The network without edges that tests deny, with those that the score has left out."""
        check = MarkovCheck(
            tables=self.tables, knowledge=self._knowledge, alpha=self.study.discovery.alpha
        )
        parted = check.parted(dag, clock.is_over)
        return check.joined(parted, self._scored(self.tables), clock.is_over)

    def _climbed(self, score: TableScore, clock: Clock) -> tuple[Graph, int]:
        """The best DAG by a score, and the families scored."""
        climber = FamilySearch(score, self._knowledge)
        orders = PermittedOrders(self._knowledge.predecessors(self._names))
        options = DiscoveryOptions(restarts=self.study.discovery.restarts, seed=self.seed)
        best, names = best_of_climbs(climber, orders, options, clock, None), self._names
        edges = [(names[i], names[j]) for j, mask in enumerate(best.parents) for i in bits(mask)]
        return Graph.dag(self.study.schema().names, edges), climber.num_scores

    def _scored(self, tables: CompletedTables, factor: float = 1.0) -> TableScore:
        section = self.study.discovery
        return TableScore(
            tables=tables,
            names=self._names,
            kind=section.score,
            penalty=section.penalty * factor,
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Sorted: ties must not be broken by the order of the columns."""
        return tuple(sorted(self.study.schema().names))

    @cached_property
    def _knowledge(self) -> Knowledge:
        return self.study.knowledge_base()

    def _asking(self, sets: Iterable[Places]) -> "TableSearch":
        """Ask for the sets that are not released yet, smaller tables first, within the limits."""
        sizes, names = self.tables.sizes, self.study.schema().names
        wanted = {places for places in sets if places not in self.tables.released}
        chosen, total = list[Places](), num_cells(sizes, self.tables.released)
        for cells, places in sorted((num_cells(sizes, [p]), p) for p in wanted):
            total += cells
            if total <= MAX_ROUND_CELLS and self._is_worth_it(places):
                chosen.append(places)
        named = [tuple(names[k] for k in places) for places in chosen]
        return replace(
            self,
            request=tables_request(named, self.tables.missing_names, self.asked)
            if named
            else None,
            left_out=self.left_out + len(wanted) - len(chosen),
        )

    def _is_worth_it(self, places: Places) -> bool:
        """Whether a table can be released at all and has fewer cells than there are records."""
        cells = int(np.prod([self.tables.sizes[k] for k in places]))
        return cells <= MAX_TABLE_CELLS and (len(places) <= 2 or cells < self.tables.num_records)

    def _families(self) -> Iterator[Places]:
        """Every variable with some of its candidate parents, one more than in the last round."""
        required = self._knowledge.required_parents(self._names)
        place = [self.study.schema().index(name) for name in self._names]
        for child, base in enumerate(required):
            candidates = self._candidates(child, base)
            least = 1 if base else self.num_rounds + 1
            for size in range(least, self.num_rounds + 2):
                for added in combinations(candidates, size):
                    yield tuple(sorted(place[k] for k in (child, *bits(base), *added)))

    def _candidates(self, child: int, base: int) -> Sequence[int]:
        """The variables that raise a child's score most, in the best company, best first."""
        allowed = self._knowledge.allowed_parents(self._names)[child] & ~base
        local, gains = self._scored(self.tables).local, dict[int, float]()
        alone = local(child, list(bits(base)))
        single = {k: local(child, [*bits(base), k]) - alone for k in bits(allowed)}
        gains = {k: gain for k, gain in single.items() if gain > 0}
        if self.num_rounds > 1:
            known = self.tables.released
            place = [self.study.schema().index(name) for name in self._names]
            best = dict.fromkeys(gains, 0.0)
            for i, j in combinations(sorted(gains), 2):
                members = (child, *bits(base), i, j)
                if tuple(sorted(place[k] for k in members)) in known:
                    both = local(child, [*bits(base), i, j]) - alone
                    best[i] = max(best[i], both - gains[j])
                    best[j] = max(best[j], both - gains[i])
            # What another parent makes superfluous still counts by itself, after the others.
            gains = {k: best[k] + 1e-3 * gains[k] for k in gains if best[k] > 0}
        ranked = sorted(gains, key=lambda k: (-gains[k], k))
        return ranked[: CANDIDATES[self.num_rounds - 1]]

    def _notes(self) -> Iterator[str]:
        if self.left_out:
            yield (
                f"order-search: {self.left_out} tables of families were not asked for, because "
                "they have more cells than there are records or than one round may hold; those "
                "families were not considered"
            )


def _changes(before: Graph, after: Graph) -> Iterator[str]:
    """Which edges tests have added and taken out."""
    old, new = set(before.directed_edges), set(after.directed_edges)
    for parent, child in sorted(new - old):
        yield (
            f"order-search: {parent} and {child} were joined, because they stay dependent given "
            "the parents of either; the score alone had left the edge out"
        )
    for parent, child in sorted(old - new):
        yield (
            f"order-search: the edge of {parent} and {child} was taken out, because a test of "
            "them, alone or given one neighbour, shows no dependence; the score alone had it"
        )
