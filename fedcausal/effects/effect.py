"""The average effect of an intervention, with its interval, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.model.frames import value_code, value_name
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, NumericMechanism
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Kind, Variable, did_you_mean
from fedcausal_privacy.canonical import JsonValue

if TYPE_CHECKING:
    from fedcausal.effects.aipw import AipwEstimate

__all__ = ["ASSUMPTIONS", "EffectEstimate", "effect"]

FloatArray = NDArray[np.float64]

Z_95 = 1.959963984540054
INTERVAL_SAMPLES = 1000
"""Records per coefficient draw: the noise is common to all draws, so few are enough."""

ASSUMPTIONS = (
    "The graph is correct; the interval does not include doubt about the graph.",
    "No hidden variable influences both the treatment and the outcome.",
    "Mechanisms are the same at all sites, apart from an intercept.",
    "Every group of records can receive either value of the treatment (positivity).",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEstimate:
    """E[Y | do(X = b)] - E[Y | do(X = a)] with a 95 % interval.

    Attributes
    ----------
    treatment, outcome, values, population
        The question as it was asked; values are (a, b).
    outcome_level
        For an outcome with levels: the effect is on the probability of this one (the last).
    mean_first, mean_second
        E[Y | do(a)] and E[Y | do(b)], in units of the outcome or as probabilities.
    estimate, interval
        The difference and its interval.
    interval_kind
        "sampling" (coefficients drawn from their sampling distribution, plus the error of the
        simulation), "simulation" (that error alone), or "exact" (no directed path: 0).
    adjustment_set
        Parents of the treatment: given the graph, they block every back-door path.
    assumptions, sentence
        What the number rests on, and the number in words.
    second
        The doubly robust estimate of the same effect from sums of its own, where there is one.
    """

    treatment: str
    outcome: str
    values: tuple[float | str, float | str]
    population: str
    outcome_level: str | None
    mean_first: float
    mean_second: float
    estimate: float
    interval: tuple[float, float]
    interval_kind: Literal["sampling", "simulation", "exact"]
    adjustment_set: tuple[str, ...]
    assumptions: tuple[str, ...]
    sentence: str
    second: "AipwEstimate | None" = None

    def to_json(self) -> dict[str, JsonValue]:
        """The estimate as a JSON object."""
        return {
            "treatment": self.treatment,
            "outcome": self.outcome,
            "values": list(self.values),
            "population": self.population,
            "outcome_level": self.outcome_level,
            "mean_first": self.mean_first,
            "mean_second": self.mean_second,
            "estimate": self.estimate,
            "interval": list(self.interval),
            "interval_kind": self.interval_kind,
            "adjustment_set": list(self.adjustment_set),
            "assumptions": list(self.assumptions),
            "sentence": self.sentence,
            "second": None if self.second is None else self.second.to_json(),
        }


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


def effect(
    model: StructuralCausalModel,
    treatment: str,
    outcome: str,
    values: tuple[float | str, float | str],
    *,
    population: str = "pooled",
    draws: int = 200,
    samples: int = 4000,
    seed: int = 0,
) -> EffectEstimate:
    """Estimate E[Y | do(X = b)] - E[Y | do(X = a)] for values (a, b) in the pooled population.

    The model is simulated under both actions with common noise. The interval draws the
    coefficients `draws` times from their sampling distribution, again with common noise, and
    is estimate +- 1.96 standard deviations (simulation error included). A neural model has no
    such distribution: its interval shows simulation error only.

    Assumptions: see `ASSUMPTIONS`; they are listed with every estimate.

    Privacy: a question to a released model; nothing further leaves a site.

    Raises
    ------
    InputError
        For an unknown variable, level or population, a value beyond the bounds, or a treatment
        that is the outcome.
    """
    if population != "pooled":
        raise InputError(
            f"effects.population: expected 'pooled', got {population!r}; means of a single site "
            f"are never released"
        )
    if samples < 2 or draws < 2:
        raise InputError("effects: draws and samples: expected 2 or more of each")
    question = _question(model, treatment, outcome, values)
    if outcome not in model.graph.descendants(treatment):
        return _no_path(model, question, values, samples, seed)
    first, second = _responses(model, question, samples, seed)
    error = float(np.std(second - first)) / np.sqrt(len(first))
    spread, kind = _sampling_spread(model, question, draws, min(samples, INTERVAL_SAMPLES), seed)
    half = Z_95 * float(np.hypot(error, spread))
    means = (float(first.mean()), float(second.mean()))
    return _estimate(model, question, values, means, half=half, kind=kind)


def _question(
    model: StructuralCausalModel,
    treatment: str,
    outcome: str,
    values: tuple[float | str, float | str],
) -> Contrast:
    for key, name in (("treatment", treatment), ("outcome", outcome)):
        if name not in model.graph.nodes:
            hint = did_you_mean(name, model.graph.nodes)
            raise InputError(f"effects.{key}: unknown variable {name!r}{hint}")
    if treatment == outcome:
        raise InputError(f"effects: treatment and outcome are both {treatment!r}; name two")
    if len(values) != 2:
        raise InputError(f"effects.values: expected [from, to], got {len(values)} values")
    variable, interval = model.schema[treatment], model.ranges.get(treatment)
    first, second = (value_code(variable, value, interval) for value in values)
    if first == second:
        raise InputError(f"effects.values: expected two different values, got {values[0]!r} twice")
    return Contrast(treatment=variable, outcome=model.schema[outcome], codes=(first, second))


def _responses(
    model: StructuralCausalModel, question: Contrast, samples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """The outcome of each simulated record under either action, with common noise."""
    if isinstance(model.engine, GramModel):
        engine = model.engine.ancestral(question.outcome.name)
        noise = engine.draw_noise(samples, np.random.default_rng(seed))
        return _pushed(engine, question, noise, samples)
    first, second = (
        _outcome(question, _engine_sample(model, question, code, samples, seed))
        for code in question.codes
    )
    return first, second


def _engine_sample(
    model: StructuralCausalModel, question: Contrast, code: float, samples: int, seed: int
) -> FloatArray:
    rng = np.random.default_rng(seed)
    columns = model.engine.sample(samples, do={question.treatment.name: code}, rng=rng)
    return columns[question.outcome.name]


def _outcome(question: Contrast, values: FloatArray) -> FloatArray:
    """Values of a number; 1 where the last level came and 0 elsewhere."""
    if question.outcome.is_numeric:
        return values
    return np.equal(values, question.outcome.num_levels - 1).astype(np.float64)


def _pushed(
    engine: GramModel, question: Contrast, noise: Mapping[str, FloatArray], samples: int
) -> tuple[FloatArray, FloatArray]:
    first, second = (_expected(engine, question, noise, code, samples) for code in question.codes)
    return first, second


def _expected(
    engine: GramModel,
    question: Contrast,
    noise: Mapping[str, FloatArray],
    code: float,
    samples: int,
) -> FloatArray:
    """The outcome's expectation given its simulated parents: less noise than its draw."""
    name = question.outcome.name
    columns = engine.push(noise, samples, do={question.treatment.name: code})
    mechanism = engine.mechanisms[name]
    if isinstance(mechanism, LevelMechanism):
        law = mechanism.probabilities(columns)[..., -1]
        return np.broadcast_to(law, (samples,))
    is_rounded = question.outcome.kind is Kind.ORDINAL and bool(question.outcome.categories)
    if is_rounded or not isinstance(mechanism, NumericMechanism):
        return columns[name]
    expected = mechanism.predict(np.zeros(samples), columns)
    return np.broadcast_to(expected, (samples,))


def _sampling_spread(
    model: StructuralCausalModel, question: Contrast, draws: int, samples: int, seed: int
) -> tuple[float, Literal["sampling", "simulation"]]:
    """Standard deviation of the effect over draws of the coefficients."""
    if not isinstance(model.engine, GramModel):
        return 0.0, "simulation"
    engine = model.engine.ancestral(question.outcome.name)
    rng = np.random.default_rng([seed, 1])
    noise = engine.draw_noise(samples, rng)
    effects = np.empty(draws)
    for k in range(draws):
        first, second = _pushed(engine.redrawn(rng), question, noise, samples)
        effects[k] = second.mean() - first.mean()
    return float(np.std(effects, ddof=1)), "sampling"


def _no_path(
    model: StructuralCausalModel,
    question: Contrast,
    values: tuple[float | str, float | str],
    samples: int,
    seed: int,
) -> EffectEstimate:
    first, _ = _responses(model, question, samples, seed)
    mean = float(first.mean())
    return _estimate(model, question, values, (mean, mean), half=0.0, kind="exact")


def _estimate(
    model: StructuralCausalModel,
    question: Contrast,
    values: tuple[float | str, float | str],
    means: tuple[float, float],
    *,
    half: float,
    kind: Literal["sampling", "simulation", "exact"],
) -> EffectEstimate:
    difference = means[1] - means[0]
    interval = (difference - half, difference + half)
    return EffectEstimate(
        treatment=question.treatment.name,
        outcome=question.outcome.name,
        values=values,
        population="pooled",
        outcome_level=question.outcome_level,
        mean_first=means[0],
        mean_second=means[1],
        estimate=difference,
        interval=interval,
        interval_kind=kind,
        adjustment_set=model.graph.parents(question.treatment.name),
        assumptions=ASSUMPTIONS,
        sentence=_sentence(question, difference, interval, kind),
    )


def _sentence(
    question: Contrast, difference: float, interval: tuple[float, float], kind: str
) -> str:
    first, second = (value_name(question.treatment, code) for code in question.codes)
    change = f"Setting {question.treatment.name} to {second} instead of {first}"
    level = question.outcome_level
    what = question.outcome.name
    if level is not None:
        what = f"the probability of {question.outcome.name} = {level}"
    if kind == "exact":
        return (
            f"{change} does not change {what}: the graph has no directed path from "
            f"{question.treatment.name} to {question.outcome.name}, so the effect is exactly 0."
        )
    verb = "raises" if difference > 0 else "lowers"
    low, high = (_amount(question, bound) for bound in interval)
    covers = "" if interval[0] * interval[1] > 0 else "; it contains 0"
    return (
        f"{change} {verb} {what} by {_amount(question, abs(difference))} on average over the "
        f"pooled population (95 % interval of the change: {low} to {high}{covers})."
    )


def _amount(question: Contrast, value: float) -> str:
    if question.outcome_level is not None:
        return f"{100 * value:.3g} percentage points"
    return f"{value:.4g} {question.outcome.unit}".rstrip()
