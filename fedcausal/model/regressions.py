"""Fitted functions of many nodes, evaluated together: what a question about few records needs."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.bsplines import DEGREE, bumps
from fedcausal.model.curves import Curves
from fedcausal.model.family_basis import FamilyBasis, FloatArray, polynomial, scale
from fedcausal.model.family_terms import Factor, Knots, coarse
from fedcausal.model.level_splines import ChosenCubics, level_splines_of

__all__ = ["Regression", "Regressions", "regressions_of"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regression:
    """One fitted function: (1 + num_features, num_outputs) coefficients, intercepts first.

    `curves` are the same function as piecewise cubics, where it has such.
    """

    basis: FamilyBasis
    coefficients: FloatArray
    curves: Curves | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regressions:
    """The functions of several nodes; a record costs a fixed number of array operations.

    Attributes
    ----------
    intercepts
        (num_outputs,): the outputs of all functions, one function after another.
    parts
        What the features add: (num_variables, num_records) -> (outputs, their sums).

    Assumptions: equals the functions one by one up to rounding (1e-12 of their size).
    """

    intercepts: FloatArray
    parts: tuple[Callable[[FloatArray], tuple[Indices, FloatArray]], ...]

    def evaluate(self, values: FloatArray) -> FloatArray:
        """Outputs (num_outputs, num_records) of records (num_variables, num_records)."""
        found = np.empty((len(self.intercepts), values.shape[1]))
        found[:] = self.intercepts[:, None]
        for part in self.parts:
            at, added = part(values)
            found[at] += added
        return found


def regressions_of(functions: Sequence[Regression], names: Sequence[str]) -> Regressions:
    """Lay functions out for common evaluation; records come as rows of the variables `names`."""
    index = {name: row for row, name in enumerate(names)}
    ends = np.cumsum([0, *(f.coefficients.shape[1] for f in functions)])
    placed = [(f, int(start)) for f, start in zip(functions, ends[:-1], strict=True)]
    curved = [(f.curves, start) for f, start in placed if f.curves is not None]
    plain, chosen = list[tuple[Regression, int]](), list[tuple[ChosenCubics, int]]()
    for f, start in placed:
        mixed = None if f.curves is not None else level_splines_of(f.basis, f.coefficients)
        if mixed is not None:
            curved += [] if mixed.curves is None else [(mixed.curves, start)]
            chosen += [(own, start) for own in mixed.chosen]
            levels, own = mixed.indicators, mixed.coefficients
            f = Regression(basis=levels, coefficients=own, curves=None)
        if f.curves is None and f.basis.terms:
            plain.append((f, start))
    parts: list[Callable[[FloatArray], tuple[Indices, FloatArray]]] = []
    if curved:
        parts.append(_cubic_lines(curved, index))
        if any(curves.pairs.size for curves, _ in curved):
            parts.append(_cubic_pairs(curved, index))
    if chosen:
        parts.append(_chosen_lines(chosen, index))
    if plain:
        parts.append(_products(plain, index))
    intercepts = [f.coefficients[0] for f in functions]
    return Regressions(intercepts=np.concatenate([np.empty(0), *intercepts]), parts=tuple(parts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Axes:
    """Variables over their intervals: `read` names the row of each, the rest is of `Curves`."""

    read: Indices
    edges: FloatArray
    starts: FloatArray
    widths: FloatArray
    base: Indices

    def place(self, values: FloatArray) -> tuple[Indices, FloatArray]:
        """The interval of each value, and where in it the value lies; (num_axes, num_records)."""
        own = values[self.read]
        # Small integers, ends first: adding up truth values along the middle is far slower.
        reached = (own >= self.edges).view(np.int8)
        inside = np.add.reduce(reached, axis=0, dtype=np.int16).astype(np.int64)
        at = self.base + inside
        return inside, (own - self.starts[at]) * self.widths[at]


def _axes(curved: Sequence[tuple[Curves, int]], index: Mapping[str, int], paired: bool) -> _Axes:
    """The axes that single parents are read along, or those that pairs are."""
    read: list[int] = []
    edges: list[FloatArray] = []
    starts: list[FloatArray] = []
    widths: list[FloatArray] = []
    for curves, _ in curved:
        count, steps = len(curves.parents), curves.edges.shape[1] + 1
        if paired and not curves.pairs.size:
            continue
        first = count if paired else 0
        read += [index[name] for name in curves.parents]
        edges += list(curves.edges[first : first + count])
        inside = slice(first * steps, (first + count) * steps)
        starts += list(curves.starts[inside].reshape(count, steps))
        widths += list(curves.widths[inside].reshape(count, steps))
    return _Axes(
        read=np.array(read),
        edges=_padded(edges),
        starts=np.concatenate(starts),
        widths=np.concatenate(widths),
        base=np.cumsum([0, *(len(own) for own in starts[:-1])])[:, None],
    )


def _padded(edges: Sequence[FloatArray]) -> FloatArray:
    """(longest, num_axes, 1) ends, filled up with infinity."""
    padded = np.full((max(len(own) for own in edges), len(edges), 1), np.inf)
    for axis, own in enumerate(edges):
        padded[: len(own), axis, 0] = own
    return padded


def _cubic_lines(
    curved: Sequence[tuple[Curves, int]], index: Mapping[str, int]
) -> Callable[[FloatArray], tuple[Indices, FloatArray]]:
    """Sums of cubics of one parent each, for every output."""
    axes = _axes(curved, index, paired=False)
    tables: list[FloatArray] = []
    base, axis, outputs, cuts = (list[int]() for _ in range(4))
    first_axis, rows = 0, 0
    for curves, start in curved:
        count, steps = len(curves.parents), curves.edges.shape[1] + 1
        for output in range(curves.alone.shape[-1]):
            cuts.append(len(axis))
            outputs.append(start + output)
            axis += range(first_axis, first_axis + count)
            base += range(rows, rows + count * steps, steps)
            tables.append(curves.alone[..., output])
            rows += count * steps
        first_axis += count
    table, on, at = np.concatenate(tables), np.array(axis), np.array(base)[:, None]
    placed, segments = np.array(outputs), np.array(cuts)

    def lines(values: FloatArray) -> tuple[Indices, FloatArray]:
        inside, place = axes.place(values)
        found = _horner(table[at + inside[on]], place[on])
        return placed, np.add.reduceat(found, segments, axis=0)

    return lines


def _cubic_pairs(
    curved: Sequence[tuple[Curves, int]], index: Mapping[str, int]
) -> Callable[[FloatArray], tuple[Indices, FloatArray]]:
    """Sums of products of two cubics, for every output."""
    axes = _axes(curved, index, paired=True)
    tables: list[FloatArray] = []
    base, first, second, stride, outputs, cuts = (list[int]() for _ in range(6))
    first_axis, rows = 0, 0
    for curves, start in curved:
        if not curves.pairs.size:
            continue
        count, steps = len(curves.parents), curves.edges.shape[1] + 1
        num_pairs = curves.pairs.shape[1]
        for output in range(curves.together.shape[-1]):
            cuts.append(len(first))
            outputs.append(start + output)
            first += list(curves.pairs[0] - count + first_axis)
            second += list(curves.pairs[1] - count + first_axis)
            stride += [steps] * num_pairs
            base += range(rows, rows + num_pairs * steps**2, steps**2)
            tables.append(curves.together[..., output])
            rows += num_pairs * steps**2
        first_axis += count
    table, left, right = np.concatenate(tables), np.array(first), np.array(second)
    wide, at = np.array(stride)[:, None], np.array(base)[:, None]
    placed, segments = np.array(outputs), np.array(cuts)

    def pairs(values: FloatArray) -> tuple[Indices, FloatArray]:
        inside, place = axes.place(values)
        cells = table[at + inside[left] * wide + inside[right]]
        rows = _horner_rows(cells, place[left])
        return placed, np.add.reduceat(_horner(rows, place[right]), segments, axis=0)

    return pairs


def _chosen_lines(
    chosen: Sequence[tuple[ChosenCubics, int]], index: Mapping[str, int]
) -> Callable[[FloatArray], tuple[Indices, FloatArray]]:
    """Sums of cubics of one parent that another's level chooses, for every output."""
    axes = _axes_of([own.edges for own, _ in chosen], [index[own.parent] for own, _ in chosen])
    by_output: dict[int, list[tuple[int, int]]] = {}
    tables, rows = list[FloatArray](), 0
    for axis, (own, start) in enumerate(chosen):
        for output in range(own.table.shape[-1]):
            by_output.setdefault(start + output, []).append((axis, rows))
            tables.append(own.table[..., output].reshape(-1, DEGREE + 1))
            rows += len(tables[-1])
    flat = [pair for own in by_output.values() for pair in own]
    on, at = np.array([axis for axis, _ in flat]), np.array([[row] for _, row in flat])
    steps = np.array([[own.table.shape[1]] for own, _ in chosen])
    choosers = np.array([index[own.chooser] for own, _ in chosen])
    table, placed = np.concatenate(tables), np.array(list(by_output))
    segments = np.cumsum([0, *(len(own) for own in by_output.values())])[:-1]

    def lines(values: FloatArray) -> tuple[Indices, FloatArray]:
        inside, place = axes.place(values)
        # What nobody reads may be missing: any level will do.
        cells = inside + steps * np.fmax(values[choosers], 0.0).astype(np.int64)
        found = _horner(table[at + cells[on]], place[on])
        return placed, np.add.reduceat(found, segments, axis=0)

    return lines


def _axes_of(edges: Sequence[FloatArray], read: Sequence[int]) -> _Axes:
    """Axes with these ends of intervals, which read these rows."""
    gaps = [np.diff(own) for own in edges]
    starts = [np.array([own[0], *own]) for own in edges]
    widths = [1.0 / np.array([own[0], *own, own[-1]]) for own in gaps]
    return _Axes(
        read=np.array(read),
        edges=_padded(edges),
        starts=np.concatenate(starts),
        widths=np.concatenate(widths),
        base=np.cumsum([0, *(len(own) for own in starts[:-1])])[:, None],
    )


def _horner(coefficients: FloatArray, at: FloatArray) -> FloatArray:
    """Cubics with coefficients along the last axis."""
    found = coefficients[..., DEGREE]
    for power in range(DEGREE - 1, -1, -1):
        found = found * at + coefficients[..., power]
    return found


def _horner_rows(coefficients: FloatArray, at: FloatArray) -> FloatArray:
    """Cubics with coefficients along the last axis but one, four at a time."""
    found = coefficients[..., DEGREE, :]
    for power in range(DEGREE - 1, -1, -1):
        found = found * at[..., None] + coefficients[..., power, :]
    return found


def _products(
    plain: Sequence[tuple[Regression, int]], index: Mapping[str, int]
) -> Callable[[FloatArray], tuple[Indices, FloatArray]]:
    """Sums of products of polynomials and indicators of levels, for every output."""
    asked = [_key(f.basis, factor) for f, _ in plain for term in f.basis.terms for factor in term]
    keys = sorted(set(asked))
    row = {key: place for place, key in enumerate(keys)}
    longest = max(len(term) for f, _ in plain for term in f.basis.terms)
    picks, weights = list[list[int]](), list[float]()
    outputs, cuts = list[int](), list[int]()
    for f, start in plain:
        own = [[row[_key(f.basis, factor)] for factor in term] for term in f.basis.terms]
        padded = [[*rows, *[len(keys)] * (longest - len(rows))] for rows in own]
        for output in range(f.coefficients.shape[1]):
            cuts.append(len(picks))
            outputs.append(start + output)
            picks += padded
            weights += f.coefficients[1:, output].tolist()
    groups = [_group(k, degree, keys, index) for k, degree in _runs(keys)]
    chosen, weight = np.array(picks).T, np.array(weights)[:, None]
    placed, segments = np.array(outputs), np.array(cuts)

    def products(values: FloatArray) -> tuple[Indices, FloatArray]:
        table = np.ones((len(keys) + 1, values.shape[1]))
        for rows, factors in groups:
            table[rows] = factors(values)
        found = table[chosen[0]]
        for others in chosen[1:]:
            found = found * table[others]
        return placed, np.add.reduceat(found * weight, segments, axis=0)

    return products


_Key = tuple[int, str, float, float, Knots, int]
"""A factor with its scale: degree, variable and range, then the knots and place of a spline.

The degree is -1 for a spline and 0 for a level, which stands in the place of the range.
"""


def _key(basis: FamilyBasis, factor: Factor) -> _Key:
    if factor.level is not None:
        return 0, factor.variable, float(factor.level), 0.0, (), 0
    low, high = basis.ranges[factor.variable]
    if factor.bump is None:
        return factor.degree, factor.variable, low, high, (), 0
    knots = basis.knots[factor.variable]
    return (
        -1,
        factor.variable,
        low,
        high,
        coarse(knots) if factor.is_coarse else knots,
        factor.bump,
    )


def _runs(keys: Sequence[_Key]) -> list[tuple[slice, int]]:
    """Where sorted keys have one degree each."""
    degrees = [key[0] for key in keys]
    ends = [degrees.index(d) for d in sorted(set(degrees))] + [len(keys)]
    return [(slice(a, b), degrees[a]) for a, b in itertools.pairwise(ends)]


def _group(
    rows: slice, degree: int, keys: Sequence[_Key], index: Mapping[str, int]
) -> tuple[slice, Callable[[FloatArray], FloatArray]]:
    """The factors of one degree, or all levels."""
    own = keys[rows]
    if degree < 0:
        return rows, _splines(own, index)
    read = np.array([index[key[1]] for key in own])
    low, high = (np.array([[key[k]] for key in own]) for k in (2, 3))
    if degree == 0:
        return rows, lambda values: np.asarray(values[read] == low, dtype=float)
    middle, factor = 0.5 * (low + high), 2.0 / (high - low)
    return rows, lambda values: polynomial((values[read] - middle) * factor, degree)


def _splines(keys: Sequence[_Key], index: Mapping[str, int]) -> Callable[[FloatArray], FloatArray]:
    """B-splines, variable by variable; sorted keys of one variable and its knots adjoin."""
    axes = [
        (index[name], (low, high), knots, [key[5] for key in own])
        for (name, low, high, knots), own in itertools.groupby(keys, key=lambda key: key[1:5])
    ]

    def splines(values: FloatArray) -> FloatArray:
        found = [
            bumps(scale(values[read], interval), knots).T[places]
            for read, interval, knots, places in axes
        ]
        return np.concatenate(found)

    return splines
