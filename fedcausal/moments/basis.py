"""From variables to features: public, scaled, and rounded to a grid of exact integers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Matrix, Table, Vector
from fedcausal.errors import DataError, SchemaError
from fedcausal.schema import Schema, Variable

__all__ = ["MAX_DEGREE", "STANDARD_RANGE", "UNIT", "Basis", "Feature", "IntMatrix"]

IntMatrix = NDArray[np.int64]

UNIT = 2**20
"""Integers per 1.0 of a scaled number: z in [-1/2, 1/2] becomes q in [-2^19, 2^19]."""

MAX_DEGREE = 4
"""Highest degree of a basis of polynomials."""

TAIL_SCALE = 20.0
"""Steepness c of asinh(c t) / asinh(c): a number at a twentieth of its half range, t = 0.05, is
moved to 0.24. Among 8, 20, 50 and 150 the choice hardly mattered; 20 is the middle."""

STANDARD_RANGE = 3.0
"""Standard deviations either side of a site's mean that a standardised polynomial tells apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column of the Gram: a scaled number, a polynomial of it, or the indicator of one level.

    `unit` is the number of integers per 1.0 and `bound` the largest absolute integer; `level` is
    the code of the indicated level, None for a number; `degree` that of the polynomial.
    """

    variable: str
    label: str
    unit: int
    bound: int
    level: int | None = None
    degree: int = 1


@dataclass(frozen=True)
class Basis:
    """The features of every variable, in schema order; all levels have a feature of their own.

    A number x with public range [lo, hi] is z = (x - lo) / (hi - lo) - 1/2, then
    q = rint(2^20 z). `ranges` holds the public range of every numeric variable: declared bounds
    or released ones.

    A Legendre basis of degree k adds P_2 .. P_k of t = 2 z, halved: q_j = rint(2^19 P_j(t)) with
    t read from the integer q, so that every feature is a function of that integer, within the
    same bound and on the same grid. With `scales` (a site's own mean and spread of z) t is
    (z - mean) / spread instead, held to [-1, 1].

    The number of a variable in `heavy` is asinh(20 t) / (2 asinh(20)) in place of z, on the same
    grid, before all else: nearly linear in the middle twentieth of the range, logarithmic
    beyond, odd about the middle. Squares of squares, incomes and concentrations have tails that
    stretch a range a hundredfold, where polynomials of z see little but the tails. The line is
    then of the moved number too: "linear" means linear in asinh. It is no cure for a variable
    that is skewed to one side of bounds that end at zero: for that declare bounds about zero.

    References
    ----------
    Burbidge, Magee and Robb (1988), Alternative transformations to handle extreme values of the
    dependent variable, JASA 83.
    Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 22.7.10.
    """

    schema: Schema
    features: tuple[Feature, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    heavy: frozenset[str] = frozenset()

    @classmethod
    def linear(
        cls, schema: Schema, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> "Basis":
        """One feature for a number, one for each level of a binary or categorical variable.

        `ranges` serves the numeric variables that the schema leaves without bounds.
        """
        return cls.legendre(schema, {}, ranges)

    @classmethod
    def legendre(
        cls,
        schema: Schema,
        degrees: Mapping[str, int],
        ranges: Mapping[str, tuple[float, float]] | None = None,
        heavy: Collection[str] = (),
    ) -> "Basis":
        """Polynomials up to the given degree (1 where none is given) of the numeric variables.

        The names in `heavy` are those whose asinh is taken.
        """
        known = {v.name: _range(v, ranges or {}) for v in schema if v.is_numeric}
        moved = frozenset(name for name in heavy if name in known)
        features = tuple(
            f for v in schema for f in _features(v, degrees.get(v.name, 1), v.name in moved)
        )
        return cls(schema, features, MappingProxyType(known), heavy=moved)

    def lines(self) -> "Basis":
        """The same numbers without their polynomials."""
        features = tuple(f for f in self.features if f.degree == 1)
        return replace(self, features=features, scales=MappingProxyType({}))

    def with_scales(self, scales: Mapping[str, tuple[float, float]]) -> "Basis":
        """The same features, with polynomials of (z - mean) / spread per variable."""
        return replace(self, scales=MappingProxyType(dict(scales)))

    @property
    def is_linear(self) -> bool:
        """Whether no feature is a polynomial of degree 2 or more."""
        return all(feature.degree == 1 for feature in self.features)

    @property
    def num_features(self) -> int:
        """Number of features p."""
        return len(self.features)

    @cached_property
    def owners(self) -> NDArray[np.intp]:
        """Position of every feature's variable in the schema, shape (p,)."""
        return np.array([self.schema.index(f.variable) for f in self.features], dtype=np.intp)

    @cached_property
    def units(self) -> IntMatrix:
        """Every feature's integers per 1.0, shape (p,)."""
        return np.array([f.unit for f in self.features], dtype=np.int64)

    @cached_property
    def _blocks(self) -> dict[str, list[int]]:
        blocks: dict[str, list[int]] = {name: [] for name in self.schema.names}
        for i, feature in enumerate(self.features):
            blocks[feature.variable].append(i)
        return blocks

    def block(self, name: str) -> list[int]:
        """The features of one variable."""
        self.schema.index(name)
        return list(self._blocks[name])

    def encode(self, table: Table) -> tuple[IntMatrix, NDArray[np.bool_]]:
        """Integers q (num_rows, p), zero where missing, and what is observed (num_rows, d).

        Raises
        ------
        DataError
            When a number lies outside its range or a code is not a level.
        """
        grid, observed = self.grid(table)
        return grid.astype(np.int64), observed

    def grid(self, table: Table) -> tuple[Matrix, NDArray[np.bool_]]:
        """The same integers as `encode`, stored exactly as float64."""
        if table.schema != self.schema:
            raise SchemaError("the table and the basis have different schemas")
        observed = ~np.isnan(table.values)
        q = np.empty((table.num_rows, self.num_features), order="F")
        for position, variable in enumerate(self.schema):
            column = table.values[:, position]
            block = self._blocks[variable.name]
            if variable.is_numeric:
                seen = observed[:, position]
                number = self._numbers(column, seen, variable.name)
                q[:, block[0]] = number
                if len(block) > 1:
                    q[:, block[1:]] = self._polynomials(number, seen, variable.name, len(block))
            else:
                _check_codes(column, observed[:, position], variable)
                q[:, block] = column[:, None] == np.arange(len(block))
        return q, observed

    def _numbers(self, column: Vector, observed: NDArray[np.bool_], name: str) -> Vector:
        lo, hi = self.ranges[name]
        # (x - lo) / (hi - lo) is in [0, 1] for x in [lo, hi] whatever is rounded on the way.
        q: Vector = np.rint(((column - lo) / (hi - lo) - 0.5) * UNIT)
        if not observed.all():
            q[~observed] = 0.0
        outside = int(np.count_nonzero(np.abs(q) > UNIT // 2))
        if outside:
            raise DataError(
                f"{name}: {outside} rows lie outside the range [{lo:g}, {hi:g}] of this study; "
                f"correct them, or widen variables.{name}.bounds"
            )
        if name in self.heavy:
            moved: Vector = np.sign(q) * _moved_tails()[np.abs(q).astype(np.int64)]
            return moved
        return q

    def _polynomials(
        self, number: Vector, observed: NDArray[np.bool_], name: str, degree: int
    ) -> Matrix:
        """P_2 .. P_degree on the grid, (num_rows, degree - 1); zero where missing."""
        middle, spread = self.scales.get(name, (0.0, 0.5))
        t = np.clip((number / UNIT - middle) / spread, -1.0, 1.0)
        before, last, found = np.ones_like(t), t, list[Vector]()
        for k in range(2, degree + 1):
            before, last = last, ((2 * k - 1) * t * last - (k - 1) * before) / k
            found.append(np.rint(last * (UNIT // 2)))
        grid: Matrix = np.column_stack(found)
        grid[~observed] = 0.0
        return grid


@cache
def _moved_tails() -> Vector:
    """asinh(20 t) / asinh(20) on the grid, for q = 0 .. 2^19.

    A table: vectorised and scalar library routines may round a logarithm differently, and then
    how rows are divided among sites would show.
    """
    half = UNIT // 2
    table: Vector = np.rint(
        np.arcsinh(TAIL_SCALE * (np.arange(half + 1) / half)) / np.arcsinh(TAIL_SCALE) * half
    )
    table.setflags(write=False)
    return table


def _range(variable: Variable, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    known = variable.bounds if variable.bounds is not None else ranges.get(variable.name)
    if known is None:
        raise SchemaError(
            f"variable {variable.name!r} has neither bounds nor a released range; "
            f"write variables.{variable.name}.bounds = [lo, hi]"
        )
    lo, hi = float(known[0]), float(known[1])
    if not (np.isfinite(hi - lo) and lo < hi):
        raise SchemaError(
            f"variable {variable.name!r}: expected a range lo < hi, got [{lo}, {hi}]"
        )
    return lo, hi


def _features(variable: Variable, degree: int, is_heavy: bool) -> list[Feature]:
    name = variable.name
    number = f"asinh({name})" if is_heavy else name
    if not 1 <= degree <= MAX_DEGREE or (degree > 1 and not variable.is_numeric):
        raise SchemaError(
            f"variable {name!r}: a basis of degree {degree} was expected to be of a number, "
            f"with a degree of 1 to {MAX_DEGREE}; correct variables.{name}.basis"
        )
    if variable.is_numeric:
        return [
            Feature(
                variable=name,
                label=number if k == 1 else f"P{k}({number})",
                unit=UNIT,
                bound=UNIT // 2,
                degree=k,
            )
            for k in range(1, degree + 1)
        ]
    return [
        Feature(variable=name, label=f"{name}={level}", unit=1, bound=1, level=code)
        for code, level in enumerate(variable.categories)
    ]


def _check_codes(column: Vector, observed: NDArray[np.bool_], variable: Variable) -> None:
    codes = column[observed]
    good = (codes >= 0) & (codes < variable.num_levels) & (codes == np.rint(codes))
    if not good.all():
        raise DataError(
            f"{variable.name}: {int((~good).sum())} rows hold no code of its "
            f"{variable.num_levels} levels"
        )
