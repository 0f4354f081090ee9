"""The law of a residual: piecewise uniform over bins, from a released histogram or a Gaussian."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from fedcausal.errors import InputError
from fedcausal_privacy.canonical import JsonValue

__all__ = ["ResidualLaw", "bin_edges"]

FloatArray = NDArray[np.float64]

SPREAD = 4.0
"""Equal bins cover +-4 standard deviations; two tails take what lies beyond."""
TAIL = 2.0
"""Width of a tail bin in standard deviations."""
GAUSSIAN_BINS = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualLaw:
    """A density that is constant within bins and has mean zero.

    Attributes
    ----------
    edges
        (num_bins + 1,) increasing, in scaled units of the node.
    masses
        (num_bins,) probabilities that sum to 1.
    num_records
        Records behind the masses; half a record bounds the density that can be resolved.
    """

    edges: FloatArray
    masses: FloatArray
    num_records: int
    _cumulative: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.edges.shape != (len(self.masses) + 1,) or np.any(np.diff(self.edges) <= 0):
            raise InputError("a residual law needs increasing edges, one more than its masses")
        if np.any(self.masses < 0) or not np.isclose(self.masses.sum(), 1.0):
            raise InputError("the masses of a residual law are at least 0 and sum to 1")
        for array in (self.edges, self.masses):
            array.setflags(write=False)
        cumulative = np.concatenate([[0.0], np.cumsum(self.masses)])
        object.__setattr__(self, "_cumulative", cumulative / cumulative[-1])

    @classmethod
    def from_masses(cls, edges: FloatArray, masses: FloatArray, num_records: int) -> "ResidualLaw":
        """The law with these masses, shifted so that its mean is zero."""
        weights = np.asarray(masses, dtype=float) / np.sum(masses)
        mean = float(weights @ (0.5 * (edges[1:] + edges[:-1])))
        return cls(edges=np.asarray(edges) - mean, masses=weights, num_records=num_records)

    @classmethod
    def gaussian(cls, sd: float, num_records: int) -> "ResidualLaw":
        """A finely binned normal law: what stands until a histogram of residuals is released."""
        edges = np.linspace(-SPREAD - TAIL, SPREAD + TAIL, GAUSSIAN_BINS + 1)
        masses = np.diff(norm.cdf(edges))
        return cls.from_masses(edges * max(sd, 1e-12), masses, num_records)

    @property
    def sd(self) -> float:
        """Standard deviation."""
        low, high = self.edges[:-1], self.edges[1:]
        return float(np.sqrt(self.masses @ ((low**2 + low * high + high**2) / 3.0)))

    def quantile(self, probability: FloatArray) -> FloatArray:
        """The quantile function, linear within a bin."""
        return np.interp(probability, self._cumulative, self.edges)

    def log_density(self, residual: FloatArray) -> FloatArray:
        """Log density; empty bins and the outside count as half a record over the whole width."""
        bins = np.searchsorted(self.edges, residual, side="right") - 1
        inside = (bins >= 0) & (bins < len(self.masses))
        density = self.masses / np.diff(self.edges)
        floor = 0.5 / (self.num_records * (self.edges[-1] - self.edges[0]))
        found = np.where(inside, density[np.clip(bins, 0, len(density) - 1)], 0.0)
        return np.asarray(np.log(np.maximum(found, floor)))

    def to_json(self) -> dict[str, JsonValue]:
        """What is not a tensor."""
        return {"num_records": self.num_records}


def bin_edges(sd: float, num_bins: int) -> FloatArray:
    """Edges of `num_bins` equal bins over +-4 sd and one tail on either side."""
    inner = np.linspace(-SPREAD, SPREAD, num_bins + 1)
    return np.concatenate([[-SPREAD - TAIL], inner, [SPREAD + TAIL]]) * max(sd, 1e-12)
