"""Features of a noisy Gram: put on one scale by what was released, clipped to a ball, integers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from fedcausal.data.table import Matrix, Table, Vector
from fedcausal.errors import SchemaError
from fedcausal.moments.basis import MAX_DEGREE, STANDARD_RANGE
from fedcausal.schema import Schema, Variable

__all__ = ["GRID", "MAX_RADIUS", "MIN_SPREAD", "PrivateFeatures", "Scales", "contrasts"]

GRID = 2**12
"""Integers per 1.0 of a scaled feature."""

MIN_SPREAD = 2.0**-10
"""Smallest spread of a number that features tell apart, as a share of its declared bounds."""

MAX_RADIUS = 64.0
"""Largest clipping radius: products of 2^36 over 2^25 records stay within 63 bits."""

MIN_LEVEL_SPREAD = 1e-3

IntMatrix = NDArray[np.int64]
Scales = Mapping[str, tuple[float, ...]]
"""Per variable: (centre, spread) of a number over its bounds, or the shares of the levels."""

# P_2, P_3 and P_4 of t = y / 3 for standard normal y, centred and brought to variance 1.
_LEGENDRE = {
    2: Polynomial([-0.5, 0.0, 1.5]),
    3: Polynomial([0.0, -1.5, 0.0, 2.5]),
    4: Polynomial([0.375, 0.0, -3.75, 0.0, 4.375]),
}


@dataclass(frozen=True)
class PrivateFeatures:
    """From rows to integer vectors in a ball of radius `radius`.

    A number z over its bounds is (z - centre) / spread, its polynomials are those of the same,
    brought to mean 0 and variance 1 under the normal law. L levels are L - 1 orthonormal
    contrasts of the indicators less the levels' shares, scaled so that their mean variance is 1.
    So noise of one size is right for all features, whatever the bounds.

    Rows with a missing value are left out. Longer vectors are shortened to `radius`.

    Privacy: `scales` and `radius` are public (released or chosen beforehand); the ball is what
    bounds the influence of one row.
    """

    schema: Schema
    degrees: Mapping[str, int]
    scales: Scales
    radius: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius) and 0.1 <= self.radius <= MAX_RADIUS):
            raise SchemaError(f"expected a radius from 0.1 to {MAX_RADIUS:g}, got {self.radius!r}")
        for variable in self.schema:
            _check(variable, self.scales.get(variable.name, ()))

    @cached_property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """Variable -> its features."""
        blocks, start = dict[str, tuple[int, ...]](), 0
        for variable in self.schema:
            width = (
                self.degrees.get(variable.name, 1)
                if variable.is_numeric
                else variable.num_levels - 1
            )
            blocks[variable.name] = tuple(range(start, start + width))
            start += width
        return blocks

    @cached_property
    def responses(self) -> dict[str, tuple[int, ...]]:
        """Variable -> the features that say what it is: its number, or its contrasts."""
        return {
            v.name: self.blocks[v.name][:1] if v.is_numeric else self.blocks[v.name]
            for v in self.schema
        }

    @property
    def num_features(self) -> int:
        """Number of features p."""
        return sum(len(block) for block in self.blocks.values())

    @cached_property
    def largest_norm(self) -> float:
        """The longest vector that any row within the bounds can have, exactly."""
        squares = (
            _largest_number(self.scales[v.name], self.degrees.get(v.name, 1))
            if v.is_numeric
            else _largest_level(self.scales[v.name])
            for v in self.schema
        )
        return math.sqrt(sum(squares))

    @property
    def grid_radius(self) -> int:
        """Bound of every row's length in integers; where no row can be longer, the basis' own."""
        return math.ceil(min(self.radius, self.largest_norm) * GRID)

    def values(self, table: Table) -> Matrix:
        """(num_complete_rows, p) features before clipping."""
        rows = table.values[~np.isnan(table.values).any(axis=1)]
        columns = [
            _number(rows[:, i], variable, self.scales[variable.name], self.degrees)
            if variable.is_numeric
            else _level(rows[:, i], self.scales[variable.name])
            for i, variable in enumerate(self.schema)
        ]
        return np.column_stack(columns)

    def clipped(self, values: Matrix, radius: int | None = None) -> IntMatrix:
        """Integers whose every row has a norm of at most `grid_radius`, exactly."""
        limit = self.grid_radius if radius is None else radius
        scaled = values * GRID
        norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        # Rounding towards zero makes no coordinate larger.
        scaled *= (limit / np.maximum(norms, limit))[:, None]
        grid: IntMatrix = np.trunc(scaled).astype(np.int64)
        while (too_long := (grid * grid).sum(axis=1) > limit * limit).any():
            grid[too_long] = np.trunc(grid[too_long] * (1.0 - 2.0**-20)).astype(np.int64)
        return grid


def contrasts(num_levels: int) -> Matrix:
    """(L - 1, L) orthonormal rows that sum to zero (Helmert).

    >>> contrasts(2).round(3).tolist()
    [[0.707, -0.707]]
    """
    rows = np.zeros((num_levels - 1, num_levels))
    for k in range(1, num_levels):
        rows[k - 1, :k], rows[k - 1, k] = 1.0, -float(k)
        rows[k - 1] /= math.sqrt(k * (k + 1))
    return rows


def _check(variable: Variable, scale: Sequence[float]) -> None:
    if variable.is_numeric:
        good = len(scale) == 2 and abs(scale[0]) <= 0.5 and MIN_SPREAD <= scale[1] <= 1.0
    else:
        good = len(scale) == variable.num_levels and all(0.0 <= share <= 1.0 for share in scale)
    if not good:
        raise SchemaError(f"{variable.name}: the scale {tuple(scale)} is none of its features")
    if variable.is_numeric and variable.bounds is None:
        raise SchemaError(
            f"{variable.name}: differential privacy needs bounds; write "
            f"variables.{variable.name}.bounds = [lo, hi]"
        )


def _number(
    column: Vector, variable: Variable, scale: Sequence[float], degrees: Mapping[str, int]
) -> Matrix:
    lo, hi = variable.bounds or (0.0, 1.0)
    z = np.clip((column - lo) / (hi - lo), 0.0, 1.0) - 0.5
    y = (z - scale[0]) / scale[1]
    polynomials = [_bent(y, k) for k in range(2, degrees.get(variable.name, 1) + 1)]
    return np.column_stack([y, *polynomials])


def _bent(y: Vector, degree: int) -> Vector:
    mean, deviation = _MOMENTS[degree]
    t = np.clip(y / STANDARD_RANGE, -1.0, 1.0)
    bent: Vector = (_LEGENDRE[degree](t) - mean) / deviation
    return bent


def _level(column: Vector, shares: Sequence[float]) -> Matrix:
    indicators = np.equal(column[:, None], np.arange(len(shares))).astype(np.float64)
    found: Matrix = (indicators - np.array(shares)) @ _contrast_map(shares)
    return found


def _contrast_map(shares: Sequence[float]) -> Matrix:
    spread = max(1.0 - float(np.square(shares).sum()), MIN_LEVEL_SPREAD)
    scaled: Matrix = contrasts(len(shares)).T * math.sqrt((len(shares) - 1) / spread)
    return scaled


def _largest_number(scale: Sequence[float], degree: int) -> float:
    """The largest squared norm of a number's features: at an end, or where a derivative is 0."""
    centre, spread = scale
    low, high = (-0.5 - centre) / spread, (0.5 - centre) / spread
    inside = Polynomial([0.0, 0.0, STANDARD_RANGE**2])
    for k in range(2, degree + 1):
        mean, deviation = _MOMENTS[k]
        inside = inside + ((_LEGENDRE[k] - mean) / deviation) ** 2
    roots = np.asarray(inside.deriv().roots(), dtype=np.complex128)
    turns = [float(r.real) for r in roots if abs(r.imag) < 1e-9]
    places = [low, high, -STANDARD_RANGE, STANDARD_RANGE, *(STANDARD_RANGE * t for t in turns)]
    y = np.clip(np.array(places), low, high)
    total = y**2
    for k in range(2, degree + 1):
        total = total + _bent(y, k) ** 2
    return float(total.max())


def _largest_level(shares: Sequence[float]) -> float:
    vectors = (np.eye(len(shares)) - np.array(shares)) @ _contrast_map(shares)
    return float(np.einsum("ij,ij->i", vectors, vectors).max())


def _normal_moments(degree: int) -> tuple[float, float]:
    """Mean and deviation of P_k(y / 3) for standard normal y, by Gauss-Hermite quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    values = _LEGENDRE[degree](np.clip(points / STANDARD_RANGE, -1.0, 1.0))
    weights = weights / weights.sum()
    mean = float(weights @ values)
    return mean, math.sqrt(float(weights @ (values - mean) ** 2))


_MOMENTS = {k: _normal_moments(k) for k in range(2, MAX_DEGREE + 1)}
