"""How a node arises from its parents and its noise: the two closed-form mechanisms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from fedcausal.model.curves import Curves, curves_of
from fedcausal.model.family_basis import Family, FloatArray, log_unit, scale, unscale
from fedcausal.model.gumbel import posterior_noise
from fedcausal.model.regressions import Regression
from fedcausal.model.residual_law import ResidualLaw

__all__ = ["LevelMechanism", "Mechanism", "NumericMechanism", "Parents", "normalised", "root"]

Parents = Mapping[str, FloatArray]

LEAST_PROBABILITY = 1e-6
"""A linear probability is held at or above this, so that no observed level is impossible."""


class Mechanism(Protocol):
    """One structural equation: value = predict(noise, parents).

    Parents and values are in declared units, or level codes. `predict(abduct(v, pa), pa)` is v.
    """

    @property
    def family(self) -> Family:
        """The node, its parents and their features."""
        ...

    @property
    def dropped(self) -> tuple[str, ...]:
        """Labels of features, and levels, that the cell rule or a lack of variation left out."""
        ...

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Noise of new records, first axis num_records."""
        ...

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """The noise of observed records (drawn from its posterior where it is not unique)."""
        ...

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """The value that this noise gives under these parents."""
        ...

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log density (per declared unit) or log probability of observed values."""
        ...

    def resampler(self) -> "Callable[[np.random.Generator], Mechanism]":
        """What draws the same mechanism with coefficients from their sampling distribution."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumericMechanism:
    """Additive noise: scaled value = intercept + features . slopes + residual.

    Attributes
    ----------
    family
        The node and the features of its parents.
    coefficients
        (1 + num_features,) intercept first, in scaled units ([lo, hi] is [-1, 1]).
    covariance
        (1 + num_features, 1 + num_features) sampling covariance of the coefficients.
    residual
        The residual's law in scaled units.
    dropped
        Labels of features without a slope (a withheld cell touches them).

    Assumptions: the residual does not depend on the parents; the mean lies in the span of the
    features. Predictions may leave the declared bounds: they are not clipped.
    """

    family: Family
    coefficients: FloatArray
    covariance: FloatArray
    residual: ResidualLaw
    dropped: tuple[str, ...] = ()
    _curves: Curves | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_curves", curves_of(self.family.basis, self.coefficients[:, None])
        )

    def mean(self, parents: Parents) -> FloatArray:
        """The fitted mean in scaled units."""
        if self._curves is not None:
            return self._curves.evaluate(parents)[..., 0]
        features = self.family.basis.evaluate(parents)
        return np.asarray(self.coefficients[0] + features @ self.coefficients[1:])

    def regression(self) -> Regression:
        """The mean, as a function to evaluate with others."""
        return Regression(
            basis=self.family.basis, coefficients=self.coefficients[:, None], curves=self._curves
        )

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Residuals by the quantile function."""
        return self.residual.quantile(rng.random(num_records))

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """The residual: it is unique."""
        return np.asarray(scale(value, self.family.known_range) - self.mean(parents))

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """Mean plus residual, in declared units."""
        return unscale(self.mean(parents) + noise, self.family.known_range)

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log density per declared unit."""
        interval = self.family.known_range
        residual = scale(value, interval) - self.mean(parents)
        return np.asarray(self.residual.log_density(residual) - log_unit(value, interval))

    def resampler(self) -> "Callable[[np.random.Generator], NumericMechanism]":
        """Draws coefficients ~ N(fitted, covariance); the root is found once for all draws."""
        spread, size = root(self.covariance), len(self.coefficients)

        def redrawn(rng: np.random.Generator) -> NumericMechanism:
            noise = spread @ rng.standard_normal(size)
            return replace(self, coefficients=self.coefficients + noise)

        return redrawn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelMechanism:
    """Linear probabilities of the levels, clipped and renormalised, with Gumbel-max noise.

    Attributes
    ----------
    family
        The node and the features of its parents.
    coefficients
        (1 + num_features, num_levels) intercepts first.
    feature_covariance
        (1 + num_features, 1 + num_features): covariance of the coefficients per unit residual.
    level_covariance
        (num_levels, num_levels): residual covariance of the level indicators.
    dropped
        Labels of features without a slope, and of levels whose counts were withheld.

    Assumptions: probabilities are linear in the features between 0 and 1; counterfactuals of
    levels rest on Gumbel-max noise.
    """

    family: Family
    coefficients: FloatArray
    feature_covariance: FloatArray
    level_covariance: FloatArray
    dropped: tuple[str, ...] = ()
    _curves: Curves | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_curves", curves_of(self.family.basis, self.coefficients))

    def probabilities(self, parents: Parents) -> FloatArray:
        """Probability of every level, last axis num_levels."""
        if self._curves is None:
            features = self.family.basis.evaluate(parents)
            raw = self.coefficients[0] + features @ self.coefficients[1:]
        else:
            raw = self._curves.evaluate(parents)
        return normalised(raw)

    def regression(self) -> Regression:
        """The probabilities before they are clipped, as a function to evaluate with others."""
        return Regression(
            basis=self.family.basis, coefficients=self.coefficients, curves=self._curves
        )

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Standard Gumbel noise (num_records, num_levels)."""
        return rng.gumbel(size=(num_records, self.family.num_levels))

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """A draw from the posterior of the Gumbel noise, under which the value is the arg max."""
        levels = np.asarray(value, dtype=np.int64)
        law = self.probabilities(parents)
        law = np.broadcast_to(law, (len(levels), law.shape[-1]))
        return posterior_noise(law, levels, rng)

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """The level with the largest noisy log probability."""
        perturbed = np.log(self.probabilities(parents)) + noise
        codes: FloatArray = np.argmax(perturbed, axis=-1).astype(float)
        return codes

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log probability of the observed level."""
        levels = np.asarray(value, dtype=np.int64)
        law = self.probabilities(parents)
        law = np.broadcast_to(law, (len(levels), law.shape[-1]))
        return np.asarray(np.log(law[np.arange(len(levels)), levels]))

    def resampler(self) -> "Callable[[np.random.Generator], LevelMechanism]":
        """Draws coefficients from the matrix normal law of the least squares estimate."""
        left, right = root(self.feature_covariance), root(self.level_covariance).T

        def redrawn(rng: np.random.Generator) -> LevelMechanism:
            normal = rng.standard_normal(self.coefficients.shape)
            return replace(self, coefficients=self.coefficients + left @ normal @ right)

        return redrawn


def normalised(raw: FloatArray) -> FloatArray:
    """Probabilities from linear ones (..., num_levels): clipped, then divided by their sum."""
    clipped = np.clip(raw, LEAST_PROBABILITY, 1.0)
    return np.asarray(clipped / clipped.sum(axis=-1, keepdims=True))


def root(covariance: FloatArray) -> FloatArray:
    """A square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
