"""How a residual's spread follows from the parents: a bounded regression of its logarithm."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from fedcausal.model.curves import Curves, curves_of
from fedcausal.model.family_basis import Family, FamilyBasis, FloatArray
from fedcausal.model.family_terms import coarse, spline_terms
from fedcausal.model.regressions import Regression
from fedcausal.schema import Kind, Variable

__all__ = ["Spread", "log_size", "sizes_of", "spread_basis", "spread_family"]

FLOOR = 0.5
"""Added to |residual| / sd before the logarithm: small residuals would weigh most without it."""
SCALE = 4.5
"""A log size is divided by it: up to 89 standard deviations lie within 1."""
LEAST, MOST = 2.0**-6, 2.0**4
"""Bounds of a spread in units of the residual's standard deviation, in the data or beyond."""
MOST_DEGREE = 2
GRID, QUANTILES = 257, 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """The spread of a node's residual over its parents, in units of its overall spread.

    Attributes
    ----------
    basis
        Features of each parent alone: spreads of several parents multiply, roughly.
    coefficients
        (1 + num_features,) of the expected log size (`log_size`), intercept first.

    Assumptions: the standardised residual does not depend on the parents; beyond their public
    ranges the spread is that of the border, and it is never outside [1/64, 16].
    """

    basis: FamilyBasis
    coefficients: FloatArray
    _curves: Curves | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_curves", curves_of(self.basis, self.coefficients[:, None]))

    def factors(self, parents: Mapping[str, FloatArray]) -> FloatArray:
        """The spread of each record, by the fitted curves."""
        held = self._held(parents)
        if self._curves is None:
            return self._factors(self.basis.evaluate(held))
        return sizes_of(self._curves.evaluate(held)[..., 0])

    def counted(self, parents: Mapping[str, FloatArray]) -> FloatArray:
        """The same from the features as they are, which is what a site counts by."""
        return self._factors(self.basis.evaluate(self._held(parents)))

    def regression(self) -> Regression:
        """The expected log size, as a function to evaluate with others."""
        return Regression(
            basis=self.basis, coefficients=self.coefficients[:, None], curves=self._curves
        )

    def _factors(self, features: FloatArray) -> FloatArray:
        return sizes_of(self.coefficients[0] + features @ self.coefficients[1:])

    def _held(self, parents: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The parents within their public ranges."""
        ranges = self.basis.ranges
        return {
            name: np.clip(parents[name], *ranges[name]) if name in ranges else parents[name]
            for name in self.basis.parents
        }


def log_size(residual: FloatArray, sd: float) -> FloatArray:
    """log(|residual| / sd + 1/2), scaled and held within [-1, 1]: what is regressed.

    Harvey's log r^2 has two fifths of the information about a Gaussian's spread, since residuals
    near zero weigh most; with the 1/2 it is two thirds, and large residuals still weigh little.

    References
    ----------
    Harvey (1976), Econometrica 44(3). Davidian and Carroll (1987), Variance function estimation,
    JASA 82.
    """
    size = np.log(np.abs(residual) / max(sd, 1e-12) + FLOOR) / SCALE
    return np.asarray(np.clip(size, -1.0, 1.0))


def sizes_of(expected: FloatArray) -> FloatArray:
    """The spread whose expected log size this is, of a Gaussian residual; within its bounds.

    The level is exact for a Gaussian; of another law it is off by a factor which the law of the
    standardised residual takes up.
    """
    logs, means = _table()
    return np.exp(np.interp(expected, means, logs))


def spread_basis(basis: FamilyBasis) -> FamilyBasis:
    """The features of single parents: levels, coarse splines, or polynomials up to degree 2."""
    if not basis.knots:
        terms = tuple(t for t in basis.terms if len(t) == 1 and t[0].degree <= MOST_DEGREE)
        degree = min(basis.degree, MOST_DEGREE)
        return FamilyBasis(parents=basis.parents, degree=degree, terms=terms, ranges=basis.ranges)
    knots = {name: coarse(own) for name, own in basis.knots.items()}
    numbers = [Variable(name=n, kind=Kind.CONTINUOUS, bounds=basis.ranges[n]) for n in knots]
    splines = [t for t in spline_terms(numbers, knots) if len(t) == 1]
    levels = [t for t in basis.terms if len(t) == 1 and t[0].level is not None]
    return FamilyBasis(
        parents=basis.parents,
        degree=1,
        terms=(*splines, *levels),
        ranges=basis.ranges,
        knots=knots,
    )


def spread_family(family: Family) -> Family:
    """The family in which the node's column is its log size."""
    return Family(
        node=family.node, num_levels=0, range=(-1.0, 1.0), basis=spread_basis(family.basis)
    )


@functools.cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of spreads, and the expected log size of a Gaussian residual with each."""
    logs = np.linspace(np.log(LEAST), np.log(MOST), GRID)
    half = norm.ppf(0.5 + (np.arange(QUANTILES) + 0.5) / (2 * QUANTILES))
    means = np.array([log_size(np.exp(own) * half, 1.0).mean() for own in logs])
    return logs, means
