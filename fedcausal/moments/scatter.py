"""Exact centring of a Gram, pair by pair, and its standardised form."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Matrix
from fedcausal.moments.basis import UNIT, Basis, IntMatrix
from fedcausal.moments.gram import Gram

__all__ = ["SCATTER_UNIT", "STANDARD_UNIT", "Scatter", "centred", "standardized"]

SCATTER_UNIT = UNIT**2
"""Integers per 1.0 of a centred product: every feature is brought to 2^20 steps first."""

STANDARD_UNIT = UNIT
"""Integers per 1.0 of a standardised product."""

# Python integers in an array: a product of 63-bit sums and 25-bit counts needs 88 bits.
_Exact = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scatter:
    """Centred sums of one site (or of the pooled records).

    For features i of variable v and j of variable w, over the n records that have both:

    Attributes
    ----------
    counts
        (d, d): n, or 0 where v or w does not vary in those records.
    products
        (p, p): sum of (x_i - mean)(x_j - mean), with the means over those records.
    squares
        (p, d): sum of (x_i - mean)^2 over the records that have v and w.

    A variable that is constant in a pair's records tells nothing about the pair: it adds zero to
    its sums and to its count. Values are integers (see `SCATTER_UNIT`), rounded half up once.
    """

    basis: Basis
    counts: IntMatrix
    products: IntMatrix
    squares: IntMatrix


def centred(gram: Gram) -> Scatter:
    """Subtract the means of each pair's own records, exactly.

    sum (x_i - mean)(x_j - mean) = (n sum x_i x_j - sum x_i sum x_j) / n is formed in unbounded
    integers and rounded to the common unit 2^-40. With complete data it is the usual scatter.
    """
    numerators, variances, counts = _numerators(gram)
    lifts: _Exact = (UNIT // gram.basis.units).astype(object)
    records = _nonzero(counts)
    owners = gram.basis.owners
    products = _rounded(
        numerators * lifts[:, None] * lifts[None, :], records[np.ix_(owners, owners)]
    )
    squares = _rounded(variances * (lifts * lifts)[:, None], records[owners])
    return Scatter(basis=gram.basis, counts=counts, products=products, squares=squares)


def standardized(gram: Gram) -> Scatter:
    """Products of standardised numbers: n r for a pair of numbers; levels are centred only.

    Dividing a number by its own standard deviation at the site removes the site's unit. The
    indicator of a level keeps its scale, so that a block stays a block of probabilities; so does
    a polynomial, whose argument is in the site's standard deviations already.
    Rounded to `STANDARD_UNIT`.
    """
    numerators, variances, counts = _numerators(gram)
    owners = gram.basis.owners
    records = _nonzero(counts).astype(np.float64)
    is_number = np.array([f.level is None and f.degree == 1 for f in gram.basis.features])
    deviation = np.sqrt(variances.astype(np.float64)) / records[owners]
    units = gram.basis.units[:, None].astype(np.float64)
    scale = np.where(is_number[:, None] & (deviation > 0), deviation, units)
    pair_scale = scale[:, owners] * scale[:, owners].T
    products = numerators.astype(np.float64) / records[np.ix_(owners, owners)] / pair_scale
    squares = variances.astype(np.float64) / records[owners] / scale**2
    return Scatter(
        basis=gram.basis,
        counts=counts,
        products=_on_grid(products),
        squares=_on_grid(squares),
    )


def _numerators(gram: Gram) -> tuple[_Exact, _Exact, IntMatrix]:
    """The exact n sum x_i x_j - sum x_i sum x_j, the same for i = j, and the pair counts."""
    owners = gram.basis.owners
    counts: _Exact = gram.counts.astype(object)
    values: _Exact = gram.values.astype(object)
    variances = gram.squares.astype(object) * counts[owners] - values * values
    active = _active_pairs(gram.basis, variances)
    pair_values = values[:, owners]
    numerators = gram.products.astype(object) * counts[np.ix_(owners, owners)]
    numerators -= pair_values * pair_values.T
    return (
        np.where(active[np.ix_(owners, owners)], numerators, 0),
        np.where(active[owners], variances, 0),
        np.where(active, gram.counts, 0),
    )


def _active_pairs(basis: Basis, variances: _Exact) -> NDArray[np.bool_]:
    """(d, d): both variables vary in the records that have both."""
    varies = np.zeros((len(basis.schema), len(basis.schema)), dtype=bool)
    np.logical_or.at(varies, basis.owners, (variances > 0).astype(bool))
    active: NDArray[np.bool_] = varies & varies.T
    return active


def _nonzero(counts: IntMatrix) -> _Exact:
    exact: _Exact = np.where(counts > 0, counts, 1).astype(object)
    return exact


def _rounded(numerator: _Exact, denominator: _Exact) -> IntMatrix:
    quotient: IntMatrix = ((2 * numerator + denominator) // (2 * denominator)).astype(np.int64)
    return quotient


def _on_grid(values: Matrix) -> IntMatrix:
    grid: IntMatrix = np.rint(values * STANDARD_UNIT).astype(np.int64)
    return grid
