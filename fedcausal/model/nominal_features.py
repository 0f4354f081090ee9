"""A family's features on one scale: orthonormal under a public, rough law of its parents."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import hermite_e, legendre

from fedcausal.model.family_basis import Factor, Family, FloatArray, scale

__all__ = ["LEVEL_UNIT", "NODE_LIMIT", "NominalFeatures", "Scales", "node_limit"]

Scales = Mapping[str, tuple[float, ...]]
"""Per variable: (centre, spread) of a number over its bounds, or the shares of the levels."""

NODE_LIMIT = 4.0
"""A numeric node is held to this many spreads about its centre."""

WIDE_LIMIT = 5.0
"""The same where noise is small: what holding bends is then more than what it spares."""

SMALL_NOISE = 1.0
"""The largest multiplier of the families' release that counts as small (epsilon about 5)."""

LEVEL_UNIT = 2.0
"""What the indicator of a node's level counts: near a standard deviation of 1 for even shares."""

LEAST_SHARE = 0.02
_NODES = 40


@dataclass(frozen=True)
class NominalFeatures:
    """The family's features less their mean, turned orthonormal, under a nominal law.

    The nominal law has independent parents: a number is normal with a centre and a spread over
    its bounds, a level has its share. Under it the features have mean 0 and the unit covariance,
    so noise of one size is right for all of them, whatever bounds were declared. The
    orthonormal functions span what the family's own features span; `matrix` and `mean` lead
    back: own features = matrix @ these + mean. The node is brought to about mean 0 and spread 1
    and held within `limit`.

    Where the law is wrong, nothing is biased: another basis of the same functions is used.

    Privacy: `scales` are released or public before any row is read.
    """

    family: Family
    scales: Scales
    limit: float = NODE_LIMIT

    @property
    def num_features(self) -> int:
        """Features without the constant."""
        return self.family.basis.num_features

    @property
    def node_bound(self) -> float:
        """Largest squared norm of the node's columns."""
        return LEVEL_UNIT**2 if self.family.num_levels else self.limit**2

    @cached_property
    def node_line(self) -> tuple[float, float]:
        """(centre, spread): the node's own columns are centre + spread x these."""
        if self.family.num_levels:
            return 0.0, 1.0 / LEVEL_UNIT
        centre, spread = self.scales[self.family.node]
        return 2.0 * centre, 2.0 * spread

    @cached_property
    def mean(self) -> FloatArray:
        """(num_features,) nominal means of the family's own features."""
        return self._expansion[:, 0]

    @cached_property
    def matrix(self) -> FloatArray:
        """(num_features, num_features) own features from orthonormal ones; lower triangular."""
        return self._expansion[:, 1:]

    def values(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """(num_records, num_features) orthonormal features of complete records."""
        parents = self.family.basis.parents
        own = {name: self._functions(name, columns[name]) for name in parents}
        found = np.ones((len(columns[self.family.node]), self.num_features))
        for k, term in enumerate(self.family.basis.terms):
            for factor in term:
                found[:, k] *= own[factor.variable][:, _index(factor)]
        return found

    def node_values(self, column: FloatArray) -> FloatArray:
        """(num_records, num_node_columns) of the node."""
        if self.family.num_levels:
            return np.equal(column[:, None], np.arange(self.family.num_levels)) * LEVEL_UNIT
        centre, spread = self.node_line
        scaled = (scale(column, self.family.known_range) - centre) / spread
        return np.clip(scaled, -self.limit, self.limit)[:, None]

    def nominal_columns(self, num_records: int, seed: int) -> dict[str, FloatArray]:
        """Parents drawn from the nominal law, within their bounds; the node is zero."""
        rng = np.random.default_rng(seed)
        columns = {self.family.node: np.zeros(num_records)}
        for name in self.family.basis.parents:
            points, weights = self._law(name)
            if name in self.family.basis.ranges:
                low, high = self.family.basis.ranges[name]
                centre, spread = self.scales[name]
                z = np.clip(centre + spread * rng.standard_normal(num_records), -0.5, 0.5)
                columns[name] = low + (high - low) * (z + 0.5)
            else:
                columns[name] = rng.choice(points, size=num_records, p=weights)
        return columns

    def _functions(self, name: str, column: FloatArray) -> FloatArray:
        """1 and the orthonormal functions of one parent (num_records, size)."""
        if name in self.family.basis.ranges:
            column = scale(column, self.family.basis.ranges[name])
        return np.asarray(np.linalg.solve(self._triangles[name].T, self._own(name, column).T).T)

    def _own(self, name: str, points: FloatArray) -> FloatArray:
        """1 and the factors of one parent, of scaled numbers or codes (num_points, size)."""
        if name in self.family.basis.ranges:
            return np.asarray(legendre.legvander(points, self.family.basis.degree))
        columns = np.equal(points[:, None], np.arange(len(self.scales[name]))).astype(float)
        columns[:, 0] = 1.0
        return columns

    def _law(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Points and weights: Gauss and Hermite's for a number, the levels of another."""
        if name not in self.family.basis.ranges:
            shares = np.maximum(self.scales[name], LEAST_SHARE)
            return np.arange(len(shares), dtype=float), shares / shares.sum()
        points, weights = hermite_e.hermegauss(_NODES)
        centre, spread = self.scales[name]
        return 2.0 * (centre + spread * points), weights / weights.sum()

    @cached_property
    def _triangles(self) -> dict[str, FloatArray]:
        """Per parent R with own factors = orthonormal functions @ R, by the QR of its law."""
        found: dict[str, FloatArray] = {}
        for name in self.family.basis.parents:
            points, weights = self._law(name)
            root = np.sqrt(weights)[:, None]
            triangle = np.asarray(np.linalg.qr(root * self._own(name, points)).R)
            found[name] = triangle * np.where(np.diag(triangle) < 0, -1.0, 1.0)[:, None]
        return found

    @cached_property
    def _expansion(self) -> FloatArray:
        """(num_features, 1 + num_features) own features in the constant and orthonormal ones."""
        terms = self.family.basis.terms
        own = [{f.variable: _index(f) for f in term} for term in terms]
        wanted: Sequence[dict[str, int]] = [{}, *own]
        found = [
            [
                math.prod(
                    float(self._triangles[name][b.get(name, 0), a.get(name, 0)])
                    for name in self.family.basis.parents
                )
                for b in wanted
            ]
            for a in own
        ]
        return np.array(found, dtype=float).reshape(len(own), len(wanted))


def node_limit(multiplier: float) -> float:
    """To how many spreads a numeric node is held, by the noise multiplier of the release.

    >>> node_limit(1.4), node_limit(0.6)
    (4.0, 5.0)
    """
    return WIDE_LIMIT if multiplier <= SMALL_NOISE else NODE_LIMIT


def _index(factor: Factor) -> int:
    """Where a factor stands among the functions of its variable; 0 is the constant."""
    return factor.degree if factor.level is None else factor.level
