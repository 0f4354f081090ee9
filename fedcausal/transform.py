"""Declared transforms of heavy-tailed numbers: what a model reads in a number's place."""

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError

__all__ = ["Transform", "Warped", "inner", "warp"]

FloatArray = NDArray[np.float64]

LEAST_SHARE = 1e-3
"""Below this share of the lower bound a positive number counts as that: a logarithm has no 0."""


class Transform(StrEnum):
    """An increasing function of a number in declared units.

    "log" needs numbers above 0; "asinh" is a line near 0 and a logarithm of the size far from it
    (Johnson 1949), in units of the number itself.
    """

    LOG = "log"
    ASINH = "asinh"

    def check(self, bounds: tuple[float, float]) -> None:
        """Refuse bounds on which the function is not defined: an `InputError`."""
        if self is Transform.LOG and bounds[0] <= 0.0:
            raise InputError(
                f"a logarithm needs bounds above 0, got [{bounds[0]:g}, {bounds[1]:g}]; raise the "
                'lower bound, or write transform = "asinh"'
            )


class Warped(tuple[float, float]):
    """A range in declared units whose numbers are read through a transform.

    >>> inner(Warped((1.0, 100.0), Transform.LOG))
    (0.0, 4.605170185988092)
    """

    transform: Transform

    def __new__(cls, interval: tuple[float, float], transform: Transform) -> "Warped":
        """The range with its transform; one on which it is not defined is refused."""
        transform.check(interval)
        made = super().__new__(cls, interval)
        made.transform = transform
        return made

    def forward(self, values: FloatArray) -> FloatArray:
        """Transformed numbers; NaN stays."""
        if self.transform is Transform.ASINH:
            return np.asarray(np.arcsinh(values))
        return np.asarray(np.log(np.maximum(values, LEAST_SHARE * self[0])))

    def back(self, warped: FloatArray) -> FloatArray:
        """Numbers in declared units: at most as large as a float holds."""
        held = np.clip(warped, -MOST_LOG, MOST_LOG)
        return np.asarray(np.sinh(held) if self.transform is Transform.ASINH else np.exp(held))

    def log_slope(self, values: FloatArray) -> FloatArray:
        """Log derivative of `forward`."""
        if self.transform is Transform.ASINH:
            return np.asarray(-0.5 * np.log1p(np.square(values)))
        return -np.log(np.maximum(values, LEAST_SHARE * self[0]))


MOST_LOG = math.log(1e300)


def warp(values: FloatArray, interval: tuple[float, float]) -> FloatArray:
    """Numbers as a model reads them: transformed where their range is."""
    found = np.asarray(values, dtype=float)
    return interval.forward(found) if isinstance(interval, Warped) else found


def inner(interval: tuple[float, float]) -> tuple[float, float]:
    """The range of the numbers as a model reads them."""
    if not isinstance(interval, Warped):
        return interval
    low, high = interval.forward(np.array(tuple(interval)))
    return float(low), float(high)
