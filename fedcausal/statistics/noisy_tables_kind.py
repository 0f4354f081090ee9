"""The "noisy_tables" statistic: noisy contingency tables, charged to the graph round by round."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import ProtocolError
from fedcausal.private.graph_budget import num_colluding
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.statistics.tables_kind import MAX_ROUND_CELLS, MAX_TABLE_CELLS
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise, share_of
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = [
    "NUM_ROUNDS",
    "NoisyTablesKind",
    "noisy_tables_release",
    "noisy_tables_request",
    "round_multipliers",
    "table_deviation",
]

SHARES = (0.5, 0.3, 0.2)
"""Shares of the budget (in 1 / noise multiplier squared) of the rounds, fixed beforehand."""

NUM_ROUNDS = len(SHARES)

COUNT_UNIT = 2**12
"""Integers per record, so that shares of noise are wide on the grid."""

_NOISE_ROOM = 2**44
_STEP = 1.001

Places = tuple[int, ...]


class NoisyTablesKind:
    """Counts of records per combination of levels for m sets of variables, with Gaussian noise.

    A record is in one cell of each table: the L2 sensitivity is the root of m, whatever the data.
    The noise multiplier of a round is fixed by the study, so that its cost does not depend on
    how many tables are asked for: more tables share it.

    Assumptions: values missing completely at random; a record without one of a set's values is
    not in its table.

    Privacy: leaves a site only noised, through a secure sum, charged to the graph. No cell is
    withheld: the noise hides a single record in every cell, empty ones included.
    """

    name: ClassVar[str] = "noisy_tables"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds of the vector."""
        sets, _ = _asked(study, request)
        return StatisticSpec(
            name=request.id(),
            length=sum(_size(study, places) for places in sets),
            bound=max_rows_per_site(study, num_sites) * COUNT_UNIT + _NOISE_ROOM,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: one Gaussian release over all tables of the round."""
        sets, number = _asked(study, request)
        return GaussianRelease(
            sensitivity=math.sqrt(len(sets)),
            noise_multiplier=round_multipliers(study)[number],
            name=self.name,
        )

    def compute_private(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        num_sites: int,
        noise: IntegerNoise,
    ) -> IntVector:
        """The site's tables with its share of the noise."""
        sets, number = _asked(study, request)
        counts = [np.zeros(_size(study, places), dtype=np.int64) for places in sets]
        for batch in source.batches():
            counts = [
                count + _count(study, batch, p) for count, p in zip(counts, sets, strict=True)
            ]
        exact = np.concatenate(counts) * COUNT_UNIT
        deviation = math.sqrt(len(sets)) * round_multipliers(study)[number] * COUNT_UNIT
        shares = share_of(
            np.full(exact.size, deviation), num_sites, num_colluding(study, num_sites)
        )
        return exact + noise(shares)

    def width(self, study: Study, request: Request) -> int:
        """Zero: a table has no parameters."""
        return 0


def round_multipliers(study: Study) -> tuple[float, ...]:
    """The noise multiplier of every round; all of them never cost more than the graph's epsilon.

    Raises
    ------
    ProtocolError
        The study has no epsilon for its graph.
    """
    part = study.privacy.graph
    if part is None or part.epsilon is None:
        raise ProtocolError("noisy tables were asked for by a study without privacy.graph")
    return _divided(float(part.epsilon), float(study.privacy.delta))


def table_deviation(study: Study, request: Request, num_sites: int) -> float:
    """The standard deviation of the noise in a cell of a total, in records."""
    sets, number = _asked(study, request)
    inflation = num_sites / (num_sites - num_colluding(study, num_sites))
    return math.sqrt(len(sets) * inflation) * round_multipliers(study)[number]


def noisy_tables_request(sets: Iterable[Sequence[str]], round_number: int) -> Request:
    """Ask for the tables of some sets of variables, in one of the study's `NUM_ROUNDS` rounds."""
    listed = [list(names) for names in sorted({tuple(sorted(s)) for s in sets})]
    return Request(kind=NoisyTablesKind.name, parameters={"sets": listed, "round": round_number})


def noisy_tables_release(
    study: Study, request: Request, released: Released
) -> Mapping[Places, NDArray[np.float64]]:
    """Noisy records per cell of every table, axes in schema order; cells may be negative."""
    sets, _ = _asked(study, request)
    sizes = [_size(study, places) for places in sets]
    if released.totals.shape != (sum(sizes),):
        raise ProtocolError("a total of noisy tables has another length than its request implies")
    parts = np.split(released.totals / COUNT_UNIT, np.cumsum(sizes)[:-1])
    return {
        places: part.reshape(_shape(study, places))
        for places, part in zip(sets, parts, strict=True)
    }


@lru_cache(maxsize=64)
def _divided(epsilon: float, delta: float) -> tuple[float, ...]:
    whole = noise_multiplier_for(epsilon, delta)
    while True:
        found = tuple(whole / share**0.5 for share in SHARES)
        events = [GaussianRelease(sensitivity=1.0, noise_multiplier=m, name="t") for m in found]
        # The accountant rounds each release up on its own grid.
        if epsilon_of(events, delta) <= epsilon:
            return found
        whole *= _STEP


def _asked(study: Study, request: Request) -> tuple[list[Places], int]:
    round_multipliers(study)
    sets, number = request.parameters.get("sets"), request.parameters.get("round")
    if set(request.parameters) != {"sets", "round"} or not isinstance(sets, list) or not sets:
        raise ProtocolError("noisy_tables: expected sets of variables and a round")
    if type(number) is not int or not 0 <= number < NUM_ROUNDS:
        raise ProtocolError(f"noisy_tables: round: expected 0 to {NUM_ROUNDS - 1}")
    schema = study.schema()
    found = [_places(study, names) for names in sets]
    if len(set(found)) != len(found):
        raise ProtocolError("noisy_tables: sets: a set is listed twice")
    if any(not schema.variables[k].categories for places in found for k in places):
        raise ProtocolError("noisy_tables: sets: a variable without levels has no table")
    sizes = [_size(study, places) for places in found]
    if max(sizes) > MAX_TABLE_CELLS or sum(sizes) > MAX_ROUND_CELLS:
        raise ProtocolError("noisy_tables: sets: more cells than one round may hold")
    return found, number


def _places(study: Study, names: object) -> Places:
    known = study.schema().names
    listed = list(names) if isinstance(names, list) else []
    if not listed or any(name not in known for name in listed):
        raise ProtocolError("noisy_tables: sets: expected variables of the study")
    return tuple(sorted({known.index(str(name)) for name in listed}))


def _shape(study: Study, places: Places) -> tuple[int, ...]:
    return tuple(len(study.schema().variables[k].categories) for k in places)


def _size(study: Study, places: Places) -> int:
    return math.prod(_shape(study, places))


def _count(study: Study, batch: Table, places: Places) -> IntVector:
    columns = batch.values[:, list(places)]
    codes = columns[~np.isnan(columns).any(axis=1)].astype(np.int64)
    cells = np.ravel_multi_index(tuple(codes.T), _shape(study, places))
    return np.bincount(cells, minlength=_size(study, places)).astype(np.int64)
