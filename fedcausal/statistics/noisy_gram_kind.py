"""The "noisy_gram" statistic: noisy count, sums and products of clipped features."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource, Vector
from fedcausal.errors import ProtocolError, SchemaError
from fedcausal.moments.gram import CHUNK_ROWS
from fedcausal.private.clipping import RESIDUAL, clipping_effect
from fedcausal.private.graph_budget import graph_budget, noise_share, num_colluding
from fedcausal.private.noisy_totals import NoisyTotals
from fedcausal.private.private_features import GRID, MAX_RADIUS, PrivateFeatures
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.statistics.scale_kind import ReleasedScales
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise, gram_sensitivity
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["NoisyGramKind", "chosen_radius", "noisy_gram_release", "noisy_gram_request"]

RADII = (2.0, 1.75, 1.5, 1.25)
"""Clipping radii over the root of the number of features: a larger ball needs more noise, a
smaller one bends correlations (docs/decisions/0030-noisy-gram.md)."""

_NOISE_ROOM = 2**58
_DIGITS = 6


class NoisyGramKind:
    """Count, sums and products of features within a ball of radius R, with Gaussian noise.

    The released vector is (R^2/3 n, R/3 sum x, svec sum x x^T) up to public factors. Each site
    adds a share of discrete Gaussian noise; all but the colluding sites together make noise of
    `noise_multiplier` times the sensitivity sqrt(11)/3 R^2, at which every site is charged.

    With site effects `center` a site first draws a noisy mean of its own rows, which it never
    sends, and subtracts it; `pool` subtracts nothing.

    Assumptions: rows with a missing value are missing completely at random; they are left out.

    Privacy: leaves a site only noised, through a secure sum, charged to the graph.
    """

    name: ClassVar[str] = "noisy_gram"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds of the vector; no cell is withheld, for all are noisy."""
        features = _features(study, request)
        graph_budget(study)
        most = max_rows_per_site(study, num_sites) * max(features.grid_radius, GRID) ** 2
        return StatisticSpec(
            name=request.id(),
            length=_Layout(features).length,
            bound=most + _NOISE_ROOM // num_sites,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: the Gram, and the private means that it is centred by."""
        features = _features(study, request)
        return GaussianRelease(
            sensitivity=gram_sensitivity(features.grid_radius / GRID),
            noise_multiplier=graph_budget(study).second_release,
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
        """The site's vector with its share of the noise."""
        features = _features(study, request)
        layout, budget = _Layout(features), graph_budget(study)
        centre = np.zeros(features.num_features)
        if budget.centre is not None:
            centre = _private_mean(features, source, budget.centre, noise)
        exact = np.zeros(layout.length, dtype=np.int64)
        for values in _batches(features, source):
            layout.add(exact, features.clipped(values - centre))
        scales = layout.deviations * budget.gram
        return exact + noise_share(study, scales, num_sites, noise)

    def width(self, study: Study, request: Request) -> int:
        """Number of features."""
        return _features(study, request).num_features


def noisy_gram_request(study: Study, found: ReleasedScales, num_sites: int) -> Request:
    """The coordinator's request, after the scales were released."""
    scales: dict[str, JsonValue] = {
        name: [round(value, _DIGITS) for value in values] for name, values in found.scales.items()
    }
    wide = PrivateFeatures(study.schema(), study.degrees(), found.scales, radius=1.0)
    radius, _ = chosen_radius(study, wide.num_features, found.num_records, num_sites)
    return Request(
        kind=NoisyGramKind.name, parameters={"scales": scales, "radius": round(radius, _DIGITS)}
    )


def chosen_radius(
    study: Study, num_features: int, num_records: float, num_sites: int
) -> tuple[float, float]:
    """The clipping radius, and the noise of an off-diagonal sum at it.

    The one of `RADII` with the smallest noise and bending of a correlation together, as predicted
    from public and released values only.
    """
    honest = num_sites - num_colluding(study, num_sites)
    multiplier = graph_budget(study).gram * math.sqrt(num_sites / (2.0 * max(honest, 1)))

    def predicted(radius: float) -> float:
        bent, kept = clipping_effect(num_features, radius)
        noise = gram_sensitivity(radius) * multiplier / kept / num_records
        return math.hypot(noise, RESIDUAL * bent)

    candidates = [min(ratio * math.sqrt(num_features), MAX_RADIUS) for ratio in RADII]
    radius = min(candidates, key=predicted)
    return radius, gram_sensitivity(radius) * multiplier


def noisy_gram_release(
    study: Study, request: Request, released: Released, num_sites: int
) -> NoisyTotals:
    """Read a released total: per-record moments and the known size of their noise."""
    features = _features(study, request)
    layout, totals = _Layout(features), released.totals.astype(np.float64)
    if totals.shape != (layout.length,):
        raise ProtocolError("a noisy gram total has another length than its request implies")
    colluding = num_colluding(study, num_sites)
    inflation = math.sqrt(num_sites / (num_sites - colluding))
    deviations = layout.deviations * graph_budget(study).gram * inflation
    count = totals[0] / GRID
    return NoisyTotals(
        features=features,
        num_records=max(count, 2.0),
        sums=totals[layout.sums] / GRID,
        products=totals[layout.products] / GRID**2,
        deviation=float(deviations[layout.products[0, 0]]) / math.sqrt(2.0) / GRID**2,
        sum_deviation=float(deviations[layout.sums[0]]) / GRID,
        num_sites=num_sites,
    )


@dataclass(frozen=True)
class _Layout:
    """In order: the count times GRID, the p sums, the p (p + 1) / 2 products."""

    features: PrivateFeatures

    @property
    def length(self) -> int:
        """Length of the vector."""
        p = self.features.num_features
        return 1 + p + p * (p + 1) // 2

    @cached_property
    def sums(self) -> NDArray[np.int64]:
        """(p,) entries."""
        return 1 + np.arange(self.features.num_features)

    @cached_property
    def products(self) -> NDArray[np.int64]:
        """(p, p) entries, symmetric."""
        p = self.features.num_features
        entries = np.zeros((p, p), dtype=np.int64)
        upper = np.triu_indices(p)
        entries[upper] = entries.T[upper] = 1 + p + np.arange(len(upper[0]))
        return entries

    @cached_property
    def deviations(self) -> Vector:
        """Noise of every entry at a multiplier of 1, in integers.

        The vector of the mechanism is (R^2/3 n, R/3 x, svec): each of its entries gets
        noise of the sensitivity; ours are those entries divided by R^2/3 and so on.
        """
        radius = self.features.grid_radius
        noise = gram_sensitivity(float(radius))
        found = np.full(self.length, noise / math.sqrt(2.0))
        found[np.diag(self.products)] = noise
        found[self.sums] = noise / (radius / 3.0)
        found[0] = noise / (radius**2 / 3.0) * GRID
        return found

    def add(self, total: IntVector, rows: NDArray[np.int64]) -> None:
        """Add rows, in place; exact, for sums of a chunk stay below 2^53."""
        total[0] += len(rows) * GRID
        total[self.sums] += rows.sum(axis=0)
        numbers = rows.astype(np.float64)
        upper = np.triu_indices(self.features.num_features)
        total[self.products[upper]] += (numbers.T @ numbers)[upper].astype(np.int64)


def _private_mean(
    features: PrivateFeatures, source: TableSource, multiplier: float, noise: IntegerNoise
) -> Vector:
    """The site's own noisy mean, pulled to zero by what noise alone would show (James-Stein).

    Privacy: (R/3 n, sum x) has sensitivity R sqrt(10)/3; the noise is whole, not a share, for the
    mean is used by the site alone. It is never sent.
    """
    radius = features.grid_radius
    deviation = multiplier * radius * math.sqrt(10.0) / 3.0
    sums, count = np.zeros(features.num_features, dtype=np.int64), 0
    for values in _batches(features, source):
        rows = features.clipped(values)
        sums, count = sums + rows.sum(axis=0), count + len(rows)
    noisy_sums = sums + noise(np.full(len(sums), deviation))
    scales = np.array([deviation / (radius / 3.0) * GRID])
    noisy_count = max(float((count * GRID + noise(scales))[0]) / GRID, 1.0)
    mean: Vector = noisy_sums / noisy_count / GRID
    expected = len(mean) * (deviation / noisy_count / GRID) ** 2
    mean *= max(0.0, 1.0 - expected / max(float(mean @ mean), 1e-12))
    return mean


def _batches(features: PrivateFeatures, source: TableSource) -> Iterator[NDArray[np.float64]]:
    for batch in source.batches():
        for piece in batch.batches(CHUNK_ROWS):
            yield features.values(piece)


def _features(study: Study, request: Request) -> PrivateFeatures:
    scales, radius = request.parameters.get("scales"), request.parameters.get("radius")
    if (
        set(request.parameters) != {"scales", "radius"}
        or not isinstance(scales, Mapping)
        or isinstance(radius, bool)
        or not isinstance(radius, int | float)
    ):
        raise ProtocolError("a noisy gram request has scales and a radius")
    known = {name: _numbers(value) for name, value in scales.items()}
    try:
        return PrivateFeatures(study.schema(), study.degrees(), known, float(radius))
    except SchemaError as error:
        raise ProtocolError(f"noisy_gram: {error}") from None


def _numbers(value: JsonValue) -> tuple[float, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        numbers = tuple(float(v) for v in value if isinstance(v, int | float))
        if len(numbers) == len(value) and all(math.isfinite(v) for v in numbers):
            return numbers
    raise ProtocolError("a scale is a list of numbers")
