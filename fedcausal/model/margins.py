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

__all__ = ["Margins", "choose_knots", "margins_request"]

NUM_BINS = 256
"""Equal bins over a variable's range: knots of a variable that fills a tenth of it are found."""

LEAST_RECORDS = 2000
"""Fewer records are described by polynomials: less is released, and little is lost."""
LEVELS = (4, 6, 8, 12, 16, 20, 32, 64)
"""Numbers of knots that a site says it can carry, or not."""
RECORDS_PER_FEATURE = 4
"""A site's records for each feature of the widest family; it refuses more than .33 by default."""
NUMBERS_PER_VALUE = 0.2
"""Numbers of all families, a site's share of them, for each of its values; .33 is its default."""
GRID = 2.0**12


class Margins:
    """The request for histograms of numeric parents over 256 equal bins of their ranges.

    Beside them every site says which of the `LEVELS` of knots its rows carry: the smallest site
    decides, and would otherwise refuse the families.

    Privacy: bins are counts; totals below `privacy.min_cell` are withheld, with secondary
    suppression. How many sites carry a level is a count of sites: it bounds the rows of the
    smallest site, in a handful of steps. It is asked for with `model.knots` only.
    """

    name: ClassVar[str] = "margins"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """One complete table of counts per variable, then sites per level of knots."""
        names, levels = list(_requested(study, request)), _levels(study)
        _edges_of(study, request)
        ends = range(0, NUM_BINS * (len(names) + 1), NUM_BINS)
        cells = [tuple(range(a, b)) for a, b in itertools.pairwise(ends)]
        return StatisticSpec(
            name=request.id(),
            length=ends[-1] + len(levels),
            bound=max_rows_per_site(study, num_sites),
            min_cell=study.privacy.min_cell,
            counts=tuple(range(ends[-1])),
            tables=tuple(CountTable(cells=c, shape=(len(c),)) for c in cells),
            presence=tuple(range(ends[-1], ends[-1] + len(levels))),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts, missing values nowhere, and the levels that its rows carry."""
        ranges = _requested(study, request)
        totals = {name: np.zeros(NUM_BINS, dtype=np.int64) for name in ranges}
        num_rows = 0
        for batch in source.batches():
            num_rows += batch.num_rows
            for name, interval in ranges.items():
                values = batch.column(name)
                scaled = scale(values[~np.isnan(values)], interval)
                bins = np.floor((scaled + 1.0) * (0.5 * NUM_BINS)).astype(np.int64)
                totals[name] += np.bincount(np.clip(bins, 0, NUM_BINS - 1), minlength=NUM_BINS)
        edges, num_sites = _edges_of(study, request)
        carried = [_carries(study, edges, k, num_rows, num_sites) for k in _levels(study)]
        return np.concatenate([*totals.values(), np.array(carried, dtype=np.int64)])

    def width(self, study: Study, request: Request) -> int:
        """Histograms have no saturation rule: the cell rule guards them."""
        return 0


def margins_request(
    study: Study,
    edges: Sequence[tuple[str, str]],
    ranges: Mapping[str, Range],
    *,
    num_records: float | None,
    num_sites: int,
) -> Request | None:
    """Ask for the histograms of all numeric parents of a DAG with these (parent, child) edges.

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
        kind=Margins.name,
        parameters={
            "edges": sorted([parent, child] for parent, child in edges),
            "ranges": {name: list(known[name]) for name in names},
            "num_sites": num_sites,
        },
    )


def choose_knots(
    study: Study, request: Request, released: Released, num_sites: int
) -> dict[str, Knots]:
    """Knots at quantiles of every numeric parent, as many as every site carries; or none.

    Withheld bins count as empty. With fewer than `LEAST_RECORDS` records there are no knots.
    """
    names, levels = list(_requested(study, request)), _levels(study)
    counts = np.where(released.withheld, 0, released.totals).astype(float)
    margins = counts[: NUM_BINS * len(names)].reshape(len(names), NUM_BINS)
    if margins.sum(axis=1).max() < LEAST_RECORDS:
        return {}
    everywhere = [
        level
        for level, carried in zip(levels, counts[NUM_BINS * len(names) :], strict=True)
        if carried == num_sites
    ]
    if not everywhere:
        return {}
    number = max(everywhere)
    return {n: _at_quantiles(own, number) for n, own in zip(names, margins, strict=True)}


def _levels(study: Study) -> tuple[int, ...]:
    return tuple(level for level in LEVELS if level <= study.model.knots)


def _carries(
    study: Study,
    edges: Sequence[tuple[str, str]],
    number: int,
    num_rows: int,
    num_sites: int,
) -> bool:
    """Whether a site's rows carry the families with `number` knots for every numeric parent."""
    schema = study.schema()
    places = tuple(np.linspace(-1.0, 1.0, number + 2)[1:-1].tolist())
    knots = {variable.name: places for variable in schema if variable.is_numeric}
    widths = [_width(schema, node, edges, knots) for node in schema.names]
    numbers = sum(width * (width + 1) / 2 for width in widths)
    is_wide_enough = max(widths) * RECORDS_PER_FEATURE <= num_rows
    return is_wide_enough and numbers <= NUMBERS_PER_VALUE * num_rows * len(widths) * num_sites


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
    if set(request.parameters) != {"edges", "ranges", "num_sites"}:
        raise ProtocolError("margins: expected edges, ranges and num_sites")
    if not isinstance(value, Mapping) or not value:
        raise ProtocolError(remedy)
    if any(name not in schema.names or not schema[name].is_numeric for name in value):
        raise ProtocolError(remedy)
    plain = {name: _range(own, remedy) for name, own in sorted(value.items())}
    for name, interval in plain.items():
        declared = schema[name].bounds
        if declared is not None and interval != tuple(map(float, declared)):
            raise ProtocolError(f"{remedy}; {name!r} has declared bounds")
    return family_ranges(schema, plain, plain)


def _edges_of(study: Study, request: Request) -> tuple[list[tuple[str, str]], int]:
    """The DAG's edges and the number of sites, of a request."""
    edges, num_sites = request.parameters["edges"], request.parameters["num_sites"]
    known = set(study.schema().names)
    if not isinstance(edges, list) or not all(
        isinstance(e, list) and len(e) == 2 and known.issuperset(map(str, e)) for e in edges
    ):
        raise ProtocolError("margins: edges: expected [[parent, child], ...]")
    if type(num_sites) is not int or num_sites < 1:
        raise ProtocolError("margins: num_sites: expected a number of sites")
    return [(str(e[0]), str(e[1])) for e in edges if isinstance(e, list)], num_sites


def _range(value: JsonValue, remedy: str) -> Range:
    if not isinstance(value, list) or len(value) != 2:
        raise ProtocolError(remedy)
    low, high = value
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ProtocolError(remedy)
    if not (np.isfinite(high - low) and low < high):
        raise ProtocolError(remedy)
    return float(low), float(high)
