"""The "aipw" statistic: sums of influence values, for a second estimate of every effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.effects.influence import NO_OFFSETS, Influence, Offsets, influence_from_json
from fedcausal.errors import ProtocolError
from fedcausal.model.families import is_centred
from fedcausal.model.family_basis import FloatArray, Range
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import CountTable, Guard, IntVector, Released, StatisticSpec

__all__ = [
    "STEPS",
    "AipwKind",
    "AipwSums",
    "aipw_release",
    "aipw_request",
    "influences_of",
    "parsed_influences",
    "public_parameters",
    "site_offsets",
]

STEPS = 2**20
"""Integers per 1.0 of an influence value and of a product of two."""

NUM_SUMS = 5
"""Sums per question: of psi_a, psi_b, psi_a^2, psi_b^2 and psi_a psi_b."""

OFFSET_STEPS = 2.0**32


class AipwKind:
    """Counts by treatment level and sums of the influence values of both compared levels.

    With `discovery.site_effects` other than "pool" each site adds its own intercepts to both
    nuisance models first, as the families were centred by site.

    Assumptions: see `Influence`. Records with a missing value among treatment, outcome and the
    treatment's parents are left out.

    Privacy: leaves a site only through the gate and a secure sum. Counts by level are a complete
    table under the cell rule, and the sums of a question go with any withheld count of it.
    """

    name: ClassVar[str] = "aipw"
    part: ClassVar[Literal["effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape, bounds, counts and guards of the vector."""
        influences = influences_of(study, request)
        counts, tables, guards, start = list[int](), list[CountTable](), list[Guard](), 0
        for one in influences:
            cells = tuple(range(start, start + one.num_levels))
            sums = tuple(range(cells[-1] + 1, cells[-1] + 1 + NUM_SUMS))
            counts += cells
            tables.append(CountTable(cells=cells, shape=(len(cells),)))
            guards += [Guard(count=cell, dependents=sums) for cell in cells]
            start = sums[-1] + 1
        largest = max(one.largest for one in influences)
        return StatisticSpec(
            name=request.id(),
            length=start,
            bound=max_rows_per_site(study, num_sites) * int(np.ceil(largest**2 * STEPS)),
            min_cell=study.privacy.min_cell,
            counts=tuple(counts),
            tables=tuple(tables),
            guards=tuple(guards),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's vector; the same integers whatever the order or the batches of its rows."""
        parts = []
        for one in influences_of(study, request):
            offsets = site_offsets(one, source) if is_centred(study) else NO_OFFSETS
            parts.append(_vector(one, source, offsets))
        return np.concatenate(parts)

    def width(self, study: Study, request: Request) -> int:
        """Two: the means of the influence values."""
        return 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AipwSums:
    """Released totals of one question; None instead of it where the cell rule withheld them.

    Attributes
    ----------
    counts
        Records per level of the treatment.
    sums
        (2,) of the influence values of a and b.
    products
        (2, 2) of their products.
    """

    counts: FloatArray
    sums: FloatArray
    products: FloatArray


def aipw_request(influences: Sequence[Influence], ranges: Mapping[str, Range]) -> Request | None:
    """Ask for the sums of some questions; None when there are none.

    `ranges` are those of variables without declared bounds, as in the request of the Gram.
    """
    if not influences:
        return None
    return Request(kind=AipwKind.name, parameters=public_parameters(influences, ranges))


def public_parameters(
    influences: Sequence[Influence], ranges: Mapping[str, Range]
) -> dict[str, JsonValue]:
    """The nuisance models of every question, and the ranges that scale their features."""
    return {
        "queries": [one.to_json() for one in influences],
        "ranges": {name: [float(a), float(b)] for name, (a, b) in sorted(ranges.items())},
    }


def influences_of(study: Study, request: Request) -> tuple[Influence, ...]:
    """The questions of a request, each checked against the study.

    Raises
    ------
    ProtocolError
        The request is malformed, or asks one question twice.
    """
    if set(request.parameters) != {"queries", "ranges"}:
        raise ProtocolError("aipw: expected queries and ranges")
    return parsed_influences(study, request)


def parsed_influences(study: Study, request: Request) -> tuple[Influence, ...]:
    """The same, whatever else the request carries."""
    queries = request.parameters.get("queries")
    if not isinstance(queries, list):
        raise ProtocolError("aipw: queries: expected a list")
    ranges = _public_ranges(request)
    found = tuple(influence_from_json(study, value, ranges) for value in queries)
    if not found or len({one.query for one in found}) != len(found):
        raise ProtocolError("aipw: queries: expected each once, and one at least")
    return found


def _public_ranges(request: Request) -> dict[str, Range]:
    value, found = request.parameters.get("ranges"), dict[str, Range]()
    for name, pair in value.items() if isinstance(value, Mapping) else [("", None)]:
        numbers = pair if isinstance(pair, list) and len(pair) == 2 else []
        ends = [float(v) for v in numbers if isinstance(v, int | float)]
        if len(ends) != 2 or not (np.isfinite(ends[1] - ends[0]) and ends[0] < ends[1]):
            raise ProtocolError("aipw: ranges: expected {variable: [lo, hi]} with lo < hi")
        found[name] = (ends[0], ends[1])
    return found


def aipw_release(study: Study, request: Request, released: Released) -> dict[int, AipwSums | None]:
    """Per question, by its position in the study, the totals; None where they are withheld."""
    influences, start = influences_of(study, request), 0
    length = sum(one.num_levels + NUM_SUMS for one in influences)
    if released.totals.shape != (length,):
        raise ProtocolError("an aipw total has another length than its request implies")
    found: dict[int, AipwSums | None] = {}
    for one in influences:
        middle = start + one.num_levels
        counts, end = released.totals[start:middle].astype(np.float64), middle + NUM_SUMS
        hidden = released.withheld[start:end].any()
        found[one.query] = None if hidden else _sums(counts, released.totals[middle:end] / STEPS)
        start = end
    return found


def site_offsets(influence: Influence, source: TableSource) -> Offsets:
    """The site's own intercepts: what both models miss on average over its records.

    Sums are exact integers, so that they are the same in every order of the rows.
    """
    treatment, outcome = np.zeros(2, dtype=np.int64), 0
    rows = compared = 0
    for columns in influence.complete(source):
        missed, left = influence.left_over(columns)
        treatment += np.rint(missed * OFFSET_STEPS).astype(np.int64).sum(axis=0)
        outcome += int(np.rint(left * OFFSET_STEPS).astype(np.int64).sum())
        rows, compared = rows + len(missed), compared + len(left)
    first, second = (treatment / max(rows, 1) / OFFSET_STEPS).tolist()
    return Offsets(propensity=(first, second), response=outcome / max(compared, 1) / OFFSET_STEPS)


def _vector(influence: Influence, source: TableSource, offsets: Offsets) -> IntVector:
    counts = np.zeros(influence.num_levels, dtype=np.int64)
    sums = np.zeros(NUM_SUMS, dtype=np.int64)
    for columns in influence.complete(source):
        counts += np.bincount(influence.levels(columns), minlength=influence.num_levels)
        a, b = influence.values(columns, offsets).T
        each = np.column_stack([a, b, a * a, b * b, a * b])
        sums += np.rint(each * STEPS).astype(np.int64).sum(axis=0)
    return np.concatenate([counts, sums])


def _sums(counts: FloatArray, sums: FloatArray) -> AipwSums:
    products = np.array([[sums[2], sums[4]], [sums[4], sums[3]]])
    return AipwSums(counts=counts, sums=sums[:2], products=products)
