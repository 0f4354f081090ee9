"""A count given its causes: the closed form's mean, and a law of whole numbers about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fedcausal.model.count_law import LEAST_MEAN, POISSON, CountLaw
from fedcausal.model.family_basis import Family, FloatArray, unscale
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.mechanism import Mechanism, NumericMechanism, Parents
from fedcausal.schema import Kind, Schema

__all__ = ["CountMechanism", "dispersion_of", "with_counts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountMechanism:
    """count = quantile of a law of counts with mean f(parents), at a rank that is the noise.

    Attributes
    ----------
    fitted
        The mean, as it was fitted to sums, with its sampling law; its residual is not used.
    dispersion
        Variance = mean + dispersion x mean^2 (`CountLaw`).

    Assumptions: a count's rank among those of like causes is what an action leaves as it is
    (monotone noise). A count does not tell its rank within its own share of the law: it is drawn
    there, so that a changed count is one draw of those that go with the fact. Means below 0.001
    are held there.
    """

    fitted: NumericMechanism
    dispersion: float

    @property
    def family(self) -> Family:
        """The node, its parents and their features."""
        return self.fitted.family

    @property
    def dropped(self) -> tuple[str, ...]:
        """Features without a slope."""
        return self.fitted.dropped

    def mean(self, parents: Parents) -> FloatArray:
        """Expected counts."""
        return self._law(parents).means

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Ranks, uniform over the law."""
        uniform = rng.random(num_records)
        return np.where(uniform <= 0.5, uniform, uniform - 1.0)

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """A rank within the observed count's share."""
        return self._law(parents).ranks(value, 1.0 - rng.random(np.shape(value)))

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """The count at this rank."""
        return self._law(parents).counts(noise)

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log probability of observed counts."""
        return self._law(parents).log_probability(value)

    def resampler(self) -> "Callable[[np.random.Generator], CountMechanism]":
        """Draws the mean's coefficients; the dispersion stays."""
        draw = self.fitted.resampler()
        return lambda rng: replace(self, fitted=draw(rng))

    def _law(self, parents: Parents) -> CountLaw:
        means = unscale(self.fitted.mean(parents), self.family.known_range)
        return CountLaw(means=means, dispersion=self.dispersion)


def with_counts(
    mechanisms: Mapping[str, Mechanism], grams: Mapping[str, FamilyGram], schema: Schema
) -> dict[str, Mechanism]:
    """The fitted mechanisms, with laws of counts for the variables that are counts.

    Privacy: from released totals; nothing further is asked.
    """
    return {
        node: CountMechanism(fitted=m, dispersion=dispersion_of(grams[node], m))
        if isinstance(m, NumericMechanism) and schema[node].kind is Kind.COUNT and node in grams
        else m
        for node, m in mechanisms.items()
    }


def dispersion_of(gram: FamilyGram, fitted: NumericMechanism) -> float:
    r"""The dispersion that the sums of squares tell: :math:`(s^2 - \bar m) / \overline{m^2}`.

    Below 0 it is that of a binomial law whose number of trials leaves room for the whole range:
    a count that varies less than this is given more variance than it has.

    References
    ----------
    Breslow (1984), Extra-Poisson variation in log-linear models, Applied Statistics 33(1): the
    dispersion by moments.
    """
    first, interval = gram.family.basis.num_features, gram.family.known_range
    half, slopes = 0.5 * (interval[1] - interval[0]), fitted.coefficients[1:]
    products = gram.products[:first, :first]
    bent = float(slopes @ products @ slopes)
    left = float(gram.products[first, first] - 2.0 * slopes @ gram.products[:first, first]) + bent
    # Covariance = variance x inverse: the trace gives back what the fit has taken of `left`.
    taken = float(np.sum(fitted.covariance[1:, 1:] * products))
    variance = max(left + taken, 0.0) / max(gram.num_records - gram.num_means, 1) * half**2
    mean = max(float(unscale(gram.means[first], interval)), LEAST_MEAN)
    found = (variance - mean) / (mean**2 + max(bent, 0.0) / gram.num_records * half**2)
    if found < -POISSON:
        found = -1.0 / max(float(np.ceil(interval[1])), float(np.rint(-1.0 / found)), 1.0)
    return found if abs(found) > POISSON else 0.0
