"""Regression features of a node's parents: bounded products of polynomials, splines, levels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from fedcausal.errors import DataError, InputError
from fedcausal.model.bsplines import bumps
from fedcausal.model.family_terms import (
    Factor,
    Knots,
    Term,
    coarse,
    is_indicator,
    polynomial_terms,
    spline_terms,
)
from fedcausal.schema import Schema
from fedcausal.transform import Warped, inner, warp

__all__ = [
    "UNIT",
    "Factor",
    "Family",
    "FamilyBasis",
    "Range",
    "family_basis",
    "family_of_degree",
    "family_of_knots",
    "family_ranges",
    "log_unit",
    "polynomial",
    "scale",
    "unscale",
]

UNIT = 2**19
"""Integers per 1.0 of a numeric feature: a product of two is below 2^38 in absolute value."""

FloatArray = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyBasis:
    """The features of one node's parents, all within [-1, 1]; the constant is not listed.

    `terms` are products of factors over distinct parents; the reference level (0) of a
    categorical parent has no indicator. `ranges` are the public bounds which scale the numeric
    parents to [-1, 1]; `knots` those of its splines, where it has any.

    Assumptions: beyond the bounds splines and the linear factor continue along a line; higher
    degrees are held at their value on the border, so that an extrapolation cannot explode.
    """

    parents: tuple[str, ...]
    degree: int
    terms: tuple[Term, ...]
    ranges: Mapping[str, Range]
    knots: Mapping[str, Knots] = field(default_factory=dict)
    _factors: tuple[Factor, ...] = field(init=False, repr=False)
    _picks: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at = {factor: k for k, factor in enumerate({f: None for t in self.terms for f in t})}
        longest = max((len(term) for term in self.terms), default=1)
        picks = [[*(at[f] for f in t), *[len(at)] * (longest - len(t))] for t in self.terms]
        object.__setattr__(self, "_factors", tuple(at))
        object.__setattr__(self, "_picks", np.array(picks, dtype=np.int64).reshape(-1, longest))

    @property
    def num_features(self) -> int:
        """Number of features without the constant."""
        return len(self.terms)

    def label(self, index: int) -> str:
        """The name of feature `index`."""
        return " * ".join(factor.label for factor in self.terms[index])

    def evaluate(self, parents: Mapping[str, FloatArray]) -> FloatArray:
        """Features (num_records, num_features) of parents in declared units or level codes."""
        shape = np.broadcast_shapes(*(np.shape(parents[name]) for name in self.parents), (1,))
        # One contiguous block for each factor, and for each feature: columns of rows are slow.
        values = np.ones((len(self._factors) + 1, *shape))
        scaled = {name: scale(parents[name], self.ranges[name]) for name in self.ranges}
        splines: dict[tuple[str, bool], FloatArray] = {}
        for k, factor in enumerate(self._factors):
            if factor.level is not None:
                values[k] = np.equal(parents[factor.variable], factor.level)
                continue
            column = scaled[factor.variable]
            if factor.bump is None:
                values[k] = polynomial(column, factor.degree)
                continue
            key = factor.variable, factor.is_coarse
            if key not in splines:
                splines[key] = self._splines(column, *key)
            values[k] = splines[key][..., factor.bump]
        columns = values[self._picks[:, 0]]
        for k in range(1, self._picks.shape[1]):
            longer = np.flatnonzero(self._picks[:, k] < len(self._factors))
            columns[longer] *= values[self._picks[longer, k]]
        return np.moveaxis(columns, 0, -1)

    def quantise(self, parents: Mapping[str, FloatArray]) -> NDArray[np.int64]:
        """The same features as integers: `UNIT` per 1.0, or 0 and 1 for pure levels."""
        units = np.array([1 if is_indicator(term) else UNIT for term in self.terms], dtype=float)
        features = self.evaluate(parents)
        np.clip(features, -1.0, 1.0, out=features)
        features *= units
        quantised: NDArray[np.int64] = np.rint(features, out=features).astype(np.int64)
        return quantised

    def units(self) -> tuple[int, ...]:
        """Integers per 1.0 of each feature."""
        return tuple(1 if is_indicator(term) else UNIT for term in self.terms)

    def _splines(self, values: FloatArray, name: str, is_coarse: bool) -> FloatArray:
        knots = coarse(self.knots[name]) if is_coarse else self.knots[name]
        return bumps(values, knots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A node with its parents' basis and its own columns.

    `num_levels` is 0 for a numeric node, whose single column is its value scaled by `range`;
    any other node has one indicator column for each of its levels.
    """

    node: str
    num_levels: int
    range: Range | None
    basis: FamilyBasis
    level_sets: tuple[frozenset[tuple[str, int]], ...] = field(init=False)

    def __post_init__(self) -> None:
        own = [frozenset({(self.node, level)}) for level in range(self.num_levels)]
        sets = [_levels_of(term) for term in self.basis.terms]
        object.__setattr__(self, "level_sets", (*sets, *(own or [frozenset()])))

    @property
    def num_node_columns(self) -> int:
        """1 for a numeric node, else its number of levels."""
        return max(self.num_levels, 1)

    @property
    def num_columns(self) -> int:
        """Features plus node columns."""
        return self.basis.num_features + self.num_node_columns

    @property
    def width(self) -> int:
        """Parameters of the family's largest Gram: the constant, the features, the node."""
        return 1 + self.num_columns

    @property
    def members(self) -> tuple[str, ...]:
        """The node and its parents: a record counts when all of them are observed."""
        return (self.node, *self.basis.parents)

    @property
    def column_variables(self) -> tuple[tuple[str, ...], ...]:
        """The variables that each column reads, features first."""
        features = [tuple(factor.variable for factor in term) for term in self.basis.terms]
        return (*features, *[(self.node,)] * self.num_node_columns)

    @property
    def known_range(self) -> Range:
        """The range of a numeric node."""
        if self.range is None:
            raise InputError(f"{self.node!r} has levels and no range")
        return self.range

    def units(self) -> tuple[int, ...]:
        """Integers per 1.0 of each column, features first."""
        own = (1,) * self.num_levels if self.num_levels else (UNIT,)
        return (*self.basis.units(), *own)

    def quantise(self, columns: Mapping[str, FloatArray]) -> NDArray[np.int64]:
        """Integer columns (num_records, num_columns) of complete records.

        Raises
        ------
        DataError
            A number lies outside its public range; the message names the variable.
        """
        self.check_ranges(columns)
        features = self.basis.quantise(columns) if self.basis.parents else None
        value = np.asarray(columns[self.node])
        if self.num_levels:
            own = (value[:, None] == np.arange(self.num_levels)).astype(np.int64)
        else:
            scaled = np.clip(scale(value, self.known_range), -1.0, 1.0)
            own = np.rint(scaled * UNIT).astype(np.int64)[:, None]
        parts = [own] if features is None else [features, own]
        quantised: NDArray[np.int64] = np.concatenate(parts, axis=1)
        return quantised

    def check_ranges(self, columns: Mapping[str, FloatArray]) -> None:
        """Refuse numbers outside their public range (NaN is inside): a `DataError`."""
        own = {} if self.range is None else {self.node: self.range}
        for name, interval in {**self.basis.ranges, **own}.items():
            outside = np.count_nonzero(np.abs(scale(columns[name], interval)) > 1.0 + 1.0 / UNIT)
            if outside:
                low, high = interval
                raise DataError(
                    f"{name}: {outside} rows lie outside the range [{low:g}, {high:g}] of this "
                    f"study; correct them, or widen variables.{name}.bounds"
                )


def scale(values: FloatArray, interval: Range) -> FloatArray:
    """Map [lo, hi] to [-1, 1], by way of the range's transform where it has one."""
    low, high = inner(interval)
    values = warp(values, interval)
    return (np.asarray(values, dtype=float) - 0.5 * (low + high)) * (2.0 / (high - low))


def unscale(scaled: FloatArray, interval: Range) -> FloatArray:
    """Inverse of `scale`."""
    low, high = inner(interval)
    values = np.asarray(scaled, dtype=float) * (0.5 * (high - low)) + 0.5 * (low + high)
    return interval.back(values) if isinstance(interval, Warped) else values


def log_unit(values: FloatArray, interval: Range) -> FloatArray:
    """Log of how many declared units 1 of the scaled number is, where it has these values."""
    low, high = inner(interval)
    size = np.asarray(np.log(0.5 * (high - low)), dtype=float)
    return size - interval.log_slope(values) if isinstance(interval, Warped) else size


def family_ranges(
    schema: Schema, ranges: Mapping[str, Range], names: Iterable[str]
) -> dict[str, Range]:
    """Public range of every numeric variable among `names`: declared bounds, else `ranges`.

    Raises
    ------
    InputError
        A numeric variable has neither; the message names it.
    """
    found: dict[str, Range] = {}
    for name in names:
        variable = schema[name]
        if not variable.is_numeric:
            continue
        interval = variable.bounds or ranges.get(name)
        if interval is None or not interval[0] < interval[1]:
            raise InputError(
                f"variables.{name}: a range is needed to scale its features and none is known; "
                f"write bounds = [lo, hi] in study.toml"
            )
        plain = (float(interval[0]), float(interval[1]))
        found[name] = Warped(plain, variable.transform) if variable.transform else plain
    return found


def family_basis(
    schema: Schema,
    node: str,
    parents: Sequence[str],
    *,
    ranges: Mapping[str, Range],
    degree: int,
    max_width: int,
) -> Family:
    """The family of `node`: total degree `degree`, lowered until at most `max_width` columns.

    At degree 1 the basis stays, however wide: a parent is never left out.
    """
    for total in range(degree, 1, -1):
        family = family_of_degree(schema, node, parents, ranges=ranges, degree=total)
        if family.num_columns <= max_width:
            return family
    return family_of_degree(schema, node, parents, ranges=ranges, degree=1)


def family_of_degree(
    schema: Schema,
    node: str,
    parents: Sequence[str],
    *,
    ranges: Mapping[str, Range],
    degree: int,
) -> Family:
    """The family of `node` with features of total degree up to `degree`."""
    known = family_ranges(schema, ranges, (node, *parents))
    terms = polynomial_terms([schema[name] for name in parents], degree)
    inner = {name: known[name] for name in parents if name in known}
    basis = FamilyBasis(parents=tuple(parents), degree=degree, terms=terms, ranges=inner)
    return Family(
        node=node, num_levels=schema[node].num_levels, range=known.get(node), basis=basis
    )


def family_of_knots(
    schema: Schema,
    node: str,
    parents: Sequence[str],
    *,
    ranges: Mapping[str, Range],
    knots: Mapping[str, Knots],
) -> Family:
    """The family of `node` with a spline of every numeric parent, and products of pairs.

    Raises
    ------
    InputError
        A numeric parent has no knots; the message names it.
    """
    known = family_ranges(schema, ranges, (node, *parents))
    numeric = [name for name in parents if schema[name].is_numeric]
    if missing := [name for name in numeric if name not in knots]:
        raise InputError(f"variables.{missing[0]}: no knots are known for its splines")
    basis = FamilyBasis(
        parents=tuple(parents),
        degree=1,
        terms=spline_terms([schema[name] for name in parents], knots),
        ranges={name: known[name] for name in numeric},
        knots={name: knots[name] for name in numeric},
    )
    return Family(
        node=node, num_levels=schema[node].num_levels, range=known.get(node), basis=basis
    )


def polynomial(scaled: FloatArray, degree: int) -> FloatArray:
    """A Legendre polynomial, held at its value on the border beyond it; degree 1 goes on."""
    if degree == 1:
        return scaled
    inside = np.minimum(np.maximum(scaled, -1.0), 1.0)
    return np.asarray(legendre.legval(inside, [0.0] * degree + [1.0]))


def _levels_of(term: Term) -> frozenset[tuple[str, int]]:
    return frozenset((f.variable, f.level) for f in term if f.level is not None)
