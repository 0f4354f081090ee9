"""PC-stable on contingency tables: one secure round per level, only the tables it needs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Self

import numpy as np

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.pc import REPAIRED, PcPattern, named_sets, oriented
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import extension, graph_of_pdag
from fedcausal.errors import FedCausalError
from fedcausal.pdag import bits
from fedcausal.scores.completed_tables import CompletedTables, Places, margins_of
from fedcausal.scores.contingency import g2_test
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

__all__ = ["RECORDS_PER_FREEDOM", "DiscretePC"]

RECORDS_PER_FREEDOM = 5
"""With fewer records per degree of freedom the table is not asked for: it is mostly empty."""

MOST_WITHHELD = 0.6
"""A table is not asked for when more than this share of one of its margins was withheld."""

Pair = tuple[int, int]
Test = tuple[int, int, Places]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """How many tests were made, and how many of them on margins alone."""

    tests: int = 0
    from_margins: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class DiscretePC:
    """A search that asks for tables, level by level, and is done when no test is left.

    At level l every joined pair is tested given each set of l neighbours of either end (those
    that knowledge allows to be its parents); the pair is parted by the set with the largest
    p-value above `alpha`. All tests of a level see the same graph, so the order of the variables
    does not matter. A pair that knowledge forbids is never tested, a required edge is never
    tested away. A test whose table was not worth asking for is made on its margins, where these
    were released; else it is not made, and the pair stays joined.

    Sites and rows enter through total counts alone: any split of the rows over sites gives the
    same graph.

    Attributes
    ----------
    request
        The tables that the current level needs; None when done.
    asked
        The requests of the levels before.
    adjacency
        One mask of neighbours per variable.
    separating
        (i, j), i < j -> the mask that parted the pair.
    done
        Whether nothing is left to ask; then `discovery` holds the result.

    Assumptions: no latent confounding, faithfulness, one distribution at all sites, values
    missing completely at random.

    References
    ----------
    Colombo and Maathuis (2014), Order-independent constraint-based causal structure learning,
    JMLR 15. Tsamardinos, Brown and Aliferis (2006), Machine Learning 65 (five records a degree of
    freedom).
    """

    study: Study
    tables: CompletedTables
    level: int = 0
    request: Request | None = None
    asked: tuple[Request, ...] = ()
    adjacency: tuple[int, ...] = ()
    separating: Mapping[Pair, int] = field(default_factory=dict)
    tally: _Tally = field(default_factory=_Tally)

    @classmethod
    def begin(cls, study: Study) -> Self:
        """The search before its first round, which asks for the tables of all pairs.

        Those of pairs that knowledge forbids or requires are not tested, but they are margins of
        larger tables.
        """
        tables = CompletedTables.begin(study.schema())
        return cls(study=study, tables=tables, adjacency=cls.first_adjacency(study))._asking()

    @staticmethod
    def first_adjacency(study: Study) -> tuple[int, ...]:
        """Every pair that knowledge allows, as one mask of neighbours per variable."""
        names, knowledge = study.schema().names, study.knowledge_base()
        return tuple(
            sum(
                1 << j
                for j, other in enumerate(names)
                if j != i and knowledge.allows_pair(name, other)
            )
            for i, name in enumerate(names)
        )

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return self.request is None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The variables, in schema order."""
        return self.study.schema().names

    @cached_property
    def knowledge(self) -> Knowledge:
        """The study's background knowledge."""
        return self.study.knowledge_base()

    def take(self, released: Released) -> Self:
        """Take the totals of `request` and go on to the next level."""
        if self.request is None:
            raise FedCausalError("the search is done; it takes no further tables")
        tables = self.tables.take(tables_release(self.study, self.request, released))
        search = replace(self, tables=tables, asked=(*self.asked, self.request))
        return replace(search._tested(), level=self.level + 1)._asking()

    def discovery(self) -> Discovery:
        """The graph; it exists when the search is done."""
        if self.request is not None:
            raise FedCausalError("the search is not done; it has asked for more tables")
        pattern = self._pattern()
        graph = graph_of_pdag(self.names, pattern.pdag)
        return Discovery(
            graph=graph,
            dag=extension(graph, self.knowledge),
            algorithm="pc",
            score=0.0,
            num_tests=self.tally.tests,
            separating_sets=named_sets(self.names, self.names, self.separating),
            notes=(*self._notes(), *((REPAIRED,) if pattern.is_repaired else ())),
        )

    def _pattern(self) -> PcPattern:
        return oriented(
            self.names,
            list(self._pairs()),
            self.separating,
            self.knowledge,
            num_tests=self.tally.tests,
        )

    def _asks(self, sets: Iterable[tuple[str, ...]]) -> Request | None:
        """The request for some tables; None where none may be asked for any more."""
        return tables_request(sets, self.tables.missing_names, self.asked)

    def _is_testable(self, places: Places) -> bool:
        """Whether a test can be made on its table, or on the margins of it."""
        known = self.tables.withheld
        return places in known or all(m in known for m in margins_of(places))

    def _asking(self) -> Self:
        """Ask for the tables of the next level that needs some; test on pairs alone until then."""
        search = self
        while search.level < len(search.names) - 1 and search._has_neighbours():
            sets = search._wanted()
            if sets:
                named = [tuple(search.names[k] for k in places) for places in sets]
                return replace(search, request=search._asks(named))
            tested = search._tested()
            if tested.tally == search.tally:
                break
            search = replace(tested, level=search.level + 1)
        return replace(search, request=None)

    def _wanted(self) -> list[Places]:
        """The tables that this level's tests need and that can be expected to be full."""
        sizes = self.tables.sizes
        candidates = {tuple(sorted((i, j, *given))) for i, j, given in self._tests()}
        if self.level == 0:
            candidates = set(combinations(range(len(self.names)), 2))
        dense = sorted(
            (num_cells(sizes, [places]), places) for places in candidates if self._is_full(places)
        )
        chosen, total = (
            list[Places](),
            num_cells(sizes, self.tables.released if self.asked else []),
        )
        for cells, places in dense:
            total += cells
            if total <= MAX_ROUND_CELLS:
                chosen.append(places)
        return chosen

    def _is_full(self, places: Places) -> bool:
        if np.prod([self.tables.sizes[k] for k in places]) > MAX_TABLE_CELLS:
            return False
        if len(places) == 2:
            return True
        levels = [self.tables.levels[k] for k in places]
        freedom = np.prod(levels[:-2]) * (levels[-1] - 1) * (levels[-2] - 1)
        margins = (m for size in range(2, len(places)) for m in combinations(places, size))
        return bool(self.tables.num_records >= RECORDS_PER_FREEDOM * freedom) and all(
            self.tables.withheld.get(margin, 0.0) <= MOST_WITHHELD for margin in margins
        )

    def _has_neighbours(self) -> bool:
        return any(mask.bit_count() > self.level for mask in self.adjacency)

    def _pairs(self) -> Iterator[Pair]:
        for i, mask in enumerate(self.adjacency):
            for j in bits(mask >> i + 1 << i + 1):
                yield i, j

    def _tests(self) -> Iterator[Test]:
        """All tests of this level."""
        allowed = self.knowledge.allowed_parents(self.names)
        required = self.knowledge.required_parents(self.names)
        for i, j in self._pairs():
            if required[i] >> j & 1 or required[j] >> i & 1:
                continue
            sides = (self.adjacency[i] & allowed[i], self.adjacency[j] & allowed[j])
            sets = {
                given
                for end, other in zip(sides, (j, i), strict=True)
                for given in combinations(list(bits(end & ~(1 << other))), self.level)
            }
            yield from ((i, j, given) for given in sorted(sets))

    def _tested(self) -> Self:
        found: dict[Pair, tuple[float, Places]] = {}
        num_tests, from_margins, released = 0, 0, self.tables.withheld
        for i, j, given in self._tests():
            places = tuple(sorted((i, j, *given)))
            if not self._is_testable(places):
                continue
            num_tests += 1
            from_margins += places not in released
            p_value = self._p_value(i, j, given)
            if p_value > self.study.discovery.alpha:
                best = (-p_value, given)
                found[i, j] = min(best, found.get((i, j), best))
        adjacency = list(self.adjacency)
        for i, j in found:
            adjacency[i] &= ~(1 << j)
            adjacency[j] &= ~(1 << i)
        parted = {pair: sum(1 << k for k in given) for pair, (_, given) in found.items()}
        tally = _Tally(
            tests=self.tally.tests + num_tests,
            from_margins=self.tally.from_margins + from_margins,
        )
        return replace(
            self,
            adjacency=tuple(adjacency),
            separating={**self.separating, **parted},
            tally=tally,
        )

    def _p_value(self, i: int, j: int, given: Places) -> float:
        """The G2 test on the completed table."""
        cells = self.tables.table((i, j, *given))
        return g2_test(cells.reshape(*cells.shape[:2], -1)).p_value

    def _notes(self) -> Iterator[str]:
        if self.tally.from_margins:
            yield (
                f"pc: {self.tally.from_margins} of {self.tally.tests} tests would have needed a "
                "table with too few records for its cells; they were made on the tables of its "
                "margins, and do not see interactions of more variables than those have"
            )
