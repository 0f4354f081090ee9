"""The question of an effect, checked: from one value of a treatment to another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.model.frames import value_code
from fedcausal.schema import Variable, did_you_mean

if TYPE_CHECKING:
    from fedcausal.model.scm import StructuralCausalModel

__all__ = ["Contrast", "ask"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A checked question: from one code of the treatment to another."""

    treatment: Variable
    outcome: Variable
    codes: tuple[float, float]

    @property
    def outcome_level(self) -> str | None:
        """The level whose probability is the outcome, if it has levels."""
        return None if self.outcome.is_numeric else self.outcome.categories[-1]

    def measured(self, values: FloatArray) -> FloatArray:
        """Values of a numeric outcome; 1 where the last level came and 0 elsewhere."""
        if self.outcome.is_numeric:
            return values
        return np.equal(values, self.outcome.num_levels - 1).astype(np.float64)


def ask(
    model: "StructuralCausalModel",
    treatment: str,
    outcome: str,
    values: tuple[float | str, float | str],
    *,
    beyond: float = 0.0,
) -> Contrast:
    """Check a question against the model; `beyond` is how far it may extrapolate.

    Raises
    ------
    InputError
        For an unknown variable or level, a value beyond the bounds, a treatment that is the
        outcome, or two equal values; the message names the key.
    """
    for key, name in (("treatment", treatment), ("outcome", outcome)):
        if name not in model.graph.nodes:
            hint = did_you_mean(name, model.graph.nodes)
            raise InputError(f"effects.{key}: unknown variable {name!r}{hint}")
    if treatment == outcome:
        raise InputError(f"effects: treatment and outcome are both {treatment!r}; name two")
    if len(values) != 2:
        raise InputError(f"effects.values: expected [from, to], got {len(values)} values")
    variable, interval = model.schema[treatment], model.ranges.get(treatment)
    first, second = (value_code(variable, value, interval, beyond=beyond) for value in values)
    if first == second:
        raise InputError(f"effects.values: expected two different values, got {values[0]!r} twice")
    return Contrast(treatment=variable, outcome=model.schema[outcome], codes=(first, second))
