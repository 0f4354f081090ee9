"""Discrete Gaussian noise on integers, whole or in shares that add up over the sites."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.statistic_spec import IntVector

__all__ = [
    "MIN_SHARE",
    "IntegerNoise",
    "discrete_gaussian",
    "gram_sensitivity",
    "num_colluding_by_default",
    "share_of",
]

Vector = NDArray[np.float64]
IntegerNoise = Callable[[Vector], IntVector]
"""From one scale (standard deviation) per entry to one integer per entry."""

MIN_SHARE = 8.0
"""Smallest standard deviation of a share on the integer grid.

A sum of discrete Gaussians is a discrete Gaussian but for terms of order exp(-pi^2 s^2) (Kairouz,
Liu and Steinke 2021, arXiv:2102.06387, theorem 1): below 1e-270 from here on.
"""

_MAX_SCALE = 2.0**56


def discrete_gaussian(scales: Vector) -> IntVector:
    """Exact discrete Gaussian integers, one for each scale; OpenDP draws from the system's source.

    The law gives x the weight exp(-x^2 / 2 s^2). There is no seed.

    Raises
    ------
    InputError
        A scale is not positive, or too large for 64 bits.

    References
    ----------
    Canonne, Kamath and Steinke (2020), arXiv:2004.00010, algorithm 3.
    """
    if scales.size and not (scales.min() > 0 and scales.max() < _MAX_SCALE):
        raise InputError(f"noise scales: expected numbers in (0, 2^56), got {scales.min():g}")
    noise = np.empty(scales.shape, dtype=np.int64)
    for scale in np.unique(scales).tolist():
        chosen = scales == scale
        noise[chosen] = _draw(scale, int(chosen.sum()))
    return noise


def share_of(scales: Vector, num_sites: int, num_colluding: int) -> Vector:
    """Scales of one site's share, so that all sites but the colluding ones make the whole noise.

    The total has variance K / (K - c) times the one asked for: what c sites know of their own
    shares is taken into account.

    Raises
    ------
    InputError
        Fewer than two sites would be left, or a share is too small for the integer grid.
    """
    honest = num_sites - num_colluding
    if num_colluding < 0 or honest < 2:
        raise InputError(
            f"privacy.colluding_sites: expected 0 to {num_sites - 2} of {num_sites} sites, "
            f"got {num_colluding}"
        )
    shares: Vector = scales / math.sqrt(honest)
    if shares.size and shares.min() < MIN_SHARE:
        raise InputError("a share of noise is too small for the grid; scale the statistic up")
    return shares


def num_colluding_by_default(num_sites: int) -> int:
    """A quarter of the sites, rounded up.

    >>> [num_colluding_by_default(k) for k in (3, 5, 10)]
    [1, 2, 3]
    """
    return max(1, math.ceil(num_sites / 4))


def gram_sensitivity(radius: float) -> float:
    r"""L2 sensitivity of a count, sums and a Gram of rows within a ball, when one row joins.

    A row x adds :math:`(R^2/3, (R/3) x, \operatorname{svec}(x x^\top))`, whose squared norm is
    :math:`R^4/9 + R^2 |x|^2 / 9 + |x|^4 \le (11/9) R^4` for :math:`|x| \le R`; svec weighs
    off-diagonal entries by the root of 2. The count and the sums together cost a tenth.

    >>> round(gram_sensitivity(1.0), 3)
    1.106
    """
    return radius**2 * math.sqrt(11.0) / 3.0


def _draw(scale: float, size: int) -> IntVector:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    # i64 is asked for by name: a plain int would be 32 bits, which saturate without a word.
    domain: Any = dp.vector_domain(dp.atom_domain(T="i64"))
    measurement: Any = dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale)
    return np.array(measurement([0] * size), dtype=np.int64)
