"""What tests say of a discrete network: edges that it lacks, and edges that it has too many."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fedcausal.discovery.discrete_pc import RECORDS_PER_FREEDOM
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.graph import Graph
from fedcausal.scores.completed_tables import CompletedTables
from fedcausal.scores.contingency import g2_test
from fedcausal.scores.table_score import TableScore
from fedcausal.statistics.tables_kind import MAX_TABLE_CELLS

__all__ = ["MarkovCheck"]

MOST_WITHHELD = 0.1
"""No edge is put in by a test of which more than this share of the table, or of a margin, was
withheld."""

SEPARATION = 0.1
"""Two variables are taken apart where a test gives no hint that they depend: a larger p-value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkovCheck:
    """Joins pairs that tests show to be dependent, and parts those of which they show nothing.

    In a network one of two variables that are not joined is independent of the other given its
    own parents: that which does not cause the other. A score with a prior that wants few
    parameters may leave out an edge about which tests leave no doubt. A pair is joined when it is
    dependent by itself and given the parents of either, at `alpha` over the number of pairs; the
    one with the smallest p-value first, in the direction that scores better, until no pair is
    left. A joined pair is parted when it is independent by itself or given one neighbour of
    either, with a p-value above `SEPARATION`: under faithfulness no set makes neighbours
    independent. Tests given more would part what is withheld. Tables are completed with the
    least interaction that their margins allow, so that a test of one whose cells are withheld
    asks what the pairs' tables say together.

    Attributes
    ----------
    tables
        Completed from their margins alone, not around a network: those tests are to judge it.
    knowledge
        Forbidden pairs are not tested, required ones are not parted.
    alpha
        Level of all tests together.

    Assumptions: faithfulness; where a table was not asked for its margins stand for it, with the
    least interaction they allow. Privacy: reads released totals only.

    References
    ----------
    Lauritzen (1996), Graphical Models, section 3.2.2 (the local Markov property). Tsamardinos,
    Brown and Aliferis (2006), The max-min hill-climbing Bayesian network structure learning
    algorithm, Machine Learning (tests of few variables and scores, together).
    """

    tables: CompletedTables
    knowledge: Knowledge
    alpha: float

    def parted(self, dag: Graph, is_over: Callable[[], bool] = lambda: False) -> Graph:
        """The network without the edges of which a test shows nothing, while there is time."""
        required = {frozenset(edge) for edge in self.knowledge.required}
        edges = [
            edge
            for edge in dag.directed_edges
            if frozenset(edge) in required or is_over() or not self._is_separated(dag, edge)
        ]
        return Graph.dag(dag.nodes, edges)

    def _is_separated(self, dag: Graph, pair: tuple[str, str]) -> bool:
        """Whether the two are independent by themselves, or given one neighbour of either."""
        others = {n for end in pair for n in dag.nodes if dag.adjacent(end, n)} - set(pair)
        return any(
            self._is_released(places := self._places(pair, given))
            and self._g2(places) > SEPARATION
            for given in ((), *((name,) for name in sorted(others)))
        )

    def _is_released(self, places: Sequence[int]) -> bool:
        """Whether a table and all its margins of two or more were asked for, and are not large."""
        return self._is_small(places) and all(
            part in self.tables.released for part in _parts(places)
        )

    def joined(
        self, dag: Graph, score: TableScore, is_over: Callable[[], bool] = lambda: False
    ) -> Graph:
        """The network with the edges that it lacks, as many as there is time for."""
        suspects = [pair for pair in self._pairs() if not is_over() and self._rejects(pair, ())]
        while not is_over():
            edges = [
                (p_value, edge)
                for pair in suspects
                if not dag.adjacent(*pair)
                and (p_value := self._p_value(dag, pair)) <= self._level
                and (edge := self._best_edge(dag, pair, score)) is not None
            ]
            if not edges:
                break
            dag = Graph.dag(dag.nodes, [*dag.directed_edges, min(edges)[1]])
        return dag

    @property
    def _level(self) -> float:
        size = len(self.tables.schema)
        return self.alpha / max(size * (size - 1) // 2, 1)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for pair in combinations(sorted(self.tables.schema.names), 2):
            if self.knowledge.allows_pair(*pair):
                yield pair

    def _p_value(self, dag: Graph, pair: tuple[str, str]) -> float:
        """The larger p-value of the two tests; 1 where either cannot be made."""
        first, second = pair
        if not self._rejects(pair, dag.parents(first)):
            return 1.0
        return max(self._test(pair, dag.parents(first)), self._test(pair, dag.parents(second)))

    def _rejects(self, pair: tuple[str, str], given: Sequence[str]) -> bool:
        return self._test(pair, given) <= self._level

    def _test(self, pair: tuple[str, str], given: Sequence[str]) -> float:
        places = self._places(pair, given)
        return self._g2(places) if self._is_testable(places) else 1.0

    def _places(self, pair: tuple[str, str], given: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.tables.schema.index(name) for name in (*pair, *sorted(given)))

    def _g2(self, places: Sequence[int]) -> float:
        """The p-value of the first two of some variables, given the others."""
        table = self.tables.table(tuple(places))
        return g2_test(table.reshape(*table.shape[:2], -1)).p_value

    def _is_testable(self, places: Sequence[int]) -> bool:
        """Whether a table is small enough and was released, or its margins, all but entirely."""
        withheld = self.tables.withheld
        return self._is_small(places) and all(
            withheld.get(part, 0.0) <= MOST_WITHHELD for part in _parts(places)
        )

    def _is_small(self, places: Sequence[int]) -> bool:
        cells = float(np.prod([self.tables.sizes[k] for k in places]))
        return cells <= min(float(MAX_TABLE_CELLS), self.tables.num_records / RECORDS_PER_FREEDOM)

    def _best_edge(
        self, dag: Graph, pair: tuple[str, str], score: TableScore
    ) -> tuple[str, str] | None:
        """The direction that knowledge and the network allow; of two, that which scores better."""
        gains = dict[tuple[str, str], float]()
        for parent, child in (pair, pair[::-1]):
            if self.knowledge.allows(parent, child) and parent not in dag.descendants(child):
                at = score.names.index(child)
                above = sorted(score.names.index(name) for name in dag.parents(child))
                more = sorted((*above, score.names.index(parent)))
                gains[parent, child] = score.local(at, more) - score.local(at, above)
        return max(sorted(gains), key=lambda edge: gains[edge], default=None)


def _parts(places: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The margins of a table of two variables and more, and the table itself."""
    for size in range(2, len(places) + 1):
        yield from combinations(sorted(places), size)
