"""Whose effect is averaged: everybody's, the treated's, a group's, or another population's."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fedcausal.effects.class_effects import possibly_causes
from fedcausal.effects.contrast import Contrast
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.engine import Engine
from fedcausal.model.frames import value_code, value_name
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import did_you_mean

__all__ = [
    "FEWEST",
    "Target",
    "Values",
    "balancing_weights",
    "effective_records",
    "log_total",
    "target_of",
]

FloatArray = NDArray[np.float64]
Values = Mapping[str, float | str]

FEWEST = 30
"""Effective records below which a weighted mean is refused."""
STEEPEST = 30.0
"""Steepest tilt per standard deviation: beyond, a single record would count."""
BALANCED = 1e-4
"""How near the weighted means come to those that were asked for, in standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A checked population.

    Attributes
    ----------
    treated
        The code that the treatment has of itself in those who count; None for everybody.
    given
        Values that hold for everybody who counts, none of them changed by the treatment.
    means
        Means (shares, for the last level) of the population that is meant.
    records
        Covariates of the population, (num_records,) each: the effect is standardised to them.
    words
        The population in words.
    """

    treated: float | None = None
    given: Mapping[str, float] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)
    records: Mapping[str, FloatArray] = field(default_factory=dict)
    words: str = "the pooled population"

    @property
    def is_everybody(self) -> bool:
        """Whether no record counts more than another."""
        return self.treated is None and not (self.given or self.means or self.records)

    def size(self, samples: int) -> int:
        """Simulated records: `samples`, or so many that every record given counts the same."""
        if not self.records:
            return samples
        count = len(next(iter(self.records.values())))
        return count * -(-samples // count)

    def held(self, size: int) -> dict[str, float | FloatArray]:
        """What the simulation holds: the same value for all, or the records' own."""
        count = len(next(iter(self.records.values()), ()))
        copies = {name: np.tile(own, size // count) for name, own in self.records.items()}
        return {**self.given, **copies}

    def log_weights(
        self, engine: Engine, question: Contrast, columns: Mapping[str, FloatArray]
    ) -> FloatArray:
        """How much each simulated record counts, as logarithms.

        The values of `given` (and the treatment, for the treated) are held in the simulation;
        each record counts as their likelihood given their own causes.

        References
        ----------
        Fung and Chang (1990), Weighing and integrating evidence for stochastic simulation in
        Bayesian networks (likelihood weighting).
        """
        size = len(columns[question.outcome.name])
        if self.is_everybody:
            return np.full(size, -np.log(size))
        held = [*self.given, *([] if self.treated is None else [question.treatment.name])]
        weights = np.zeros(size)
        if held:
            logs = engine.log_prob(columns)
            weights = np.sum([logs[name] for name in held], axis=0)
        if self.means:
            features = np.column_stack([columns[n] for n in self.means])
            weights = weights + balancing_weights(features, np.array([*self.means.values()]))
        return np.asarray(weights - log_total(weights))


def target_of(
    model: StructuralCausalModel,
    question: Contrast,
    graph: Graph,
    *,
    treated: bool,
    given: Values,
    means: Values,
) -> Target:
    """Check a population.

    Raises
    ------
    InputError
        For an unknown variable or value, or a variable that the treatment may change.
    """
    for key, name in [("given", n) for n in given] + [("means", n) for n in means]:
        if name not in model.graph.nodes:
            raise InputError(
                f"effects.{key}: unknown variable {name!r}{did_you_mean(name, model.graph.nodes)}"
            )
        if name in (question.treatment.name, question.outcome.name) or _may_change(
            graph, question.treatment.name, name
        ):
            raise InputError(
                f"effects.{key}: {name!r} may be changed by {question.treatment.name!r}; name "
                "variables that come before it"
            )
    codes = {n: value_code(model.schema[n], v, model.ranges.get(n)) for n, v in given.items()}
    wanted = {n: _wanted(model, n, v) for n, v in means.items()}
    return Target(
        treated=question.codes[1] if treated else None,
        given=codes,
        means=wanted,
        words=_words(model, question, treated, codes, wanted),
    )


def balancing_weights(features: FloatArray, means: FloatArray) -> FloatArray:
    """Log weights of records, as even as can be, under which the features have these means.

    Raises
    ------
    InputError
        When no weights of the records reach the means.

    References
    ----------
    Hainmueller (2012), Entropy balancing for causal effects, Political Analysis 20.
    """
    spread = np.maximum(features.std(axis=0), 1e-12)
    centred = (features - means) / spread
    found = minimize(
        lambda tilt: log_total(centred @ tilt),
        np.zeros(features.shape[1]),
        jac=lambda tilt: centred.T @ _softmax(centred @ tilt),
        method="L-BFGS-B",
        bounds=[(-STEEPEST, STEEPEST)] * features.shape[1],
        options={"ftol": 1e-15, "gtol": 1e-8},
    )
    logs = np.asarray(centred @ found.x)
    if np.max(np.abs(_softmax(logs) @ centred)) > BALANCED:
        raise InputError(
            "effects.means: no part of the model's population has these means; name some nearer "
            "to what the sites have"
        )
    return logs


def effective_records(log_weights: FloatArray) -> float:
    """How many records of equal weight would be as good.

    >>> round(effective_records(np.zeros(8)), 6)
    8.0
    """
    return float(np.exp(2 * log_total(log_weights) - log_total(2 * log_weights)))


def log_total(logs: FloatArray) -> float:
    """The logarithm of the sum of exponentials; plain numpy, for it is asked thousands of times.

    >>> round(log_total(np.log([1.0, 2.0])), 6) == round(float(np.log(3.0)), 6)
    True
    """
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).sum()))


def _softmax(logs: FloatArray) -> FloatArray:
    return np.asarray(np.exp(logs - log_total(logs)))


def _may_change(graph: Graph, treatment: str, name: str) -> bool:
    if graph.kind == "cpdag":
        return possibly_causes(graph, treatment, name)
    return name in graph.descendants(treatment)


def _wanted(model: StructuralCausalModel, name: str, value: float | str) -> float:
    variable = model.schema[name]
    if variable.num_levels > 2 or isinstance(value, str):
        raise InputError(
            f"effects.means: {name!r}: expected the mean of a number, or the share of the last of "
            f"two levels, got {value!r}"
        )
    low, high = (0.0, 1.0) if variable.num_levels else model.ranges[name]
    if not low < value < high:
        raise InputError(f"effects.means: {name!r}: {value:g} is not between {low:g} and {high:g}")
    return float(value)


def _words(
    model: StructuralCausalModel,
    question: Contrast,
    treated: bool,
    given: Mapping[str, float],
    means: Mapping[str, float],
) -> str:
    parts = [f"{n} = {value_name(model.schema[n], code)}" for n, code in given.items()]
    if treated:
        name, code = question.treatment.name, question.codes[1]
        parts.append(f"{name} = {value_name(question.treatment, code)} of itself")
    words = "the pooled population"
    if parts:
        words = f"those of {words} with {' and '.join(parts)}"
    if means:
        told = ", ".join(f"{n} {mean:g}" for n, mean in means.items())
        words = f"a population with the means {told}"
        words += f", those with {' and '.join(parts)}" if parts else ""
    return words
