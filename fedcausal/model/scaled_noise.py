"""A number whose noise is scaled by a function of the parents."""

from dataclasses import dataclass

import numpy as np

from fedcausal.model.family_basis import FloatArray, log_unit, scale, unscale
from fedcausal.model.mechanism import NumericMechanism, Parents
from fedcausal.model.spread import Spread

__all__ = ["ScaledNoiseMechanism"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaledNoiseMechanism(NumericMechanism):
    """Scaled value = mean + spread x standardised residual; both functions of the parents.

    Attributes
    ----------
    spread
        The residual's spread over the parents; `residual` is the law of what it is multiplied
        with.

    Assumptions: the standardised residual does not depend on the parents. The covariance of the
    coefficients is that of constant noise.
    """

    spread: Spread

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """The standardised residual: it is unique."""
        left = scale(value, self.family.known_range) - self.mean(parents)
        return np.asarray(left / self.spread.factors(parents))

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """Mean plus scaled residual, in declared units."""
        scaled = self.mean(parents) + self.spread.factors(parents) * noise
        return unscale(scaled, self.family.known_range)

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log density per declared unit."""
        interval, factors = self.family.known_range, self.spread.factors(parents)
        residual = (scale(value, interval) - self.mean(parents)) / factors
        unit = log_unit(value, interval) + np.log(factors)
        return np.asarray(self.residual.log_density(residual) - unit)
