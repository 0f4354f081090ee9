"""Interventions: set a variable, shift it, or draw it from a law of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.model.frames import extrapolation_warnings, value_code
from fedcausal.model.mechanics import Action
from fedcausal.schema import Kind, Schema, Variable

__all__ = ["Draw", "Policy", "Shift", "action_of", "far_values"]

FloatArray = NDArray[np.float64]
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shift:
    """Add the same amount to what every record would have been."""

    by: float


@dataclass(frozen=True, slots=True)
class Draw:
    """Give every record a value drawn from this law, whatever it would have been."""

    probabilities: Mapping[float | str, float]

    def __post_init__(self) -> None:
        shares = list(self.probabilities.values())
        if not shares or min(shares) < 0 or not np.isclose(sum(shares), 1.0):
            raise InputError(
                f"do: expected probabilities of 0 or more that sum to 1, got {shares}"
            )


Policy: TypeAlias = float | str | Shift | Draw


def far_values(
    do: Mapping[str, Policy], schema: Schema, ranges: Mapping[str, Range]
) -> tuple[str, ...]:
    """A word on every value that do() names beyond all data; a shift names none."""
    return tuple(
        warning
        for name, policy in do.items()
        if not schema[name].categories
        for value in _named(policy)
        for warning in extrapolation_warnings({name: float(value)}, schema, ranges)
    )


def _named(policy: Policy) -> tuple[float | str, ...]:
    if isinstance(policy, Draw):
        return tuple(policy.probabilities)
    return () if isinstance(policy, Shift) else (policy,)


def action_of(
    policy: Policy,
    variable: Variable,
    interval: Range | None,
    rng: np.random.Generator,
    *,
    beyond: float = 0.0,
) -> Action:
    """The policy as a function of what would have been; see `frames.value_code` for `beyond`.

    Raises
    ------
    InputError
        For a value or level that is not possible, a shift of a variable without numbers, or one
        by more than the width of the range of the data.
    """
    if isinstance(policy, Shift):
        if not variable.is_numeric or variable.categories:
            raise InputError(
                f"do {variable.name}: only a number is shifted, by a number; name a value"
            )
        if not np.isfinite(policy.by):
            raise InputError(
                f"do {variable.name}: expected a finite amount to shift by, got {policy.by}"
            )
        by = _checked(policy.by, variable, interval)
        if variable.kind is Kind.COUNT:
            if by != round(by):
                raise InputError(f"do {variable.name}: a count is shifted by a whole number")
            return lambda natural: np.maximum(natural + by, 0.0)
        return lambda natural: natural + by
    if isinstance(policy, Draw):
        codes = np.array(
            [value_code(variable, v, interval, beyond=beyond) for v in policy.probabilities]
        )
        shares = np.array(list(policy.probabilities.values()))
        return lambda natural: rng.choice(codes, size=natural.shape, p=shares / shares.sum())
    code = value_code(variable, policy, interval, beyond=beyond)
    return lambda natural: np.full(len(natural), code)


def _checked(by: float, variable: Variable, interval: Range | None) -> float:
    """A shift by less than the whole range: by more, nobody stays where the sites have data."""
    low, high = interval or variable.bounds or (-np.inf, np.inf)
    if abs(by) > high - low:
        raise InputError(
            f"do {variable.name}: expected a shift by at most {high - low:g}, the width of "
            f"[{low:g}, {high:g}], where the sites have data, got {by:g}; beyond it the model "
            "would extrapolate for every record"
        )
    return by
