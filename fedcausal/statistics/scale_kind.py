"""The "scale" statistic: noisy histograms that say where each variable lies and spreads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedcausal.data.table import TableSource, Vector
from fedcausal.errors import ProtocolError
from fedcausal.private.graph_budget import graph_budget, noise_share, num_colluding
from fedcausal.private.model_budget import model_budget
from fedcausal.schema import Schema, Variable
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Part, Request
from fedcausal.study import Study
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = [
    "NUM_BINS",
    "ModelScaleKind",
    "ReleasedScales",
    "ScaleKind",
    "scale_release",
    "scale_request",
]

NUM_BINS = 64
"""Bins of a number, of equal width over its declared bounds."""

COUNT_UNIT = 2**12
"""Integers per record, so that shares of noise are wide on the grid."""

RARE = 0.02
"""Share of missing values below which leaving their records out costs next to nothing."""

_NOISE_ROOM = 2**40
# Below half a bin a spread cannot be told; features of narrower numbers are small, not wrong.
_SPREADS = 2.0 ** np.arange(-7.5, -0.9, 0.125)


class ScaleKind:
    """Counts of records over 64 equal bins of each number, and over the levels of each other one.

    A record counts once for each variable that it has: the L2 sensitivity over d variables is
    the root of d, whatever the data.

    Privacy: leaves a site only with its share of discrete Gaussian noise, charged to the graph.
    """

    name: ClassVar[str] = "scale"
    part: ClassVar[Part] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds of the vector."""
        _check(request)
        _multiplier(study, self.name)
        return StatisticSpec(
            name=request.id(),
            length=sum(_widths(study.schema())),
            bound=max_rows_per_site(study, num_sites) * COUNT_UNIT + _NOISE_ROOM,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: one Gaussian release over all histograms."""
        return GaussianRelease(
            sensitivity=math.sqrt(len(study.schema())),
            noise_multiplier=_multiplier(study, self.name),
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
        """The site's histograms with its share of the noise."""
        _check(request)
        schema = study.schema()
        counts = [np.zeros(width, dtype=np.int64) for width in _widths(schema)]
        for batch in source.batches():
            for count, variable in zip(counts, schema, strict=True):
                column = batch.column(variable.name)
                cells = _cells(column[~np.isnan(column)], variable)
                count += np.bincount(cells, minlength=len(count))
        exact = np.concatenate(counts) * COUNT_UNIT
        scales = np.full(exact.size, _deviation(study, self.name) * COUNT_UNIT)
        return exact + noise_share(study, scales, num_sites, noise)

    def width(self, study: Study, request: Request) -> int:
        """Zero: a histogram has no parameters."""
        return 0


class ModelScaleKind(ScaleKind):
    """The same histograms, charged to the model: where no noisy graph has released them.

    Privacy: leaves a site only with its share of discrete Gaussian noise, charged to the model.
    """

    name: ClassVar[str] = "model_scale"
    part: ClassVar[Part] = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedScales:
    """What the histograms say: a scale for each variable and about how many records there are.

    `missing` names the variables that clearly fewer records have than the fullest ones.
    """

    scales: dict[str, tuple[float, ...]]
    num_records: float
    missing: tuple[str, ...] = ()


def scale_request(*, of_model: bool = False) -> Request:
    """The coordinator's request; it has no parameters."""
    return Request(kind=ModelScaleKind.name if of_model else ScaleKind.name)


def scale_release(
    study: Study, request: Request, released: Released, num_sites: int
) -> ReleasedScales:
    """Centre and spread of each number, shares of each variable's levels; free post-processing.

    A number's are those of the normal law whose bins fit the noisy counts best (the matched
    filter): noise in empty bins does not move it, as it would move a mean or a variance.
    """
    schema, widths = study.schema(), _widths(study.schema())
    if released.totals.shape != (sum(widths),):
        raise ProtocolError("a scale total has another length than its request implies")
    parts = np.split(released.totals / COUNT_UNIT, np.cumsum(widths)[:-1])
    scales = {
        variable.name: _fitted(part) if variable.is_numeric else _shares(part)
        for variable, part in zip(schema, parts, strict=True)
    }
    deviation = _deviation(study, request.kind) * math.sqrt(
        num_sites / (num_sites - num_colluding(study, num_sites))
    )
    precisions = np.array([1.0 / (width * deviation**2) for width in widths])
    totals = np.array([part.sum() for part in parts])
    records = float(precisions @ totals / precisions.sum())
    return ReleasedScales(
        scales=scales,
        num_records=max(records, 1.0),
        missing=_lacking(schema.names, totals, precisions**-0.5),
    )


def _lacking(names: Sequence[str], totals: Vector, deviations: Vector) -> tuple[str, ...]:
    """Variables with clearly fewer values than records: beyond the noise, and `RARE` of them."""
    fullest = float((totals - deviations).max())
    limits = (1.0 - RARE) * fullest - 2.0 * deviations
    return tuple(n for n, has, limit in zip(names, totals, limits, strict=True) if has < limit)


def _deviation(study: Study, kind: str) -> float:
    return math.sqrt(len(study.schema())) * _multiplier(study, kind)


def _multiplier(study: Study, kind: str) -> float:
    """The noise multiplier of the part that pays."""
    if kind == ScaleKind.name:
        return graph_budget(study).scale
    found = model_budget(study).scale
    if found is None:
        raise ProtocolError("the scales of this study's model are those of its noisy graph")
    return found


def _widths(schema: Schema) -> list[int]:
    return [NUM_BINS if v.is_numeric else v.num_levels for v in schema]


def _cells(column: Vector, variable: Variable) -> NDArray[np.int64]:
    if not variable.is_numeric:
        return column.astype(np.int64)
    lo, hi = variable.bounds or (0.0, 1.0)
    cells = np.floor((column - lo) / (hi - lo) * NUM_BINS).astype(np.int64)
    return np.clip(cells, 0, NUM_BINS - 1)


def _fitted(counts: Vector) -> tuple[float, float]:
    centres, templates = _templates()
    best = int(np.argmax(templates @ counts))
    row, column = divmod(best, len(centres))
    return float(centres[column]), float(_SPREADS[row])


def _templates() -> tuple[Vector, NDArray[np.float64]]:
    """Bins of normal laws, each of length 1: (spreads x centres, bins)."""
    edges = np.arange(NUM_BINS + 1) / NUM_BINS - 0.5
    centres = (np.arange(2 * NUM_BINS) + 0.5) / (2 * NUM_BINS) - 0.5
    bins = np.diff(
        ndtr((edges[None, None, :] - centres[None, :, None]) / _SPREADS[:, None, None]), axis=2
    )
    rows = bins.reshape(-1, NUM_BINS)
    return centres, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _shares(counts: Vector) -> tuple[float, ...]:
    positive = np.maximum(counts, 0.0)
    total = float(positive.sum())
    shares: Sequence[float] = (
        [1.0 / len(counts)] * len(counts) if total <= 0 else (positive / total).tolist()
    )
    return tuple(shares)


def _check(request: Request) -> None:
    if request.parameters:
        raise ProtocolError("a scale request has no parameters")
