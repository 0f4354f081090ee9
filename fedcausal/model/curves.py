"""Fitted splines as piecewise cubics: the same means without evaluating every B-spline."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.bsplines import DEGREE, bumps, num_bumps
from fedcausal.model.family_basis import FamilyBasis, FloatArray, Range, unscale
from fedcausal.model.family_terms import Knots, coarse
from fedcausal.transform import inner, warp

__all__ = ["Curves", "cubics", "curves_of", "ends_of"]

Indices = NDArray[np.int64]
_SIZE = DEGREE + 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """The fitted functions of a family whose features are splines of numeric parents.

    Each parent has an axis over its knots, and where there are pairs a second over its coarse
    knots. An axis has one interval between knots and one beyond each end; on an interval a
    function of one parent is a cubic, of two parents a product of cubics.

    Attributes
    ----------
    intercept
        (num_outputs,).
    parents
        Names; axis k reads parent k modulo their number.
    ranges
        Of the parents, with their transforms.
    edges
        (num_axes, longest) ends of the intervals in declared units (transformed ones of a parent
        that has a transform), filled up with infinity.
    starts, widths
        (num_axes * (longest + 1),) start and reciprocal width of each interval.
    alone
        (num_parents * (longest + 1), 4, num_outputs) coefficients of the cubics, constant first.
    pairs
        Axes (2, num_pairs) of each pair.
    together
        (num_pairs * (longest + 1)^2, 4, 4, num_outputs), by the pair's first parent first.

    Assumptions: equals `FamilyBasis.evaluate` times the coefficients up to rounding (1e-12 of
    their size), so it serves predictions; what sites count is computed from the features.
    """

    intercept: FloatArray
    parents: tuple[str, ...]
    ranges: tuple[Range, ...]
    edges: FloatArray
    starts: FloatArray
    widths: FloatArray
    alone: FloatArray
    pairs: Indices
    together: FloatArray

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Means (..., num_outputs) of parents in declared units, of shapes that broadcast."""
        read = [warp(columns[n], r) for n, r in zip(self.parents, self.ranges, strict=True)]
        if any(column.shape != read[0].shape for column in read):
            read = list(np.broadcast_arrays(*read))
        shape, count = read[0].shape, len(read)
        values = np.array([c.ravel() for c in read] * (len(self.edges) // count))
        steps = self.edges.shape[1] + 1
        inside = (values[:, None, :] >= self.edges[:, :, None]).sum(axis=1)
        at = inside + steps * np.arange(len(values))[:, None]
        place = (values - self.starts[at]) * self.widths[at]
        found = _cubic(self.alone[at[:count]], place[:count, :, None]).sum(axis=0)
        if self.pairs.size:
            first, second = self.pairs
            cell = inside[first] * steps + inside[second]
            cell += steps * steps * np.arange(len(first))[:, None]
            rows = _cubic(self.together[cell], place[first][:, :, None, None])
            found += _cubic(rows, place[second][:, :, None]).sum(axis=0)
        return np.asarray((found + self.intercept).reshape(*shape, -1))


def curves_of(basis: FamilyBasis, coefficients: FloatArray) -> Curves | None:
    """The curves of (1 + num_features, num_outputs) coefficients, intercepts first.

    None where a feature is no spline, or a product of one: levels, polynomials.
    """
    names = tuple(name for name in basis.parents if name in basis.knots)
    if not names or any(f.bump is None for term in basis.terms for f in term):
        return None
    alone, together = _by_parents(basis, coefficients)
    pairs = sorted(together, key=lambda pair: [names.index(name) for name in pair])
    knots = [basis.knots[n] for n in names] + [coarse(basis.knots[n]) for n in names if pairs]
    ranges = [basis.ranges[n] for n in names] * (2 if pairs else 1)
    longest = max(len(k) for k in knots) + 2
    edges = np.full((len(knots), longest), np.inf)
    starts, widths = np.zeros((2, len(knots), longest + 1))
    for axis, (own, interval) in enumerate(zip(knots, ranges, strict=True)):
        ends = unscale(ends_of(own), inner(interval))
        edges[axis, : len(ends)] = ends
        starts[axis, : len(ends) + 1] = [ends[0], *ends]
        gaps = np.diff(ends)
        widths[axis, : len(ends) + 1] = 1.0 / np.array([gaps[0], *gaps, gaps[-1]])
    outputs = coefficients.shape[1]
    lines = np.zeros((len(names), longest + 1, _SIZE, outputs))
    for axis, name in enumerate(names):
        local = cubics(basis.knots[name])
        lines[axis, : len(local)] = local @ alone[name]
    cells = np.zeros((len(pairs), longest + 1, longest + 1, _SIZE, _SIZE, outputs))
    for k, pair in enumerate(pairs):
        left, right = (cubics(coarse(basis.knots[name])) for name in pair)
        cell = np.einsum("iak,jbl,klo->ijabo", left, right, together[pair], optimize=True)
        cells[k, : len(left), : len(right)] = cell
    positions = [[names.index(name) + len(names) for name in pair] for pair in pairs]
    return Curves(
        intercept=coefficients[0],
        parents=names,
        ranges=tuple(basis.ranges[name] for name in names),
        edges=edges,
        starts=starts.ravel(),
        widths=widths.ravel(),
        alone=lines.reshape(-1, _SIZE, outputs),
        pairs=np.array(positions, dtype=np.int64).reshape(-1, 2).T,
        together=cells.reshape(-1, _SIZE, _SIZE, outputs),
    )


def _by_parents(
    basis: FamilyBasis, coefficients: FloatArray
) -> tuple[dict[str, FloatArray], dict[tuple[str, str], FloatArray]]:
    """Coefficients of all B-splines of a parent, and of all products of a pair's coarse ones."""
    outputs = coefficients.shape[1]
    alone = {n: np.zeros((num_bumps(k), outputs)) for n, k in basis.knots.items()}
    together: dict[tuple[str, str], FloatArray] = {}
    for term, own in zip(basis.terms, coefficients[1:], strict=True):
        if len(term) == 1:
            alone[term[0].variable][term[0].bump] = own
            continue
        pair = term[0].variable, term[1].variable
        if pair not in together:
            sizes = [num_bumps(coarse(basis.knots[name])) for name in pair]
            together[pair] = np.zeros((*sizes, outputs))
        together[pair][term[0].bump, term[1].bump] = own
    return alone, together


def _cubic(coefficients: FloatArray, at: FloatArray) -> FloatArray:
    """Horner's rule along the third axis."""
    found = coefficients[:, :, DEGREE]
    for power in range(DEGREE - 1, -1, -1):
        found = found * at + coefficients[:, :, power]
    return found


def ends_of(knots: Knots) -> FloatArray:
    """Where intervals end, in scaled units: the bounds and the knots between them."""
    return np.array([-1.0, *knots, 1.0])


@functools.lru_cache(maxsize=4096)
def cubics(knots: Knots) -> FloatArray:
    """(num_intervals + 2, 4, num_bumps): every B-spline on every interval, in local units.

    An interval is [0, 1] in units of its width; beyond the ends the width is the nearest one's,
    the origin the end, and the functions are lines.
    """
    ends = ends_of(knots)
    gaps = np.diff(ends)
    origins = np.array([ends[0], *ends])
    sizes = np.array([gaps[0], *gaps, gaps[-1]])
    inside = np.linspace(0.0, 1.0, _SIZE)
    places = np.tile(inside, (len(sizes), 1))
    places[0] -= 1.0
    values = bumps(origins[:, None] + sizes[:, None] * places, knots)
    local = np.linalg.solve(np.vander(inside, increasing=True), values)
    outside = np.vander(inside - 1.0, increasing=True)
    local[0] = np.linalg.solve(outside, values[0])
    local[[0, -1], 2:] = 0.0
    local.setflags(write=False)
    return np.asarray(local)
