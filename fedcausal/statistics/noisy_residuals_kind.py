"""The "noisy_residuals" statistic: noisy histograms of residuals, charged to the effects."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.noisy_families import noisy_layouts
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.model.residuals import ResidualBins, residual_bins, residuals_request
from fedcausal.private.effects_budget import charged_to_model, effects_budget
from fedcausal.private.graph_budget import num_colluding
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise, share_of
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = [
    "COUNT_UNIT",
    "NoisyResidualsKind",
    "noisy_residuals_release",
    "noisy_residuals_request",
    "on_simplex",
]

COUNT_UNIT = 2**12
"""Integers per record, so that shares of noise are wide on the grid."""

_NOISE_ROOM = 2**44


class NoisyResidualsKind:
    """Counts of records per bin of each numeric node's residual, with Gaussian noise.

    A record falls into one bin of each of m numeric nodes: the L2 sensitivity is the root of m.

    Privacy: leaves a site only noised, through a secure sum, charged to the effects. The bins
    follow from coefficients that were released with noise.
    """

    name: ClassVar[str] = "noisy_residuals"
    part: ClassVar[Literal["effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; no cell is withheld, for all are noisy."""
        _multiplier(study)
        return StatisticSpec(
            name=request.id(),
            length=sum(one.num_bins for one in _bins(study, request)),
            bound=max_rows_per_site(study, num_sites) * COUNT_UNIT + _NOISE_ROOM,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: one Gaussian release over all histograms."""
        return GaussianRelease(
            sensitivity=math.sqrt(len(_bins(study, request))),
            noise_multiplier=_multiplier(study),
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
        bins = _bins(study, request)
        totals = [np.zeros(one.num_bins, dtype=np.int64) for one in bins]
        for batch in source.batches():
            totals = [t + one.count(batch) for t, one in zip(totals, bins, strict=True)]
        exact = np.concatenate(totals) * COUNT_UNIT
        deviation = math.sqrt(len(bins)) * _multiplier(study) * COUNT_UNIT
        shares = share_of(
            np.full(exact.size, deviation), num_sites, num_colluding(study, num_sites)
        )
        return exact + noise(shares)

    def width(self, study: Study, request: Request) -> int:
        """Zero: a histogram has no parameters."""
        return 0


def noisy_residuals_request(
    families: Request, mechanisms: Mapping[str, Mechanism]
) -> Request | None:
    """Ask for the residuals of the numeric nodes of a model fitted to noisy families."""
    plain = residuals_request(families, mechanisms)
    return (
        None
        if plain is None
        else Request(kind=NoisyResidualsKind.name, parameters=plain.parameters)
    )


def noisy_residuals_release(
    study: Study, request: Request, released: Released
) -> dict[str, ResidualLaw]:
    """The residual law of every numeric node: the nearest histogram without negative bins."""
    bins = _bins(study, request)
    if released.totals.shape != (sum(one.num_bins for one in bins),):
        raise ProtocolError("a noisy residuals total has another length than its request implies")
    laws, start = dict[str, ResidualLaw](), 0
    for one in bins:
        counts = released.totals[start : start + one.num_bins] / COUNT_UNIT
        start += one.num_bins
        records = max(float(counts.sum()), 2.0)
        masses = on_simplex(counts, records)
        laws[one.node] = ResidualLaw.from_masses(one.edges, masses, round(records))
    return laws


def on_simplex(counts: FloatArray, total: float) -> FloatArray:
    """The nearest counts (Euclidean) that are not negative and sum to `total`.

    References
    ----------
    Duchi, Shalev-Shwartz, Singer and Chandra (2008), Efficient projections onto the l1-ball,
    ICML, figure 1.

    Examples
    --------
    >>> on_simplex(np.array([3.0, 1.0, -2.0]), 4.0).tolist()
    [3.0, 1.0, 0.0]
    """
    ordered = np.sort(counts.ravel())[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, ordered.size + 1)
    kept = int(np.flatnonzero(ordered > excess)[-1])
    return np.asarray(np.maximum(counts - excess[kept], 0.0))


def _multiplier(study: Study) -> float:
    multiplier = effects_budget(study).residuals
    if multiplier is None:
        raise ProtocolError("noisy_residuals: the model of this study has an epsilon of its own")
    return multiplier


def _bins(study: Study, request: Request) -> tuple[ResidualBins, ...]:
    parameters = {key: value for key, value in request.parameters.items() if key != "means"}
    families = Request(kind="noisy_families", parameters=parameters)
    layouts = noisy_layouts(charged_to_model(study), families)
    return residual_bins(study, request, {one.family.node: one.family for one in layouts})
