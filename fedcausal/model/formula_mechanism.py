"""A variable that follows from its causes by a formula, without noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fedcausal.model.family_basis import Family, FloatArray
from fedcausal.model.formula import Formula
from fedcausal.model.mechanism import Mechanism, Parents

__all__ = ["FormulaMechanism", "with_formulas"]

TOLERANCE = 1e-9
"""Of a recorded value, in widths of the range: below it the formula holds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FormulaMechanism:
    """value = formula(parents); what a record differs from it is kept as its noise.

    Noise of new records is 0. A record whose value was rounded keeps its own rounding in a
    counterfactual.

    Assumptions: the formula is the mechanism; doubt about it is in no interval.
    """

    family: Family
    formula: Formula
    dropped: tuple[str, ...] = ()

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Zeros."""
        return np.zeros(num_records)

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """How far the record is from the formula."""
        return np.asarray(value - self.formula.evaluate(parents))

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """The formula, and the record's distance from it."""
        return np.asarray(self.formula.evaluate(parents) + noise)

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """0 where the formula holds, minus infinity elsewhere."""
        low, high = self.family.known_range
        is_off = np.abs(value - self.formula.evaluate(parents)) > TOLERANCE * (high - low)
        return np.where(is_off, -np.inf, 0.0)

    def resampler(self) -> Callable[[np.random.Generator], "FormulaMechanism"]:
        """Itself: nothing was estimated."""
        return lambda rng: self


def with_formulas(
    mechanisms: Mapping[str, Mechanism], formulas: Mapping[str, Formula]
) -> dict[str, Mechanism]:
    """The fitted mechanisms, with formulas in the place of those that have one."""
    return {
        name: FormulaMechanism(family=mechanism.family, formula=formulas[name])
        if name in formulas
        else mechanism
        for name, mechanism in mechanisms.items()
    }
