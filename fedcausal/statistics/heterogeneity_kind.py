"""The "heterogeneity" statistic: sums of the sites' own slopes and residual variances."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource
from fedcausal.discovery.heterogeneity import (
    EQUATIONS,
    FEWEST_SITES,
    Heterogeneity,
    check_enough_sites,
    cochran,
)
from fedcausal.graph import Graph
from fedcausal.moments.basis import Basis
from fedcausal.moments.gram import CHUNK_ROWS
from fedcausal.moments.gram_totals import GramTotals
from fedcausal.schema import Schema
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import Guard, IntVector, Released, StatisticSpec

__all__ = ["HeterogeneityKind", "heterogeneity_release", "heterogeneity_request"]

Matrix = NDArray[np.float64]

STEPS = 2**14
"""Integers per 1.0 of a sum."""

MAX_WEIGHT = 2.0**28
MAX_ESTIMATE = 32.0
"""A site whose estimate or weight leaves this range adds nothing: 2^28 x 2^10 x 2^14 = 2^52."""

MIN_FREEDOM = 10
"""Residual degrees of freedom below which a site's variance is too unsure to weigh by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """A child's number or one of its levels, the features of its parents, where its sums start.

    A level's residual variance follows from its frequency, which every site may have its own of,
    so that only its slopes are compared.
    """

    child: str
    level: str
    column: int
    parents: tuple[int, ...]
    start: int

    @property
    def num_compared(self) -> int:
        """The slopes, and for a number the residual variance."""
        return len(self.parents) + (not self.level)

    @property
    def length(self) -> int:
        """One count of sites, then the sums of each quantity."""
        return 1 + EQUATIONS * self.num_compared


class HeterogeneityKind:
    """Per edge, sums over sites of w, w b and w b^2.

    b is the site's least-squares slope in standard deviations (of all records as released, or of
    the site's own under `standardize`) and w its inverse variance; the same for the logarithm of
    each number's residual variance. A child with levels is compared level by level, but for its
    first: b is the slope of the level's probability. A site takes part in a family with its
    complete rows.

    Assumptions: linear mechanisms along the graph; a level's variance is taken as the same for
    all records, so that Q is a little off where its probability varies much.

    Privacy: sums of nonlinear functions of single sites can be solved for one site when few take
    part: refused below `FEWEST_SITES` in the roster, and withheld family by family where fewer
    sites had an estimate.
    """

    name: ClassVar[str] = "heterogeneity"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; too few sites are a `StudyError`."""
        check_enough_sites(num_sites)
        families = _families(study, request)
        return StatisticSpec(
            name=request.id(),
            length=sum(family.length for family in families),
            bound=int(MAX_WEIGHT * MAX_ESTIMATE**2) * STEPS,
            min_cell=FEWEST_SITES,
            counts=tuple(family.start for family in families),
            guards=tuple(
                Guard(
                    count=family.start,
                    dependents=tuple(range(family.start + 1, family.start + family.length)),
                )
                for family in families
            ),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's estimates, weighted and rounded; zeros where it has none."""
        basis, families = _basis(study, request), _families(study, request)
        scales = _scales(request)
        own = study.discovery.site_effects == "standardize"
        sums = [np.zeros((len(f.parents) + 2,) * 2) for f in families]
        for batch in source.batches():
            for piece in batch.batches(CHUNK_ROWS):
                grid, _ = basis.grid(piece)
                for family, total in zip(families, sums, strict=True):
                    total += _moments(grid, ~np.isnan(piece.values), basis, family)
        vector = np.zeros(sum(family.length for family in families), dtype=np.int64)
        for family, total in zip(families, sums, strict=True):
            entries = _entries(total, family, basis, None if own else scales)
            vector[family.start : family.start + family.length] = entries
        return vector

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the largest family."""
        return max(len(family.parents) + 2 for family in _families(study, request))


def heterogeneity_request(
    dag: Graph,
    totals: GramTotals | None,
    ranges: Mapping[str, tuple[float, float]],
    schema: Schema,
) -> Request | None:
    """The coordinator's request along a DAG; None when it has no edge.

    `totals` give the standard deviations that slopes are told in; for a graph that was given they
    are told in sixths of each range. `ranges` are those of variables without declared bounds, as
    in the request of the Gram.
    """
    scales: dict[str, JsonValue] = {v.name: 1.0 / 3.0 for v in schema if v.is_numeric}
    if totals is not None:
        scales = _deviations(totals)
    children = [name for name in dag.nodes if dag.parents(name)]
    families: dict[str, JsonValue] = {child: sorted(dag.parents(child)) for child in children}
    if not families:
        return None
    public: dict[str, JsonValue] = {n: [lo, hi] for n, (lo, hi) in sorted(ranges.items())}
    return Request(
        kind=HeterogeneityKind.name,
        parameters={"families": families, "ranges": public, "scales": scales},
    )


def heterogeneity_release(
    study: Study, request: Request, released: Released
) -> tuple[Heterogeneity, ...]:
    """Cochran's tests of every slope and residual variance; withheld families are left out."""
    families = _families(study, request)
    if released.totals.shape != (sum(family.length for family in families),):
        raise ProtocolError("a heterogeneity total has another length than its request implies")
    labels = [feature.label for feature in _basis(study, request).features]
    return tuple(
        test
        for family in families
        if released.totals[family.start] > 1 and not released.withheld[family.start]
        for test in _tests(released.totals, family, labels)
    )


def _deviations(totals: GramTotals) -> dict[str, JsonValue]:
    basis, found = totals.basis, dict[str, JsonValue]()
    for i, feature in enumerate(basis.features):
        own = basis.owners[i]
        records = max(int(totals.counts[own, own]), 1)
        if feature.level is None and feature.degree == 1:
            found[feature.variable] = math.sqrt(max(totals.squares[i, own], 0.0) / records)
    return found


def _tests(totals: IntVector, family: _Family, labels: Sequence[str]) -> Iterator[Heterogeneity]:
    count = int(totals[family.start])
    sums = totals[family.start + 1 : family.start + family.length].reshape(-1, EQUATIONS) / STEPS
    names = [*(labels[i] for i in family.parents), *([] if family.level else [""])]
    for parent, (weights, first, second) in zip(names, sums.tolist(), strict=True):
        if weights > 0.0:
            test = cochran(family.child, parent, count, weights, first, second)
            yield replace(test, level=family.level)


def _basis(study: Study, request: Request) -> Basis:
    ranges = request.parameters.get("ranges")
    if not isinstance(ranges, Mapping):
        raise ProtocolError("a heterogeneity request has ranges")
    return Basis.linear(study.schema(), {name: _pair(value) for name, value in ranges.items()})


def _families(study: Study, request: Request) -> list[_Family]:
    content = request.parameters.get("families")
    if set(request.parameters) != {"families", "ranges", "scales"} or not (
        isinstance(content, Mapping) and content
    ):
        raise ProtocolError("a heterogeneity request has families, ranges and scales")
    basis, found, start = _basis(study, request), list[_Family](), 0
    for child, parents in sorted(content.items()):
        if not isinstance(parents, Sequence) or isinstance(parents, str) or not parents:
            raise ProtocolError("a family has a child and a list of parents")
        variable, block = study.schema()[child], basis.block(child)
        columns = block[:1] if variable.is_numeric else block[1:]
        levels = ("",) if variable.is_numeric else variable.categories[1:]
        for column, level in zip(columns, levels, strict=True):
            family = _Family(
                child=child,
                level=level,
                column=column,
                parents=tuple(i for name in parents for i in _slopes(basis, str(name))),
                start=start,
            )
            found.append(family)
            start += family.length
    return found


def _slopes(basis: Basis, name: str) -> list[int]:
    """The number of a variable, or the indicators of all its levels but the first."""
    block = basis.block(name)
    return block if basis.schema[name].is_numeric else block[1:]


def _scales(request: Request) -> dict[str, float]:
    scales = request.parameters["scales"]
    if not isinstance(scales, Mapping):
        raise ProtocolError("a heterogeneity request has scales")
    return {name: float(s) for name, s in scales.items() if isinstance(s, int | float) and s > 0}


def _moments(grid: Matrix, observed: NDArray[np.bool_], basis: Basis, family: _Family) -> Matrix:
    """Sums of products of (1, parents, child) over the rows that have all of them; exact."""
    columns = [*family.parents, family.column]
    owners = np.unique(basis.owners[columns])
    complete = observed[:, owners].all(axis=1)
    rows = np.column_stack([np.ones(int(complete.sum())), grid[complete][:, columns]])
    products: Matrix = rows.T @ rows
    return products


def _entries(
    sums: Matrix, family: _Family, basis: Basis, scales: Mapping[str, float] | None
) -> IntVector:
    """The count and sums of one family at this site; zeros where it has no usable estimate."""
    nothing = np.zeros(family.length, dtype=np.int64)
    count, freedom = sums[0, 0], sums[0, 0] - 1 - len(family.parents)
    if freedom < MIN_FREEDOM:
        return nothing
    columns = [*family.parents, family.column]
    units = basis.units[columns].astype(np.float64)
    means = sums[0, 1:] / count
    scatter = (sums[1:, 1:] - count * np.outer(means, means)) / np.outer(units, units)
    spread = _spread(scatter / count, columns, basis, scales)
    if not (spread > 0).all():
        return nothing
    scatter = scatter / np.outer(spread, spread)
    inner, cross = scatter[:-1, :-1], scatter[:-1, -1]
    if np.linalg.matrix_rank(inner, hermitian=True) < len(inner):
        return nothing
    slopes = np.linalg.solve(inner, cross)
    variance = float(scatter[-1, -1] - slopes @ cross) / freedom
    if variance <= 0.0:
        return nothing
    estimates = np.append(slopes, math.log(variance))
    weights = np.append(1.0 / (variance * np.diag(np.linalg.inv(inner))), freedom / 2.0)
    if weights.max() > MAX_WEIGHT or np.abs(estimates).max() > MAX_ESTIMATE:
        return nothing
    triples = np.column_stack([weights, weights * estimates, weights * estimates**2])
    triples = triples[: family.num_compared]
    return np.concatenate([[1], np.rint(triples * STEPS).ravel()]).astype(np.int64)


def _spread(
    variances: Matrix, columns: Sequence[int], basis: Basis, scales: Mapping[str, float] | None
) -> Matrix:
    """The standard deviation that each column is measured in; levels keep their scale."""
    own = np.sqrt(np.maximum(np.diag(variances), 0.0))
    chosen = [
        1.0
        if basis.features[i].level is not None
        else (deviation if not scales else scales.get(basis.features[i].variable, deviation))
        for i, deviation in zip(columns, own.tolist(), strict=True)
    ]
    return np.array(chosen)


def _pair(value: JsonValue) -> tuple[float, float]:
    if isinstance(value, list | tuple) and len(value) == 2:
        lo, hi = value
        if isinstance(lo, int | float) and isinstance(hi, int | float):
            return float(lo), float(hi)
    raise ProtocolError("a range is a list [lo, hi] of two numbers")
