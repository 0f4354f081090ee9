"""PC on noisy contingency tables: a fixed number of rounds, tests that know the noise."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.errors import FedCausalError
from fedcausal.scores.completed_tables import CompletedTables, Places
from fedcausal.scores.noisy_contingency import noisy_table_test
from fedcausal.statistics.kind import Request
from fedcausal.statistics.noisy_tables_kind import (
    NUM_ROUNDS,
    noisy_tables_release,
    noisy_tables_request,
    table_deviation,
)
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = ["NoisyTablePC"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoisyTablePC(DiscretePC):
    """`DiscretePC` under an epsilon: at most `NUM_ROUNDS` levels, each paid for beforehand.

    Only released tables are tested, and each test draws its law with the known noise. A level
    that asks for nothing leaves its share of the budget unspent.

    Attributes
    ----------
    num_sites
        Sites whose shares of noise are in a total.
    deviations
        The noise of a cell of every released table, in records.
    """

    num_sites: int = 3
    deviations: Mapping[Places, float] = field(default_factory=dict)

    @classmethod
    def begin_private(cls, study: Study, num_sites: int) -> Self:
        """The search before its first round, which asks for the tables of all pairs."""
        plain = CompletedTables.begin(study.schema())
        search = cls(
            study=study,
            tables=replace(plain, missing=frozenset()),
            adjacency=cls.first_adjacency(study),
            num_sites=num_sites,
        )
        return search._asking()

    def take(self, released: Released) -> Self:
        """Take the totals of `request` and go on to the next level."""
        if self.request is None:
            raise FedCausalError("the search is done; it takes no further tables")
        found = noisy_tables_release(self.study, self.request, released)
        deviation = table_deviation(self.study, self.request, self.num_sites)
        records = self.tables.num_records
        if not records:
            records = max(round(float(np.mean([t.sum() for t in found.values()]))), 1)
        tables = replace(
            self.tables,
            num_records=records,
            released={**self.tables.released, **found},
            withheld={**self.tables.withheld, **dict.fromkeys(found, 0.0)},
        )
        noise = {**self.deviations, **dict.fromkeys(found, deviation)}
        taken = replace(self, tables=tables, deviations=noise)._tested()
        return replace(taken, level=self.level + 1)._asking()

    def _asks(self, sets: Iterable[tuple[str, ...]]) -> Request | None:
        if self.level >= NUM_ROUNDS:
            return None
        return noisy_tables_request(sets, self.level)

    def _is_testable(self, places: Places) -> bool:
        return places in self.deviations

    def _p_value(self, i: int, j: int, given: Places) -> float:
        cells = self.tables.table((i, j, *given))
        deviation = self.deviations[tuple(sorted((i, j, *given)))]
        rng = np.random.default_rng([i, j, *given])
        return noisy_table_test(cells.reshape(*cells.shape[:2], -1), deviation, rng)

    def _notes(self) -> Iterator[str]:
        yield from super()._notes()
        yield (
            f"pc: tables have noise; pairs were tested given up to {NUM_ROUNDS - 1} others, and "
            'the one-hot Gram (discovery.tests = "gram") finds more at the same epsilon unless '
            "there are few variables"
        )
