"""From a noisy release of family sums to mechanisms: moments, repair and ridge by the noise."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_fit import fit_mechanism
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.model.noisy_families import noisy_layouts
from fedcausal.model.noisy_layout import GRID, NoisyFamily
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.private.graph_budget import num_colluding
from fedcausal.private.model_budget import model_budget
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = [
    "NoisyFamilyGram",
    "decode_noisy_families",
    "fit_noisy_mechanisms",
    "noise_multiplier",
]

RIDGE_SHARE = 3.0
"""Weight of the prior law of the slopes: variances 1 / m each, for m orthonormal features."""

FLOOR_SHARE = 0.25
"""Smallest eigenvalue of a repaired Gram over what noise alone would show."""

_SAMPLES = 512
_RANK = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyFamilyGram:
    """A repaired Gram of a family, and the noise that it was released with.

    Attributes
    ----------
    gram
        In the family's own features.
    matrix
        (num_features, num_features): own features from orthonormal ones, in which the noise of
        every product has one size.
    inner
        (num_features, num_features) products of the orthonormal features.
    noise, cross_noise, node_noise
        Standard deviation of an off-diagonal product of two features, of a feature with a node
        column of spread `unit`, and of the square of that column.
    """

    gram: FamilyGram
    matrix: FloatArray
    inner: FloatArray
    noise: float
    cross_noise: float
    node_noise: float
    unit: float

    @property
    def least_variance(self) -> float:
        """A residual variance below this cannot be told from none."""
        return 0.5 * self.node_noise * self.unit**2 / self.gram.num_records

    @property
    def ridge(self) -> FloatArray:
        """Added to the products of the own features.

        With slopes b ~ N(0, I / m) and noise of size s in G b = g the posterior mean solves
        (G + m s^2 G^-1) b = g: directions that stand out of the noise are left as they are.
        """
        return np.asarray(self.matrix @ self._inner_ridge @ self.matrix.T)

    @property
    def _inner_ridge(self) -> FloatArray:
        weight = RIDGE_SHARE * len(self.inner) * self.noise**2
        return np.asarray(weight * np.linalg.inv(self.inner))

    def slope_noise(self, slopes: FloatArray, rng: np.random.Generator) -> FloatArray:
        """A draw (num_features, num_node_columns) of what the noise did to slopes, to first order.

        Of every node column by itself: that they share the noise of the features is left out.
        """
        own = np.square(self.matrix.T @ slopes).sum(axis=0)
        sizes = np.sqrt((self.cross_noise * self.unit) ** 2 + self.noise**2 * own)
        drawn = rng.standard_normal(slopes.shape) * sizes
        found = np.linalg.solve(self.inner + self._inner_ridge, drawn)
        return np.asarray(np.linalg.solve(self.matrix.T, found))


def noise_multiplier(study: Study, num_sites: int) -> float:
    """Noise of the total in units of a layout's deviations, the colluders' share made up for."""
    honest = num_sites - num_colluding(study, num_sites)
    return model_budget(study).families * math.sqrt(num_sites / max(honest, 1))


def decode_noisy_families(
    study: Study, request: Request, released: Released, num_sites: int
) -> dict[str, NoisyFamilyGram]:
    """Read every family's Gram: centred at the pooled means, positive semidefinite."""
    layouts = noisy_layouts(study, request)
    if released.totals.shape != (layouts[-1].end,):
        raise ProtocolError("a noisy families total has another length than its request implies")
    totals, multiplier = released.totals / float(GRID**2), noise_multiplier(study, num_sites)
    return {layout.family.node: _decode(layout, totals, multiplier) for layout in layouts}


def fit_noisy_mechanisms(grams: Mapping[str, NoisyFamilyGram]) -> dict[str, Mechanism]:
    """One mechanism for every node, by ridge regression; residuals are taken to be Gaussian.

    The covariance of the coefficients has the noise in it. Privacy: reads the release alone.
    """
    return {node: _fit(gram) for node, gram in grams.items()}


def _decode(layout: NoisyFamily, totals: FloatArray, multiplier: float) -> NoisyFamilyGram:
    noise = multiplier * layout.deviation / math.sqrt(2.0)
    family, nominal, first = layout.family, layout.nominal, layout.nominal.num_features
    inner, cross, own = _blocks(layout, totals)
    inner = _consistent(layout, inner)
    count = max(float(inner[0, 0]), 2.0 + layout.size)
    inner[0, 0] = count
    means, products = _moments(layout, inner, cross, own)
    products = _repaired(products, noise)
    centre, unit = nominal.node_line
    c = family.num_node_columns
    back = np.zeros((first + c, first + c))
    back[:first, :first], back[first:, first:] = nominal.matrix, unit * np.eye(c)
    gram = FamilyGram(
        family=family,
        num_records=max(round(count), layout.size + 2),
        num_means=1,
        means=back @ means + np.concatenate([nominal.mean, np.full(c, centre)]),
        products=back @ products @ back.T,
        usable=np.ones(first, dtype=bool),
    )
    return NoisyFamilyGram(
        gram=gram,
        matrix=nominal.matrix,
        inner=products[:first, :first],
        noise=noise,
        cross_noise=multiplier * layout.cross_deviation,
        node_noise=multiplier * layout.node_deviation,
        unit=unit,
    )


def _blocks(layout: NoisyFamily, totals: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Products of x, of x and t, and of t; two levels never meet in one record."""
    size, c = layout.size, layout.family.num_node_columns
    inner = _symmetric(totals[layout.start : layout.first_cross], size)
    cross = totals[layout.first_cross : layout.first_node].reshape(size, c)
    own = _symmetric(totals[layout.first_node : layout.end], c)
    return inner, cross, np.diag(np.diag(own)) if layout.family.num_levels else own


def _symmetric(upper: FloatArray, size: int) -> FloatArray:
    found = np.zeros((size, size))
    found[np.triu_indices(size)] = upper
    return found + np.triu(found, 1).T


def _consistent(layout: NoisyFamily, inner: FloatArray) -> FloatArray:
    """The nearest Gram that some weighted records could have.

    Different pairs of features have products in common (x^2 times 1 and x times x); a Gram of
    records satisfies the linear relations among them, noise does not. They are found from
    sampled designs.
    """
    size = len(inner)
    rows, columns = np.triu_indices(size)
    factors = np.where(rows == columns, 1.0, math.sqrt(2.0))
    design = layout.design(_sampled(layout))
    products = design[:, rows] * design[:, columns] * factors
    products /= np.linalg.norm(products, axis=1, keepdims=True)
    _, values, vectors = np.linalg.svd(products, full_matrices=False)
    basis = vectors[values > _RANK * values[0]]
    nearest = basis.T @ (basis @ (inner[rows, columns] * factors)) / factors
    return _symmetric(nearest, size)


def _sampled(layout: NoisyFamily) -> dict[str, FloatArray]:
    """Nominal records, half of them with values missing at random where there may be some."""
    columns = layout.nominal.nominal_columns(_SAMPLES, 0)
    rng = np.random.default_rng(1)
    for name in sorted(layout.missing & set(layout.family.basis.parents)):
        columns[name][rng.random(_SAMPLES) < 0.5] = np.nan
    return columns


def _moments(
    layout: NoisyFamily, inner: FloatArray, cross: FloatArray, own: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Means of features and node, and their products about them, as of all records.

    Each pair is centred over the records that have both: with flags f for "missing", the
    number of those is n - f_j - f_k + f_jk, the sum of u_j over them u_j - u_j f_k.
    """
    lead, c = layout.lead, layout.family.num_node_columns
    places = [1 + layout.patterns.index(p) if p else 0 for p in layout.feature_patterns]
    flags = np.array([*places, *[0] * c], dtype=int)
    is_flagged = (flags > 0).astype(float)
    columns = np.concatenate([inner[:, lead:], cross], axis=1)
    missing = inner[0, flags] * is_flagged
    both = inner[np.ix_(flags, flags)] * np.multiply.outer(is_flagged, is_flagged)
    counts = np.maximum(inner[0, 0] - missing[:, None] - missing[None, :] + both, 1.0)
    # sums[j, k]: of column j over the records that have column k.
    sums = columns[0][:, None] - columns[flags].T * is_flagged[None, :]
    products = np.block([[inner[lead:, lead:], cross[lead:]], [cross[lead:].T, own]])
    centred = (products - sums * sums.T / counts) * (inner[0, 0] / counts)
    return np.diag(sums) / np.diag(counts), centred


def _repaired(products: FloatArray, noise: float) -> FloatArray:
    """The nearest matrix whose eigenvalues are at least what noise alone would show."""
    values, vectors = np.linalg.eigh(0.5 * (products + products.T))
    floor = FLOOR_SHARE * noise * math.sqrt(2.0 * len(products))
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)


def _fit(noisy: NoisyFamilyGram) -> Mechanism:
    first = noisy.gram.family.basis.num_features
    products = noisy.gram.products.copy()
    if first:
        products[:first, :first] += noisy.ridge
    mechanism = fit_mechanism(replace(noisy.gram, products=products))
    if not isinstance(mechanism, NumericMechanism):
        return mechanism
    sd = max(mechanism.residual.sd, math.sqrt(noisy.least_variance))
    return replace(
        mechanism,
        covariance=mechanism.covariance + _noise_covariance(noisy, mechanism),
        residual=ResidualLaw.gaussian(sd, noisy.gram.num_records),
    )


def _noise_covariance(noisy: NoisyFamilyGram, mechanism: NumericMechanism) -> FloatArray:
    """What the noise adds to the covariance of (intercept, slopes), to first order."""
    slopes = noisy.matrix.T @ mechanism.coefficients[1:]
    spread = (noisy.cross_noise * noisy.unit) ** 2 + noisy.noise**2 * float(slopes @ slopes)
    back = np.linalg.inv(noisy.inner @ noisy.matrix.T)
    means = noisy.gram.means[: len(slopes)]
    shift = np.concatenate([-means[None, :], np.eye(len(slopes))])
    return np.asarray(spread * shift @ (back @ back.T) @ shift.T)
