"""Laws of counts by mean and dispersion: negative binomial, Poisson, binomial."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammainc, gammaincc, gammaln

__all__ = ["CountLaw"]

FloatArray = NDArray[np.float64]

LEAST_MEAN = 1e-3
"""A fitted mean is held at or above this, so that no count is impossible."""
POISSON = 1e-6
"""A dispersion closer to 0 is that of a Poisson law."""
FARTHEST = 2.0**53
"""Counts beyond are no whole numbers in float64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountLaw:
    r"""Counts with :math:`\operatorname{var} = m + \alpha m^2`.

    Negative binomial for a positive dispersion, Poisson at 0, binomial of -1 / dispersion trials
    (a whole number) below it.

    Ranks tell a place within a law, precise in both tails: u in [0, 1/2] is the lower tail's
    probability, and -q with q in [0, 1/2] the upper tail's.

    Attributes
    ----------
    means
        (num_records,), or of any shape; held at 0.001 or more.
    dispersion
        :math:`\alpha`.

    References
    ----------
    Cameron and Trivedi (2013), Regression Analysis of Count Data, chapter 3 (NB2).
    """

    means: FloatArray
    dispersion: float

    def __post_init__(self) -> None:
        most = self.num_trials * (1.0 - 1e-9) if self.dispersion < -POISSON else np.inf
        object.__setattr__(self, "means", np.clip(self.means, LEAST_MEAN, most))

    @property
    def num_trials(self) -> float:
        """Of a binomial law."""
        return float(np.rint(-1.0 / self.dispersion))

    def tails(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """P(count <= k) and P(count > k), each precise where it is small."""
        counts, means = np.broadcast_arrays(counts, self.means)
        k = np.maximum(counts, 0.0)
        if abs(self.dispersion) <= POISSON:
            below, above = gammaincc(k + 1.0, means), gammainc(k + 1.0, means)
        elif self.dispersion > 0.0:
            size = 1.0 / self.dispersion
            share = size / (size + means)
            below = betainc(size, k + 1.0, share)
            above = betainc(k + 1.0, size, means / (size + means))
        else:
            trials = self.num_trials
            inside, share = np.minimum(k, trials - 1.0), means / trials
            is_all = k >= trials
            below = np.where(is_all, 1.0, betainc(trials - inside, inside + 1.0, 1.0 - share))
            above = np.where(is_all, 0.0, betainc(inside + 1.0, trials - inside, share))
        none = counts < 0.0
        return np.where(none, 0.0, below), np.where(none, 1.0, above)

    def log_probability(self, counts: FloatArray) -> FloatArray:
        """Log probability; minus infinity for what is no count."""
        is_count = (counts >= 0.0) & (counts == np.rint(counts))
        k = np.where(is_count, counts, 0.0)
        means = self.means
        if abs(self.dispersion) <= POISSON:
            found = k * np.log(means) - means - gammaln(k + 1.0)
        elif self.dispersion > 0.0:
            size = 1.0 / self.dispersion
            ways = gammaln(k + size) - gammaln(k + 1.0) - gammaln(size)
            found = ways - size * np.log1p(means / size) - k * np.log1p(size / means)
        else:
            trials, share = self.num_trials, self.means / self.num_trials
            is_count &= k <= trials
            k = np.minimum(k, trials)
            ways = gammaln(trials + 1.0) - gammaln(k + 1.0) - gammaln(trials - k + 1.0)
            found = ways + k * np.log(share) + (trials - k) * np.log1p(-share)
        return np.asarray(np.where(is_count, found, -np.inf))

    def ranks(self, counts: FloatArray, within: FloatArray) -> FloatArray:
        """Ranks of observed counts; `within` in (0, 1] is the place inside a count's share."""
        below, above = self.tails(counts)
        before, after = self.tails(counts - 1.0)
        lower = before + within * (below - before)
        upper = above + (1.0 - within) * (after - above)
        return np.where(lower <= 0.5, lower, -upper)

    def counts(self, ranks: FloatArray) -> FloatArray:
        """The count at each rank: the smallest whose lower tail reaches it."""
        ranks, means = np.broadcast_arrays(ranks, self.means)
        law = CountLaw(means=means, dispersion=self.dispersion)
        spread = np.sqrt(means + max(self.dispersion, 0.0) * means**2)
        low, high = np.full(ranks.shape, -1.0), np.ceil(means + 3.0 * spread) + 2.0
        reached = law._reaches(high, ranks)
        while not reached.all():
            low, high = np.where(reached, low, high), np.where(reached, high, 2.0 * high)
            reached = law._reaches(high, ranks) | (high > FARTHEST)
        while np.any(high - low > 1.0):
            middle = np.floor((low + high) / 2.0)
            reached = law._reaches(middle, ranks)
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return high

    def _reaches(self, counts: FloatArray, ranks: FloatArray) -> NDArray[np.bool_]:
        below, above = self.tails(counts)
        return np.asarray(np.where(np.signbit(ranks), above <= -ranks, below >= ranks))
