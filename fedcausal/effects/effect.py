"""The average effect of an intervention, with its interval, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.contrast import Contrast, ask
from fedcausal.effects.estimand import Product
from fedcausal.effects.identification import Identification, Pairs, identify
from fedcausal.effects.observed_law import (
    LawEffect,
    adjusted_means,
    bounds_without_assumptions,
    effect_by,
    table_means,
)
from fedcausal.effects.wording import amount, class_sentence, effect_sentence
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Graph
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, NumericMechanism
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Kind
from fedcausal_privacy.canonical import JsonValue

__all__ = ["ASSUMPTIONS", "EffectEstimate", "effect"]

FloatArray = NDArray[np.float64]
IntervalKind: TypeAlias = Literal["sampling", "simulation", "exact", "class"]

Z_95 = 1.959963984540054
POOLED = "the pooled population"
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
        simulation), "simulation" (that error alone), "exact" (no directed path: 0), or "class"
        (from the least lower to the greatest upper bound over the DAGs of a class).
    identification
        By which means the graph identifies the effect, or that it gives a set of effects.
    adjustment_set
        Variables that block every non-causal path: the set with the least variance where the
        graph has one. Empty where another formula, or none, is used.
    possible_effects
        Over a class of DAGs: the effect for every set of causes that the treatment may have, the
        least first; the estimate is that of the model's own DAG. Empty for one number.
    assumptions, sentence
        What the number rests on, and the number in words.
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
    interval_kind: IntervalKind
    identification: str = ""
    adjustment_set: tuple[str, ...]
    possible_effects: tuple[float, ...] = ()
    assumptions: tuple[str, ...]
    sentence: str

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
            "identification": self.identification,
            "possible_effects": list(self.possible_effects),
            "adjustment_set": list(self.adjustment_set),
            "assumptions": list(self.assumptions),
            "sentence": self.sentence,
        }


def effect(
    model: StructuralCausalModel,
    treatment: str,
    outcome: str,
    values: tuple[float | str, float | str],
    *,
    graph: Graph | None = None,
    hidden: Pairs = (),
    population: str = "pooled",
    draws: int = 200,
    samples: int = 4000,
    seed: int = 0,
) -> EffectEstimate:
    """Estimate E[Y | do(X = b)] - E[Y | do(X = a)] for values (a, b) in the pooled population.

    First the graph is asked whether it identifies the effect. Where the model's own DAG does, the
    model is simulated under both actions with common noise; where adjustment or a formula must
    serve, they are applied to records that it draws. The interval draws the coefficients `draws`
    times from their sampling distribution, again with common noise, and is estimate +- 1.96
    standard deviations (simulation error included). A neural model has no such distribution: its
    interval shows simulation error only.

    Parameters
    ----------
    graph
        What was learnt: a class that the model's DAG is one of. The model's DAG when left out.
    hidden
        Pairs that a hidden variable may influence both of.

    Assumptions: see `ASSUMPTIONS`; they are listed with every estimate.

    Privacy: a question to a released model; nothing further leaves a site.

    Raises
    ------
    IdentificationError
        When no data of this kind show the effect; the message says why, and for two binary
        variables between which bounds it lies.
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
    question = ask(model, treatment, outcome, values)
    judged = identify(_restricted(graph, model.graph), treatment, outcome, hidden=hidden)
    if judged.means == "none":
        raise IdentificationError(judged.sentence + _bounds(model, question, samples, seed))
    asked = Asked(
        model=model,
        question=question,
        values=values,
        hidden=hidden,
        draws=draws,
        samples=samples,
        seed=seed,
    )
    if judged.means == "class":
        return _over_class(asked, judged)
    if judged.means == "no-path":
        mean = float(_responses(asked)[0].mean())
        return _estimate(asked, judged, (mean, mean), half=0.0, kind="exact")
    if judged.means == "adjustment" and not hidden:
        return _by_model(asked, judged)
    return _by_law(asked, judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to a model, and how much is drawn to answer it."""

    model: StructuralCausalModel
    question: Contrast
    values: tuple[float | str, float | str]
    hidden: Pairs
    draws: int
    samples: int
    seed: int


def _restricted(graph: Graph | None, dag: Graph) -> Graph:
    """The class, where it is one of the model's DAG; the DAG itself otherwise."""
    return dag if graph is None or set(graph.nodes) != set(dag.nodes) else graph


def _by_model(asked: Asked, judged: Identification) -> EffectEstimate:
    first, second = _responses(asked)
    error = float(np.std(second - first)) / np.sqrt(len(first))
    spread, kind = _sampling_spread(asked)
    means = (float(first.mean()), float(second.mean()))
    half = Z_95 * float(np.hypot(error, spread))
    return _estimate(asked, judged, means, half=half, kind=kind)


def _by_law(asked: Asked, judged: Identification) -> EffectEstimate:
    if judged.means == "adjustment":
        found = _adjusted(asked, judged.adjustment_set)
    else:
        estimator = table_means(asked.model, asked.question, judged.formula or Product(()))
        found = effect_by(
            asked.model, estimator, draws=asked.draws, samples=asked.samples, seed=asked.seed
        )
    kind: IntervalKind = "sampling" if found.sampling else "simulation"
    return _estimate(asked, judged, found.means, half=_half(found), kind=kind)


def _over_class(asked: Asked, judged: Identification) -> EffectEstimate:
    """One effect per set of parents that the treatment may have; 0 where the outcome is one."""
    found = [
        _adjusted(asked, parents)
        for parents in judged.parent_sets
        if asked.question.outcome.name not in parents
    ]
    effects = [law.means[1] - law.means[0] for law in found]
    ends = [(e - _half(law), e + _half(law)) for e, law in zip(effects, found, strict=True)]
    zeros = [0.0] * (len(judged.parent_sets) - len(found))
    effects, ends = [*effects, *zeros], [*ends, *((z, z) for z in zeros)]
    first, second = _responses(asked)
    return _estimate(
        asked,
        judged,
        (float(first.mean()), float(second.mean())),
        interval=(min(low for low, _ in ends), max(high for _, high in ends)),
        kind="class",
        possible=tuple(sorted(effects)),
    )


def _adjusted(asked: Asked, given: tuple[str, ...]) -> LawEffect:
    estimator = adjusted_means(asked.model, asked.question, given, samples=asked.samples)
    return effect_by(
        asked.model, estimator, draws=asked.draws, samples=asked.samples, seed=asked.seed
    )


def _half(found: LawEffect) -> float:
    return Z_95 * float(np.hypot(found.simulation, found.sampling))


def _assumptions(asked: Asked) -> tuple[str, ...]:
    if not asked.hidden:
        return ASSUMPTIONS
    pairs = ", ".join(" and ".join(pair) for pair in asked.hidden)
    return (ASSUMPTIONS[0], f"Hidden variables influence at most {pairs}.", *ASSUMPTIONS[2:])


def _bounds(model: StructuralCausalModel, question: Contrast, samples: int, seed: int) -> str:
    found = bounds_without_assumptions(model, question, samples=samples, seed=seed)
    if found is None:
        return ""
    low, high = (amount(question, bound) for bound in found)
    return f"; whatever is hidden, the effect lies between {low} and {high}"


def _responses(asked: Asked) -> tuple[FloatArray, FloatArray]:
    """The outcome of each simulated record under either action, with common noise."""
    model, question = asked.model, asked.question
    if isinstance(model.engine, GramModel):
        engine = model.engine.ancestral(question.outcome.name)
        noise = engine.draw_noise(asked.samples, np.random.default_rng(asked.seed))
        return _pushed(engine, question, noise, asked.samples)
    first, second = (_engine_sample(asked, code) for code in question.codes)
    return first, second


def _engine_sample(asked: Asked, code: float) -> FloatArray:
    rng, question = np.random.default_rng(asked.seed), asked.question
    do = {question.treatment.name: code}
    columns = asked.model.engine.sample(asked.samples, do=do, rng=rng)
    return question.measured(columns[question.outcome.name])


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


def _sampling_spread(asked: Asked) -> tuple[float, IntervalKind]:
    """Standard deviation of the effect over draws of the coefficients."""
    if not isinstance(asked.model.engine, GramModel):
        return 0.0, "simulation"
    engine = asked.model.engine.ancestral(asked.question.outcome.name)
    samples = min(asked.samples, INTERVAL_SAMPLES)
    rng = np.random.default_rng([asked.seed, 1])
    noise, redraw = engine.draw_noise(samples, rng), engine.resampler()
    effects = np.empty(asked.draws)
    for k in range(asked.draws):
        first, second = _pushed(redraw(rng), asked.question, noise, samples)
        effects[k] = second.mean() - first.mean()
    return float(np.std(effects, ddof=1)), "sampling"


def _estimate(
    asked: Asked,
    judged: Identification,
    means: tuple[float, float],
    *,
    half: float = 0.0,
    interval: tuple[float, float] | None = None,
    kind: IntervalKind,
    possible: tuple[float, ...] = (),
) -> EffectEstimate:
    question, difference = asked.question, means[1] - means[0]
    around = (difference - half, difference + half) if interval is None else interval
    if possible:
        sentence = class_sentence(question, possible, around, POOLED)
    else:
        sentence = effect_sentence(question, difference, around, POOLED, is_exact=kind == "exact")
    return EffectEstimate(
        treatment=question.treatment.name,
        outcome=question.outcome.name,
        values=asked.values,
        population="pooled",
        outcome_level=question.outcome_level,
        mean_first=means[0],
        mean_second=means[1],
        estimate=difference,
        interval=around,
        interval_kind=kind,
        identification=judged.sentence,
        adjustment_set=judged.adjustment_set,
        possible_effects=possible,
        assumptions=_assumptions(asked),
        sentence=sentence,
    )
