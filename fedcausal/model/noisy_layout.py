"""Where a family's noisy sums lie in their vector, and how far one row reaches."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.model.family_basis import Family, FloatArray
from fedcausal.model.nominal_features import NODE_LIMIT, NominalFeatures, Scales

__all__ = ["GRID", "NoisyFamily", "noisy_family_layouts"]

GRID = 2**14
"""Integers per 1.0 of a feature, the constant among them."""

SPREAD_SHARE = 0.35
"""Weight of the node's own products against everything else in the sensitivity."""

_CHUNK_ROWS = 2**12


@dataclass(frozen=True, kw_only=True)
class NoisyFamily:
    """One family's part of the vector: products of x = (1, flags, features) and node columns t.

    In order: the upper triangle of the sum of w x x', then that of w x t', then the upper
    triangle of w t t'. A row weighs w = min(1, S / |x|^2), which its parents alone decide: least
    squares stay unbiased, whatever is clipped. With weights 1, v and u of the three blocks
    (as squares of the norm S^2 + 2 v S T + u T^2, T the node's bound) one record moves the
    weighted vector by at most `reach`.

    A parent in `missing` has a flag for each set of such parents that a feature needs: 1 where
    one of them is missing. There the feature counts as its nominal mean, 0. A record without the
    node itself is left out.

    `deviation` is the noise of a diagonal product of x at a multiplier of 1.
    """

    nominal: NominalFeatures
    missing: frozenset[str]
    start: int
    deviation: float

    @property
    def family(self) -> Family:
        """The node, its parents and their own features."""
        return self.nominal.family

    @cached_property
    def patterns(self) -> tuple[frozenset[str], ...]:
        """The sets of possibly missing parents that features need, each with a flag."""
        needed = set(self.feature_patterns) - {frozenset()}
        return tuple(sorted(needed, key=lambda names: (len(names), sorted(names))))

    @cached_property
    def feature_patterns(self) -> tuple[frozenset[str], ...]:
        """For each feature the possibly missing parents that it needs."""
        terms = self.family.basis.terms
        return tuple(self.missing & {factor.variable for factor in term} for term in terms)

    @property
    def lead(self) -> int:
        """Columns of x before the features: the constant and the flags."""
        return 1 + len(self.patterns)

    @property
    def size(self) -> int:
        """Columns of x."""
        return self.lead + self.nominal.num_features

    @property
    def radius(self) -> float:
        """S, the squared norm to which x is shortened: its nominal mean."""
        return _radius(self.nominal)

    @property
    def first_cross(self) -> int:
        """Index of the first product of x and t."""
        return self.start + self.size * (self.size + 1) // 2

    @property
    def first_node(self) -> int:
        """Index of the first product of t."""
        return self.first_cross + self.size * self.family.num_node_columns

    @property
    def end(self) -> int:
        """One past the last entry."""
        c = self.family.num_node_columns
        return self.first_node + c * (c + 1) // 2

    @property
    def cross_deviation(self) -> float:
        """Noise of a product of x and t at a multiplier of 1."""
        return self.deviation / math.sqrt(2.0 * _weights(self.nominal)[0])

    @property
    def node_deviation(self) -> float:
        """Noise of a diagonal product of t at a multiplier of 1."""
        return self.deviation / math.sqrt(_weights(self.nominal)[1])

    @property
    def deviations(self) -> FloatArray:
        """Noise of every entry at a multiplier of 1, in integers."""
        cross = np.full(self.first_node - self.first_cross, self.cross_deviation)
        own = _triangle(self.family.num_node_columns, self.node_deviation)
        parts = [_triangle(self.size, self.deviation), cross, own]
        return np.asarray(np.concatenate(parts) * GRID**2)

    def zero(self) -> NDArray[np.int64]:
        """The sums of no records."""
        return np.zeros(self.end - self.start, dtype=np.int64)

    def sums(self, batch: Table) -> NDArray[np.int64]:
        """Exact sums over a batch: additive over batches."""
        columns = {name: batch.column(name) for name in self.family.members}
        kept = ~np.any([np.isnan(columns[n]) for n in self._needed()], axis=0)
        columns = {name: column[kept] for name, column in columns.items()}
        total, m = self.zero(), self.size
        for start in range(0, int(kept.sum()), _CHUNK_ROWS):
            piece = {n: c[start : start + _CHUNK_ROWS] for n, c in columns.items()}
            # Towards zero, so that no row leaves the ball.
            rows = np.trunc(self._rows(piece) * GRID)
            products = (rows.T @ rows).astype(np.int64)
            own = products[m:, m:]
            total += np.concatenate(
                [
                    products[:m, :m][np.triu_indices(m)],
                    products[:m, m:].ravel(),
                    own[np.triu_indices(len(own))],
                ]
            )
        return total

    def _needed(self) -> list[str]:
        """The variables without which a record is left out: the node, and parents not flagged."""
        parents = self.family.basis.parents
        return [self.family.node, *(name for name in parents if name not in self.missing)]

    def design(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """(num_records, size) the constant, the flags and the features; NaN is missing."""
        observed = {name: ~np.isnan(column) for name, column in columns.items()}
        values = self.nominal.values(
            {name: np.where(observed[name], c, 0.0) for name, c in columns.items()}
        )
        count = len(values)
        flags = np.zeros((count, self.lead - 1))
        for k, pattern in enumerate(self.patterns):
            flags[:, k] = ~np.all([observed[name] for name in pattern], axis=0)
        for j, pattern in enumerate(self.feature_patterns):
            for name in pattern:
                values[~observed[name], j] = 0.0
        return np.concatenate([np.ones((count, 1)), flags, values], axis=1)

    def _rows(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """(num_records, size + num_node_columns) rows times the root of their weight."""
        self.family.check_ranges(columns)
        x = self.design(columns)
        norms = np.square(x).sum(axis=1, keepdims=True)
        weights = np.sqrt(np.minimum(1.0, self.radius / norms))
        node = self.nominal.node_values(columns[self.family.node])
        return np.asarray(np.concatenate([x, node], axis=1) * weights)


def noisy_family_layouts(
    families: Iterable[Family],
    scales: Scales,
    missing: frozenset[str],
    *,
    limit: float = NODE_LIMIT,
) -> tuple[NoisyFamily, ...]:
    """Consecutive layouts; each family's share of the budget is as its `reach`.

    Numeric nodes are held to `limit` spreads.

    Weighing family i's vector by 1 / root(reach_i) makes the squared sensitivity of all together
    the sum of the reaches, and the noise of family i the root of reach_i times that sum.
    """
    nominals = [NominalFeatures(family, scales, limit) for family in families]
    whole, start = sum(reach(one) for one in nominals), 0
    layouts = []
    for one in nominals:
        deviation = math.sqrt(reach(one) * whole)
        own = missing & set(one.family.members)
        layouts.append(NoisyFamily(nominal=one, missing=own, start=start, deviation=deviation))
        start = layouts[-1].end
    return tuple(layouts)


def reach(nominal: NominalFeatures) -> float:
    """How far one record moves the weighted vector of a family, at most."""
    radius, bound = _radius(nominal), nominal.node_bound
    cross, own = _weights(nominal)
    return math.sqrt(radius**2 + 2.0 * cross * radius * bound + own * bound**2)


def _radius(nominal: NominalFeatures) -> float:
    return 1.0 + nominal.num_features


def _weights(nominal: NominalFeatures) -> tuple[float, float]:
    """(v, u): squared weights of the products of x and t, and of those of t.

    v = root(S / T) makes the errors of slopes from both blocks together smallest where the
    features explain about all of the node.
    """
    radius, bound = _radius(nominal), nominal.node_bound
    cross = math.sqrt(radius / bound)
    return cross, SPREAD_SHARE**2 * (radius**2 / bound**2 + 2.0 * cross * radius / bound)


def _triangle(size: int, deviation: float) -> FloatArray:
    rows, columns = np.triu_indices(size)
    return np.where(rows == columns, deviation, deviation / math.sqrt(2.0))
