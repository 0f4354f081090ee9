"""How smooth a regression on splines is: chosen by restricted likelihood, from sums alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.bsplines import curvature
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Penalty:
    """One or two roughness measures of the same features, which share their eigenvectors.

    Attributes
    ----------
    features
        Indices of consecutive features.
    matrices, spectra
        The quadratic forms, each with largest eigenvalue 1, and their eigenvalues, paired.
    """

    features: slice
    matrices: tuple[FloatArray, ...]
    spectra: tuple[FloatArray, ...]

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

    A product of two splines pays in either direction, a product with a level in one: what stays
    free is a line, a product of lines, or a line for each level.
    """
    found: list[Penalty] = []
    start = 0
    while start < len(basis.terms):
        key, end = _kind(basis.terms[start]), start + 1
        while end < len(basis.terms) and _kind(basis.terms[end]) == key:
            end += 1
        forms = [_form(basis, *part) for part in key if len(part) == 2]
        if forms:
            found.append(_penalty(slice(start, end), forms))
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


def _form(basis: FamilyBasis, name: str, is_coarse: bool) -> FloatArray:
    knots = basis.knots[name]
    form = curvature(coarse(knots) if is_coarse else knots)[1:, 1:]
    return np.asarray(form / np.linalg.eigvalsh(form)[-1])


def _penalty(features: slice, forms: Sequence[FloatArray]) -> Penalty:
    spectra = [np.maximum(np.linalg.eigvalsh(form), 0.0) for form in forms]
    if len(forms) == 1:
        return Penalty(features=features, matrices=tuple(forms), spectra=tuple(spectra))
    (first, second), (a, b) = forms, spectra
    return Penalty(
        features=features,
        matrices=(
            np.asarray(np.kron(first, np.eye(len(b))), dtype=np.float64),
            np.asarray(np.kron(np.eye(len(a)), second), dtype=np.float64),
        ),
        spectra=(np.repeat(a, len(b)), np.tile(b, len(a))),
    )


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
    whole = sum(w * e for w, e in zip(weights, penalty.spectra, strict=True))
    seen = whole > TIES * np.max(whole)
    found = np.empty_like(weights)
    for j, (matrix, spectrum) in enumerate(zip(penalty.matrices, penalty.spectra, strict=True)):
        free = float(np.sum(spectrum[seen] / whole[seen]))
        room = max(free - float(np.sum(inverse[at, at] * matrix)), 1e-12 * free)
        rough = float(np.mean(np.sum(slopes[at] * (matrix @ slopes[at]), axis=0)))
        step = min(max(room / max(rough, 1e-300), 1e-3), 1e3)
        found[j] = min(max(weights[j] * step, LEAST * size), MOST * size)
    return found
