"""The average effect of an intervention, with its interval, in words."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from fedcausal.effects.contrast import Contrast, ask
from fedcausal.effects.e_value import e_values
from fedcausal.effects.estimand import Product
from fedcausal.effects.identification import Identification, Pairs, identify
from fedcausal.effects.observed_law import (
    LawEffect,
    adjusted_means,
    bounds_without_assumptions,
    effect_by,
    table_means,
)
from fedcausal.effects.population import POOLED, Population, covariates_of, population_of
from fedcausal.effects.simulated import Asked, responses, sampling_spread
from fedcausal.effects.target import Target, Values, target_of
from fedcausal.effects.wording import amount, class_sentence, effect_sentence
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Graph
from fedcausal.model.ensemble import EnsembleModel
from fedcausal.model.frames import check_share, extrapolation_warnings, far_records
from fedcausal.model.scm import StructuralCausalModel
from fedcausal_privacy.canonical import JsonValue

if TYPE_CHECKING:
    import pandas as pd

    from fedcausal.effects.aipw import AipwEstimate

__all__ = ["ASSUMPTIONS", "SAME_MECHANISMS", "EffectEstimate", "effect"]

IntervalKind: TypeAlias = Literal["sampling", "simulation", "ensemble", "exact", "class"]

Z_95 = 1.959963984540054
_SINGLE_NUMBERS = ("sampling", "simulation", "ensemble")

SAME_MECHANISMS = "Mechanisms are the same at all sites, apart from an intercept."
ASSUMPTIONS = (
    "The graph is correct; the interval does not include doubt about the graph.",
    "No hidden variable influences both the treatment and the outcome.",
    SAME_MECHANISMS,
    "Every group of records can receive either value of the treatment (positivity).",
)

AS_THEY_ARE = (
    "The records' covariates are the population's, taken as they are; how the outcome arises from "
    "them is as at the sites."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEstimate:
    """E[Y | do(X = b)] - E[Y | do(X = a)] with a 95 % interval.

    Attributes
    ----------
    treatment, outcome, values, population
        The question as it was asked; values are (a, b), the population "pooled" or in words.
    outcome_level
        For an outcome with levels: the effect is on the probability of this one (the last).
    mean_first, mean_second
        E[Y | do(a)] and E[Y | do(b)], in units of the outcome or as probabilities.
    estimate, interval
        The difference and its interval.
    interval_kind
        "sampling" (coefficients drawn from their sampling distribution, plus the error of the
        simulation), "ensemble" (the spread between models that were trained on bootstraps of the
        rows, plus that error), "simulation" (that error alone), "exact" (no directed path: 0), or
        "class" (from the least lower to the greatest upper bound over the DAGs of a class).
    identification
        By which means the graph identifies the effect, or that it gives a set of effects.
    adjustment_set
        Variables that block every non-causal path: the set with the least variance where the
        graph has one. Empty where another formula, or none, is used.
    possible_effects
        Over a class of DAGs: the effect for every set of causes that the treatment may have, the
        least first; the estimate is that of the model's own DAG. Empty for one number.
    e_values
        For one number: how strong (as risk ratios, with treatment and outcome) a hidden cause
        must be to explain the estimate away, and to bring its interval to 0.
    warnings
        How far a value lies beyond all data.
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
    interval_kind: IntervalKind
    identification: str = ""
    adjustment_set: tuple[str, ...]
    possible_effects: tuple[float, ...] = ()
    e_values: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
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
            "identification": self.identification,
            "possible_effects": list(self.possible_effects),
            "e_values": list(self.e_values),
            "warnings": list(self.warnings),
            "adjustment_set": list(self.adjustment_set),
            "assumptions": list(self.assumptions),
            "sentence": self.sentence,
            "second": None if self.second is None else self.second.to_json(),
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
    treated: bool = False,
    given: Values | None = None,
    means: Values | None = None,
    records: "pd.DataFrame | None" = None,
    extrapolate: float = 0.0,
    draws: int = 200,
    samples: int = 4000,
    seed: int = 0,
) -> EffectEstimate:
    """Estimate E[Y | do(X = b)] - E[Y | do(X = a)] for values (a, b).

    First the graph is asked whether it identifies the effect. Where the model's own DAG does, the
    model is simulated under both actions with common noise; where adjustment or a formula must
    serve, they are applied to records that it draws. The interval draws the coefficients `draws`
    times from their sampling distribution, again with common noise, and is estimate +- 1.96
    standard deviations (simulation error included). An ensemble of neural models has the spread
    between its members; a single one has neither, and its interval shows simulation error only.

    Parameters
    ----------
    graph
        What was learnt: a class that the model's DAG is one of. `model.learnt` when left out.
    hidden
        Pairs that a hidden variable may influence both of.
    population
        "pooled": the records of all sites; "site NAME": the site's own, given as `records` where
        the site asks at its own place; "target NAME": told by `records` or by `means`.
    treated
        Average over those whose treatment is b of itself (ATT).
    given
        Average over those with these values (CATE), which the treatment does not change.
    means
        Average over a population with these means (shares of the last of two levels), the
        nearest one to the pooled population; the treatment does not change them.
    records
        Covariates of the population: the outcome's causes that the treatment does not change.
        The effect is standardised to them as they are.
    extrapolate
        How far beyond the bounds a value may lie, as a share of their width; the answer then
        has a warning with the distance.

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
    whose = population_of(population, has_records=records is not None, has_means=bool(means))
    if samples < 2 or draws < 2:
        raise InputError("effects: draws and samples: expected 2 or more of each")
    check_share(extrapolate)
    question = ask(model, treatment, outcome, values, beyond=extrapolate)
    learnt = _restricted(graph or model.learnt, model.graph)
    judged = identify(learnt, treatment, outcome, hidden=hidden)
    if judged.means == "none":
        raise IdentificationError(judged.sentence + _bounds(model, question, samples, seed))
    target = target_of(
        model, question, learnt, treated=treated, given=given or {}, means=means or {}
    )
    asked = Asked(
        model=model,
        question=question,
        values=values,
        hidden=[list(pair) for pair in hidden],
        target=_whose(model, question, learnt, target, whose, records),
        draws=draws,
        samples=samples,
        seed=seed,
    )
    if not asked.target.is_everybody and (hidden or judged.means == "class"):
        raise InputError(
            "effects: treated, given and means need one graph without hidden causes; ask for the "
            "average over all, or fix the directions under knowledge"
        )
    if judged.means == "class":
        return _over_class(asked, judged)
    if judged.means == "no-path":
        mean = responses(asked).means[0]
        return _estimate(asked, judged, (mean, mean), half=0.0, kind="exact")
    if judged.means == "adjustment" and not hidden:
        return _by_model(asked, judged)
    return _by_law(asked, judged)


def _whose(
    model: StructuralCausalModel,
    question: Contrast,
    graph: Graph,
    target: Target,
    whose: Population,
    records: "pd.DataFrame | None",
) -> Target:
    """The target with a named population's records, or under its name."""
    if records is None:
        named = whose.kind == "target"
        return replace(target, words=f"{whose.words} ({target.words})") if named else target
    if not target.is_everybody:
        raise InputError(
            "effects.population: records are averaged over as they are; leave out treated, given "
            "and means, or select the records"
        )
    held = covariates_of(model, question, graph, records, whose)
    words = f"{whose.words} ({len(records)} records)"
    return replace(target, records=held, words=words)


def _restricted(graph: Graph | None, dag: Graph) -> Graph:
    """The class, where it is one of the model's DAG; the DAG itself otherwise."""
    return dag if graph is None or set(graph.nodes) != set(dag.nodes) else graph


def _by_model(asked: Asked, judged: Identification) -> EffectEstimate:
    found = responses(asked)
    spread, kind = sampling_spread(asked)
    half = Z_95 * float(np.hypot(found.error, spread))
    return _estimate(asked, judged, found.means, half=half, kind=kind)


def _by_law(asked: Asked, judged: Identification) -> EffectEstimate:
    if judged.means == "adjustment":
        found = _adjusted(asked, judged.adjustment_set)
    else:
        estimator = table_means(asked.model, asked.question, judged.formula or Product(()))
        found = effect_by(
            asked.model, estimator, draws=asked.draws, samples=asked.samples, seed=asked.seed
        )
    kind = _kind_of(asked.model) if found.sampling else "simulation"
    return _estimate(asked, judged, found.means, half=_half(found), kind=kind)


def _kind_of(model: StructuralCausalModel) -> IntervalKind:
    return "ensemble" if isinstance(model.engine, EnsembleModel) else "sampling"


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
    return _estimate(
        asked,
        judged,
        responses(asked).means,
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


def _e_values(
    asked: Asked, means: tuple[float, float], interval: tuple[float, float]
) -> tuple[float, ...]:
    """A number's spread is that of the whole population, as the model draws it."""
    question, sd = asked.question, None
    if question.outcome_level is None:
        rng = np.random.default_rng([asked.seed, 6])
        columns = asked.model.engine.sample(asked.samples, do={}, rng=rng)
        sd = float(np.std(columns[question.outcome.name]))
    return e_values(means, interval, sd=sd)


def _warnings(asked: Asked) -> tuple[str, ...]:
    name = asked.question.treatment.name
    return tuple(
        warning
        for code in asked.question.codes
        for warning in extrapolation_warnings({name: code}, asked.model.schema, asked.model.ranges)
    ) + tuple(far_records(asked.target.records, asked.model.schema, asked.model.ranges))


def _assumptions(asked: Asked) -> tuple[str, ...]:
    if asked.target.records:
        return (*ASSUMPTIONS, AS_THEY_ARE)
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
        sentence = class_sentence(question, possible, around, asked.target.words)
    else:
        sentence = effect_sentence(
            question, difference, around, asked.target.words, is_exact=kind == "exact"
        )
    return EffectEstimate(
        treatment=question.treatment.name,
        outcome=question.outcome.name,
        values=asked.values,
        population=POOLED if asked.target == Target() else asked.target.words,
        outcome_level=question.outcome_level,
        mean_first=means[0],
        mean_second=means[1],
        estimate=difference,
        interval=around,
        interval_kind=kind,
        identification=judged.sentence,
        adjustment_set=judged.adjustment_set,
        possible_effects=possible,
        e_values=_e_values(asked, means, around) if kind in _SINGLE_NUMBERS else (),
        warnings=_warnings(asked),
        assumptions=_assumptions(asked),
        sentence=sentence,
    )
