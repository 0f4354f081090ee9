"""How smooth a regression on splines is: chosen by restricted likelihood, from sums alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.bsplines import roughness
from fedcausal.model.family_basis import FamilyBasis
from fedcausal.model.family_terms import Term, coarse

__all__ = ["Penalty", "Smooth", "penalties", "smooth_fit"]

FloatArray = NDArray[np.float64]

MOST_STEPS = 50
SETTLED = 1e-3
"""The steps end when the effective number of parameters changes by less than this share."""
LEAST, MOST = 1e-9, 1e6
"""Bounds of a smoothing parameter, in units of the features' mean sum of squares."""
TIES = 1e-10

ALONE, TOGETHER = (2, 3), (1, 2)
"""Orders of the derivatives that a spline pays for, and a product of splines in each direction.

Second derivatives shrink a curve towards a line, third ones towards a parabola; first ones keep a
product from growing where there are no records.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Penalty:
    """Roughness measures of the same features.

    Attributes
    ----------
    features
        Indices of consecutive features.
    matrices
        The quadratic forms, each with largest eigenvalue 1.
    """

    features: slice
    matrices: tuple[FloatArray, ...]

    def moved(self, start: int) -> "Penalty":
        """The same with its first feature at `start`."""
        size = self.features.stop - self.features.start
        return replace(self, features=slice(start, start + size))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Smooth:
    """A penalised fit.

    Attributes
    ----------
    slopes
        (num_features, num_responses).
    inverse
        (X'X + S)^-1: times the residual variance, the covariance of the slopes given the data
        under the prior that the penalty is (Nychka 1988).
    effective
        Effective number of parameters: the trace of (X'X + S)^-1 X'X.
    """

    slopes: FloatArray
    inverse: FloatArray
    effective: float


def penalties(basis: FamilyBasis) -> tuple[Penalty, ...]:
    """What every spline, and every product with a spline, pays for its roughness.

    A spline pays for its second and third derivatives; a product of two splines for the first
    and second ones in either direction; a product with a level as the spline. Every measure has
    a weight of its own, so a parabola, say, need not pay for being no line.
    """
    found: list[Penalty] = []
    start = 0
    while start < len(basis.terms):
        key, end = _kind(basis.terms[start]), start + 1
        while end < len(basis.terms) and _kind(basis.terms[end]) == key:
            end += 1
        parts = [part for part in key if len(part) == 2]
        if parts:
            found.append(Penalty(features=slice(start, end), matrices=_matrices(basis, parts)))
        start = end
    return tuple(found)


def smooth_fit(
    products: FloatArray,
    cross: FloatArray,
    own: FloatArray,
    paid: Sequence[Penalty],
    *,
    degrees: int,
) -> Smooth:
    """Penalised least squares, each penalty weighted by restricted maximum likelihood.

    Parameters
    ----------
    products
        (m, m) sums of products of the features about their means.
    cross
        (m, r) sums of their products with the responses.
    own
        (r,) sums of squares of the responses about their means.
    degrees
        Records less means.

    References
    ----------
    Wood and Fasiolo (2017), A generalized Fellner-Schall method for smoothing parameter
    optimization, Biometrics 73(4), equation 4; of several responses the mean is taken.
    """
    size = max(float(np.trace(products)) / max(len(products), 1), 1e-300)
    weights = [np.full(len(p.matrices), size * 1e-2) for p in paid]
    effective = np.inf
    for _ in range(MOST_STEPS):
        penalised = products + _total(paid, weights, len(products), size)
        inverse = np.asarray(np.linalg.inv(penalised), dtype=np.float64)
        slopes = inverse @ cross
        before, effective = effective, float(np.sum(inverse * products))
        if abs(effective - before) < SETTLED * max(effective, 1.0):
            break
        left = own - 2 * np.sum(slopes * cross, axis=0) + np.sum(slopes * (products @ slopes), 0)
        variance = np.maximum(left, 1e-12 * own + 1e-300) / max(degrees - effective, 1.0)
        weights = [
            _next_weights(p, w, inverse, slopes / np.sqrt(variance), size)
            for p, w in zip(paid, weights, strict=True)
        ]
    return Smooth(slopes=slopes, inverse=inverse, effective=effective)


def _kind(term: Term) -> tuple[tuple[str, bool] | tuple[str, int, str], ...]:
    """What the terms of one penalty share: its variables, and its level where it has one."""
    return tuple(
        (f.variable, f.is_coarse) if f.level is None else (f.variable, f.level, "level")
        for f in term
    )


def _matrices(basis: FamilyBasis, parts: Sequence[tuple[str, bool]]) -> tuple[FloatArray, ...]:
    if len(parts) == 1:
        return tuple(_form(basis, *parts[0], order) for order in ALONE)
    found: list[FloatArray] = []
    for order in TOGETHER:
        first, second = (_form(basis, *part, order) for part in parts)
        found.append(np.asarray(np.kron(first, np.eye(len(second)))))
        found.append(np.asarray(np.kron(np.eye(len(first)), second)))
    return tuple(found)


def _form(basis: FamilyBasis, name: str, is_coarse: bool, order: int) -> FloatArray:
    knots = basis.knots[name]
    form = roughness(coarse(knots) if is_coarse else knots, order)[1:, 1:]
    return np.asarray(form / np.linalg.eigvalsh(form)[-1])


def _total(
    paid: Sequence[Penalty], weights: Sequence[FloatArray], num_features: int, size: float
) -> FloatArray:
    total = TIES * size * np.eye(num_features)
    for penalty, own in zip(paid, weights, strict=True):
        at = penalty.features
        for weight, matrix in zip(own, penalty.matrices, strict=True):
            total[at, at] += weight * matrix
    return total


def _next_weights(
    penalty: Penalty, weights: FloatArray, inverse: FloatArray, slopes: FloatArray, size: float
) -> FloatArray:
    """One step: weight times (tr(S^- S_j) - tr(V S_j)) over the roughness of the slopes."""
    at = penalty.features
    inverted = _pseudo_inverse(np.tensordot(weights, np.array(penalty.matrices), axes=1))
    found = np.empty_like(weights)
    for j, matrix in enumerate(penalty.matrices):
        free = float(np.sum(inverted * matrix))
        room = max(free - float(np.sum(inverse[at, at] * matrix)), 1e-12 * free)
        rough = float(np.mean(np.sum(slopes[at] * (matrix @ slopes[at]), axis=0)))
        step = min(max(room / max(rough, 1e-300), 1e-3), 1e3)
        found[j] = min(max(weights[j] * step, LEAST * size), MOST * size)
    return found


def _pseudo_inverse(form: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(form)
    seen = values > TIES * values[-1]
    return np.asarray((vectors[:, seen] / values[seen]) @ vectors[:, seen].T)
