"""Formulas of the observed law: what an identified effect is, to read and to evaluate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError

__all__ = ["Conditional", "Estimand", "Product", "Ratio", "Sum", "evaluate"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Conditional:
    """P(of | given), or P(of) where nothing is given."""

    of: tuple[str, ...]
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        bar = f" | {', '.join(self.given)}" if self.given else ""
        return f"P({', '.join(self.of)}{bar})"


@dataclass(frozen=True, slots=True)
class Product:
    """The product of its terms; 1 without any."""

    terms: tuple["Estimand", ...]

    def __str__(self) -> str:
        return " ".join(str(term) for term in self.terms) or "1"


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum over all values of some variables."""

    over: tuple[str, ...]
    of: "Estimand"

    def __str__(self) -> str:
        return f"sum over {', '.join(self.over)} of [{self.of}]"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One formula divided by another."""

    above: "Estimand"
    below: "Estimand"

    def __str__(self) -> str:
        return f"[{self.above}] / [{self.below}]"


Estimand = Conditional | Product | Sum | Ratio


def evaluate(estimand: Estimand, joint: FloatArray, names: Sequence[str]) -> FloatArray:
    """The formula's values under a joint law of discrete variables.

    Parameters
    ----------
    joint
        Probabilities (levels of names[0], levels of names[1], ...), summing to 1, all positive.
    names
        The variable of each axis.

    Returns
    -------
    array
        An axis per variable, of length 1 where the formula does not depend on it. An axis of a
        variable that the formula leaves free but do() does not name is constant along it.

    Raises
    ------
    InputError
        When an axis has no name.
    """
    if joint.ndim != len(names):
        raise InputError(f"expected a name for each of {joint.ndim} axes, got {len(names)}")
    return _value(estimand, joint, {name: axis for axis, name in enumerate(names)})


def _value(estimand: Estimand, joint: FloatArray, axes: Mapping[str, int]) -> FloatArray:
    if isinstance(estimand, Conditional):
        above = _marginal(joint, axes, {*estimand.of, *estimand.given})
        return above / _marginal(joint, axes, set(estimand.given))
    if isinstance(estimand, Product):
        terms = [_value(term, joint, axes) for term in estimand.terms]
        return np.asarray(prod(terms, start=np.ones((1,) * joint.ndim)))
    if isinstance(estimand, Ratio):
        return _value(estimand.above, joint, axes) / _value(estimand.below, joint, axes)
    inner = _value(estimand.of, joint, axes)
    over = tuple(axes[name] for name in estimand.over)
    # A variable that the inner formula does not mention is summed as often as it has levels.
    repeats = prod(joint.shape[axis] for axis in over if inner.shape[axis] == 1)
    return np.asarray(inner.sum(axis=over, keepdims=True) * repeats)


def _marginal(joint: FloatArray, axes: Mapping[str, int], kept: set[str]) -> FloatArray:
    gone = tuple(axis for name, axis in axes.items() if name not in kept)
    return np.asarray(joint.sum(axis=gone, keepdims=True))
