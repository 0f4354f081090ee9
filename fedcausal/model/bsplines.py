"""Cubic B-splines on [-1, 1]: values, and the roughness that smoothing pays for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bumps", "num_bumps", "roughness"]

FloatArray = NDArray[np.float64]

DEGREE = 3
# Three Gauss-Legendre nodes integrate products of first derivatives (piecewise quartics) exactly.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


def num_bumps(knots: Sequence[float]) -> int:
    """Number of B-splines over the interior knots `knots`."""
    return len(knots) + DEGREE + 1


def bumps(values: FloatArray, knots: Sequence[float]) -> FloatArray:
    """All B-splines at some points, last axis `num_bumps(knots)`; they sum to 1.

    `knots` increase strictly within (-1, 1). Beyond [-1, 1] every spline goes on along its
    tangent, so that a fitted function extrapolates along a line.

    References
    ----------
    de Boor (1978), A Practical Guide to Splines, chapter X (the recurrence).
    """
    inside = np.clip(values, -1.0, 1.0)
    found = _recurrence(inside, _clamped(knots), DEGREE)
    beyond = np.asarray(values, dtype=float) - inside
    if np.any(beyond):
        first = DEGREE / ((knots[0] if len(knots) else 1.0) + 1.0)
        last = DEGREE / (1.0 - (knots[-1] if len(knots) else -1.0))
        below, above = np.minimum(beyond, 0.0) * first, np.maximum(beyond, 0.0) * last
        found[..., 0] -= below
        found[..., 1] += below
        found[..., -1] += above
        found[..., -2] -= above
    return found


def roughness(knots: Sequence[float], order: int) -> FloatArray:
    """The matrix P with b'Pb = integral over [-1, 1] of the squared derivative of sum b B.

    `order` is 1, 2 or 3: what costs nothing is a constant, a line, a parabola.

    References
    ----------
    O'Sullivan (1986), Statistical Science 1(4), the penalty of penalised B-splines.
    """
    edges = np.array([-1.0, *knots, 1.0])
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    points = np.concatenate([middle + half * node for node in _NODES])
    weights = np.concatenate([half * weight for weight in _WEIGHTS])
    bends = _derivatives(points, _clamped(knots), order)
    return np.asarray((bends * weights[:, None]).T @ bends)


def _clamped(knots: Sequence[float]) -> FloatArray:
    ends = [-1.0] * (DEGREE + 1)
    return np.array([*ends, *knots, *(-e for e in ends)])


def _recurrence(points: FloatArray, sites: FloatArray, degree: int) -> FloatArray:
    """Cox and de Boor's recurrence; the last interval includes its right end.

    A point lies under `degree` + 1 splines: these are computed, and all others are 0 there.

    References
    ----------
    Piegl and Tiller (1997), The NURBS book, algorithm 2.2.
    """
    x = np.ravel(points)
    last = len(sites) - 2 - int(np.count_nonzero(sites == sites[-1]) - 1)
    first = int(np.count_nonzero(sites == sites[0]) - 1)
    at = np.clip(np.searchsorted(sites, x, side="right") - 1, first, last)
    under = [np.ones_like(x)]
    for order in range(1, degree + 1):
        carried, above = np.zeros_like(x), list[FloatArray]()
        for k, value in enumerate(under):
            left, right = sites[at + 1 + k - order], sites[at + 1 + k]
            part = value / (right - left)
            above.append(carried + (right - x) * part)
            carried = (x - left) * part
        under = [*above, carried]
    found = np.zeros((len(x), len(sites) - 1 - degree))
    rows = np.arange(len(x))
    for k, value in enumerate(under):
        found[rows, at - degree + k] = value
    found[np.isnan(x)] = np.nan
    return found.reshape(*np.shape(points), -1)


def _derivatives(points: FloatArray, sites: FloatArray, order: int) -> FloatArray:
    """Derivatives of the cubic splines, from differences of splines of a lower degree."""
    found = _recurrence(points, sites, DEGREE - order)
    for degree in range(DEGREE - order + 1, DEGREE + 1):
        gaps = sites[degree:-1] - sites[: -degree - 1], sites[degree + 1 :] - sites[1:-degree]
        left, right = (
            np.divide(degree, gap, out=np.zeros_like(gap), where=gap > 0) for gap in gaps
        )
        found = left * found[..., :-1] - right * found[..., 1:]
    return found
