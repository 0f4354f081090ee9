"""From a noisy release of family Grams to mechanisms: degree, repair and ridge by the noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedcausal.errors import ProtocolError
from fedcausal.model.families import families_request, requested_families
from fedcausal.model.family_basis import FloatArray, family_of_degree
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_fit import fit_mechanism
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.model.noisy_families import (
    GRID,
    NoisyFamily,
    noise_multiplier,
    noisy_layouts,
    squared_radius,
)
from fedcausal.private.graph_budget import num_colluding
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = ["NoisyFamilyGram", "chosen_degrees", "decode_noisy_families", "fit_noisy_mechanisms"]

# Spectral noise of a Gram over records times the spread of a feature, up to which a degree is
# worth its terms (docs/decisions/0040-gate-and-private-training.md).
WORTH = 0.02
RIDGE_SHARE = 1.0
"""Ridge over spectral noise: more bends the slopes, less lets noise into weak directions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyFamilyGram:
    """A repaired Gram of a family, and the noise (sd) of one of its off-diagonal products."""

    gram: FamilyGram
    noise: float

    @property
    def ridge(self) -> float:
        """A part of the typical size of the noise in any direction of the features."""
        return RIDGE_SHARE * self.noise * math.sqrt(max(self.gram.family.basis.num_features, 1))


def chosen_degrees(
    study: Study,
    edges: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    *,
    num_records: float | None,
    num_sites: int,
) -> dict[str, int]:
    """For every node the largest degree, up to the study's, that the noise leaves worth its terms.

    `num_records` is a released number of records, and the choice reads nothing else. Where none
    was released (the graph was given), degrees go up to 2: the ridge keeps small what noise
    drowns.
    """
    honest = num_sites - num_colluding(study, num_sites)
    multiplier = noise_multiplier(study) * math.sqrt(num_sites / max(honest, 1))
    families = requested_families(study, families_request(edges, nodes, {}))
    if num_records is None:
        return {family.node: min(family.basis.degree, 2) for family in families}
    degrees = {family.node: 1 for family in families}
    for family in families:
        for degree in range(2, family.basis.degree + 1):
            wider = family_of_degree(
                study.schema(), family.node, family.basis.parents, ranges={}, degree=degree
            )
            radius = squared_radius(wider)
            noise = multiplier * radius * math.sqrt(len(families) / 2.0)
            if noise * math.sqrt(wider.basis.num_features) <= WORTH * num_records:
                degrees[family.node] = degree
    return degrees


def decode_noisy_families(
    study: Study, request: Request, released: Released, num_sites: int
) -> dict[str, NoisyFamilyGram]:
    """Read every family's Gram: centred at the pooled means, positive semidefinite."""
    layouts = noisy_layouts(study, request)
    if released.totals.shape != (layouts[-1].end,):
        raise ProtocolError("a noisy families total has another length than its request implies")
    honest = num_sites - num_colluding(study, num_sites)
    multiplier = noise_multiplier(study) * math.sqrt(num_sites / honest)
    return {
        layout.family.node: _decode(layout, released.totals.astype(float), multiplier)
        for layout in layouts
    }


def fit_noisy_mechanisms(grams: Mapping[str, NoisyFamilyGram]) -> dict[str, Mechanism]:
    """One mechanism for every node, by ridge regression; residuals are taken to be Gaussian.

    The covariance of the coefficients has the noise in it. Privacy: reads the release alone.
    """
    return {node: _fit(gram) for node, gram in grams.items()}


def _decode(layout: NoisyFamily, totals: FloatArray, multiplier: float) -> NoisyFamilyGram:
    family, upper = layout.family, np.triu_indices(layout.size)
    whole = np.zeros((layout.size, layout.size))
    whole[upper] = totals[layout.start : layout.end] / GRID**2
    whole = np.triu(whole) + np.triu(whole, 1).T
    count = max(float(whole[0, 0]), 2.0 + layout.size)
    means = np.clip(whole[0, 1:] / count, -1.0, 1.0)
    noise = layout.deviation * multiplier / math.sqrt(2.0)
    products = _repaired(whole[1:, 1:] - count * np.multiply.outer(means, means), noise)
    gram = FamilyGram(
        family=family,
        num_records=max(round(count), layout.size + 2),
        num_means=1,
        means=means,
        products=products,
        usable=np.ones(family.basis.num_features, dtype=bool),
    )
    return NoisyFamilyGram(gram=gram, noise=noise)


def _repaired(products: FloatArray, noise: float) -> FloatArray:
    """The nearest matrix whose eigenvalues are at least what noise alone would show."""
    values, vectors = np.linalg.eigh(products)
    floor = noise * math.sqrt(len(products)) / 4.0
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)


def _fit(noisy: NoisyFamilyGram) -> Mechanism:
    first = noisy.gram.family.basis.num_features
    products = noisy.gram.products.copy()
    products[np.arange(first), np.arange(first)] += noisy.ridge
    mechanism = fit_mechanism(replace(noisy.gram, products=products))
    if not isinstance(mechanism, NumericMechanism) or not first:
        return mechanism
    slopes = mechanism.coefficients[1:]
    inverse = np.linalg.inv(products[:first, :first])
    spread = noisy.noise**2 * (1.0 + float(slopes @ slopes)) * (inverse @ inverse)
    means = noisy.gram.means[:first]
    shift = np.concatenate([-means[None, :], np.eye(first)])
    return replace(mechanism, covariance=mechanism.covariance + shift @ spread @ shift.T)
