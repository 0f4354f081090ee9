"""Polynomials among the splines: a regression that needs no splines is fitted without them."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.bsplines import DEGREE, num_bumps
from fedcausal.model.family_basis import FamilyBasis
from fedcausal.model.family_terms import Knots, Term, coarse

__all__ = ["PlainFit", "plain_fits", "polynomials_within"]

FloatArray = NDArray[np.float64]

RIDGE = 1e-9
"""Added to the diagonal of the correlations: breaks ties of collinear features."""


DEGREES = (1,)
"""Lines alone. Cubics of several parents leave the data steeply: one was off by 31 standard
deviations in counterfactuals that a spline got within .3."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlainFit:
    """Least squares on polynomials of a total degree, in terms of the splines.

    `slopes` (num_features, num_responses), `inverse` (num_features, num_features): times the
    residual variance, their covariance. `effective` counts the polynomials.
    """

    degree: int
    slopes: FloatArray
    inverse: FloatArray
    effective: float


def plain_fits(
    basis: FamilyBasis, products: FloatArray, cross: FloatArray, usable: NDArray[np.bool_]
) -> tuple[PlainFit, ...]:
    """Fits of all `DEGREES` to sums about the means, without features that are not usable."""
    found = []
    for degree in DEGREES:
        within = polynomials_within(basis, degree)
        within = within[:, ~np.any(within[~usable] != 0.0, axis=0)]
        inner = within.T @ products @ within
        spread = inner.diagonal()
        within = within[:, spread > 0.0] / np.sqrt(spread[spread > 0.0])
        inner = within.T @ products @ within + RIDGE * np.eye(within.shape[1])
        inverse = np.asarray(within @ np.linalg.inv(inner) @ within.T)
        fit = PlainFit(
            degree=degree,
            slopes=inverse @ cross,
            inverse=inverse,
            effective=float(within.shape[1]),
        )
        found.append(fit)
    return tuple(found)


def polynomials_within(basis: FamilyBasis, degree: int) -> FloatArray:
    """Combinations of the features (num_features, num_polynomials) of total degree up to `degree`.

    Powers of (1 + x) for scaled x, which vanish at the left end as all listed splines do. A level
    counts as degree 1.

    References
    ----------
    Marsden (1970), J. Approximation Theory 3(1): cubic splines hold all cubics.
    """
    columns: list[FloatArray] = []
    for key, group in itertools.groupby(range(len(basis.terms)), lambda k: _kind(basis.terms[k])):
        rows = list(group)
        for powers in itertools.product(*(range(1, degree + 1) for _ in key)):
            if sum(powers) > degree or not _is_new(key, powers):
                continue
            parts = [_part(basis, part, power) for part, power in zip(key, powers, strict=True)]
            column = np.zeros(len(basis.terms))
            column[rows] = parts[0] if len(parts) == 1 else np.kron(*parts)
            columns.append(column)
    return np.array(columns).reshape(-1, len(basis.terms)).T


Part = tuple[str, bool] | tuple[str, int, str]


def _kind(term: Term) -> tuple[Part, ...]:
    return tuple(
        (f.variable, f.is_coarse) if f.level is None else (f.variable, f.level, "level")
        for f in term
    )


def _is_new(key: tuple[Part, ...], powers: tuple[int, ...]) -> bool:
    """A level has one power."""
    return all(power == 1 or len(part) == 2 for part, power in zip(key, powers, strict=True))


def _part(basis: FamilyBasis, part: Part, power: int) -> FloatArray:
    if len(part) == 3:
        return np.ones(1)
    name, is_coarse = part
    own = basis.knots[name]
    return _power(coarse(own) if is_coarse else own, power)


def _power(knots: Knots, power: int) -> FloatArray:
    """Coefficients of (1 + x)^power but the first one, which is 0: blossoms at the knots."""
    sites = np.array([-1.0] * (DEGREE + 1) + list(knots) + [1.0] * (DEGREE + 1)) + 1.0
    near = [sites[k + 1 : k + 1 + DEGREE] for k in range(1, num_bumps(knots))]
    picks = list(itertools.combinations(range(DEGREE), power))
    sums = [sum(math.prod(own[list(pick)]) for pick in picks) for own in near]
    return np.array(sums) / len(picks)
