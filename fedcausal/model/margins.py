"""The statistic "margins": histograms of the parents, which say where splines need knots."""

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.families import LEAST_GAP
from fedcausal.model.family_basis import FloatArray, Range, family_ranges, scale
from fedcausal.model.family_terms import Knots, spline_terms
from fedcausal.schema import Schema
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import CountTable, IntVector, Released, StatisticSpec

__all__ = ["Margins", "choose_knots", "decode_margins", "margins_request"]

NUM_BINS = 256
"""Equal bins over a variable's range: knots of a variable that fills a tenth of it are found."""

LEAST_RECORDS = 2000
"""Fewer records are described by polynomials: less is released, and little is lost."""
LEAST_KNOTS = 4
RECORDS_PER_FEATURE = 20
"""Average records of a site for each feature of the widest family; sites with a sixth of the
average then still have three, as `max_parameters_per_row` asks by default."""
NUMBERS_PER_VALUE = 0.15
"""Numbers of all families for each value of the records, of 0.33 that sites allow by default."""
GRID = 2.0**12


class Margins:
    """The request for histograms of numeric variables over 256 equal bins of their ranges.

    Privacy: bins are counts; totals below `privacy.min_cell` are withheld, with secondary
    suppression. It is asked for with `model.knots` only.
    """

    name: ClassVar[str] = "margins"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """One complete table of counts per variable."""
        names = list(_requested(study, request))
        ends = range(0, NUM_BINS * (len(names) + 1), NUM_BINS)
        cells = [tuple(range(a, b)) for a, b in itertools.pairwise(ends)]
        return StatisticSpec(
            name=request.id(),
            length=NUM_BINS * len(names),
            bound=max_rows_per_site(study, num_sites),
            min_cell=study.privacy.min_cell,
            counts=tuple(range(NUM_BINS * len(names))),
            tables=tuple(CountTable(cells=c, shape=(len(c),)) for c in cells),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts; missing values count nowhere."""
        ranges = _requested(study, request)
        totals = {name: np.zeros(NUM_BINS, dtype=np.int64) for name in ranges}
        for batch in source.batches():
            for name, interval in ranges.items():
                values = batch.column(name)
                scaled = scale(values[~np.isnan(values)], interval)
                bins = np.floor((scaled + 1.0) * (0.5 * NUM_BINS)).astype(np.int64)
                totals[name] += np.bincount(np.clip(bins, 0, NUM_BINS - 1), minlength=NUM_BINS)
        return np.concatenate(list(totals.values()))

    def width(self, study: Study, request: Request) -> int:
        """Histograms have no saturation rule: the cell rule guards them."""
        return 0


def margins_request(
    study: Study,
    edges: Sequence[tuple[str, str]],
    ranges: Mapping[str, Range],
    num_records: float | None,
) -> Request | None:
    """Ask for the histograms of all numeric parents.

    None when there are none, when the study wants no splines, or when so few records were
    released (`num_records`, None where nothing was) that polynomials describe them.
    """
    names = sorted({parent for parent, _ in edges if study.schema()[parent].is_numeric})
    if not names or not study.model.knots:
        return None
    if num_records is not None and num_records < LEAST_RECORDS:
        return None
    known = family_ranges(study.schema(), ranges, names)
    return Request(
        kind=Margins.name, parameters={"ranges": {name: list(known[name]) for name in names}}
    )


def decode_margins(study: Study, request: Request, released: Released) -> dict[str, FloatArray]:
    """The released counts of every variable; withheld bins are empty."""
    names = list(_requested(study, request))
    counts = np.where(released.withheld, 0, released.totals).astype(float)
    return dict(zip(names, counts.reshape(len(names), NUM_BINS), strict=True))


def choose_knots(
    study: Study,
    edges: Sequence[tuple[str, str]],
    margins: Mapping[str, FloatArray],
    *,
    num_sites: int,
) -> dict[str, Knots]:
    """Knots at quantiles of every numeric parent, as many as the records carry; or none.

    The numbers of the families grow with the square of the knots: the largest number of knots
    is chosen under which the widest family has `RECORDS_PER_FEATURE` records of an average site
    for each feature, and all families together hold at most `NUMBERS_PER_VALUE` numbers for each
    value.
    """
    schema = study.schema()
    num_records = max((float(counts.sum()) for counts in margins.values()), default=0.0)
    if num_records < LEAST_RECORDS:
        return {}
    for number in range(study.model.knots, LEAST_KNOTS - 1, -1):
        knots = {name: _at_quantiles(counts, number) for name, counts in margins.items()}
        widths = [_width(schema, node, edges, knots) for node in schema.names]
        numbers = sum(width * (width + 1) / 2 for width in widths)
        fits_a_site = max(widths) * RECORDS_PER_FEATURE * num_sites <= num_records
        if fits_a_site and numbers <= NUMBERS_PER_VALUE * num_records * len(schema.names):
            return knots
    return {}


def _width(
    schema: Schema, node: str, edges: Sequence[tuple[str, str]], knots: Mapping[str, Knots]
) -> int:
    parents = [schema[name] for name in schema.names if (name, node) in edges]
    return 1 + len(spline_terms(parents, knots)) + max(schema[node].num_levels, 1)


def _at_quantiles(counts: FloatArray, number: int) -> Knots:
    """Up to `number` knots at equal steps of probability, at least `LEAST_GAP` apart."""
    below = np.concatenate([[0.0], np.cumsum(counts)]) / max(counts.sum(), 1.0)
    edges = np.linspace(-1.0, 1.0, NUM_BINS + 1)
    wanted = np.interp(np.linspace(0.0, 1.0, number + 2)[1:-1], below, edges)
    found: list[float] = []
    for knot in (np.rint(wanted * GRID) / GRID).tolist():
        if knot - (found[-1] if found else -1.0) >= LEAST_GAP and 1.0 - knot >= LEAST_GAP:
            found.append(knot)
    return tuple(found)


def _requested(study: Study, request: Request) -> dict[str, Range]:
    remedy = "margins: ranges: expected {numeric variable: its range}"
    value, schema = request.parameters.get("ranges"), study.schema()
    if set(request.parameters) != {"ranges"} or not isinstance(value, Mapping) or not value:
        raise ProtocolError(remedy)
    if any(name not in schema.names or not schema[name].is_numeric for name in value):
        raise ProtocolError(remedy)
    found = {name: _range(own, remedy) for name, own in sorted(value.items())}
    for name, interval in found.items():
        declared = schema[name].bounds
        if declared is not None and interval != tuple(map(float, declared)):
            raise ProtocolError(f"{remedy}; {name!r} has declared bounds")
    return found


def _range(value: JsonValue, remedy: str) -> Range:
    if not isinstance(value, list) or len(value) != 2:
        raise ProtocolError(remedy)
    low, high = value
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ProtocolError(remedy)
    if not (np.isfinite(high - low) and low < high):
        raise ProtocolError(remedy)
    return float(low), float(high)
