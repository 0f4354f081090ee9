"""The answers of a study: effects with intervals, what do() changes, one imagined record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedcausal.effects.aipw import AipwEstimate
from fedcausal.effects.beside import with_second
from fedcausal.effects.effect import EffectEstimate, effect
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Schema
from fedcausal.study import Study
from fedcausal.study_sections import EffectQuery
from fedcausal_privacy.canonical import JsonValue

__all__ = ["Answers", "DoSummary", "Imagined", "answer"]

CANDIDATES = 200
SYNTHETIC = "Patient A (synthetic)"
Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoSummary:
    """One variable under two interventions: its mean, or the share of a level.

    `measure` is "mean" or "share of <level>".
    """

    variable: str
    measure: str
    first: float
    second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagined:
    """A record that the model drew, and what it would have been under another treatment."""

    name: str
    do: Mapping[str, Value]
    factual: Mapping[str, Value]
    counterfactual: Mapping[str, Value]
    probabilities: Mapping[str, float]
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Effects of every query; do-samples and a counterfactual for the first."""

    effects: tuple[EffectEstimate, ...] = ()
    do_summary: tuple[DoSummary, ...] = ()
    imagined: Imagined | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The answers as a JSON object."""
        imagined = self.imagined
        return {
            "effects": [estimate.to_json() for estimate in self.effects],
            "do_sample": [
                {"variable": s.variable, "measure": s.measure, "values": [s.first, s.second]}
                for s in self.do_summary
            ],
            "counterfactual": None
            if imagined is None
            else {
                "name": imagined.name,
                "do": dict(imagined.do),
                "factual": dict(imagined.factual),
                "counterfactual": dict(imagined.counterfactual),
                "probabilities": dict(imagined.probabilities),
                "assumptions": list(imagined.assumptions),
            },
        }


def answer(
    study: Study,
    model: StructuralCausalModel,
    *,
    seed: int,
    second: Mapping[int, AipwEstimate] | None = None,
) -> Answers:
    """Answer the queries of a study from its model; the same seed gives the same answers.

    Queries about a variable that the model does not have (the cell rule withheld it) are left
    out; the graph's report names such variables. `second` are doubly robust estimates by the
    position of their query; each stands beside the model's own.

    Privacy: questions to a released model; nothing further leaves a site.
    """
    numbered = [
        (k, q)
        for k, q in enumerate(study.effects.queries)
        if {q.treatment, q.outcome} <= set(model.graph.nodes)
    ]
    queries = [query for _, query in numbered]
    if not queries:
        return Answers()
    estimates = tuple(
        effect(
            model,
            query.treatment,
            query.outcome,
            query.values,
            population=query.population,
            draws=study.effects.draws,
            samples=study.effects.samples,
            seed=seed,
        )
        for query in queries
    )
    estimates = tuple(
        with_second(estimate, (second or {}).get(k), model.schema)
        for estimate, (k, _) in zip(estimates, numbered, strict=True)
    )
    return Answers(
        effects=estimates,
        do_summary=_do_summary(model, queries[0], study.effects.samples, seed),
        imagined=_imagined(model, queries[0], seed),
    )


def _do_summary(
    model: StructuralCausalModel, query: EffectQuery, samples: int, seed: int
) -> tuple[DoSummary, ...]:
    """Every variable below the treatment, under both of the query's values."""
    first, second = (
        model.sample(samples, do={query.treatment: value}, seed=seed) for value in query.values
    )
    below = model.graph.descendants(query.treatment)
    return tuple(
        summary
        for name in model.graph.nodes
        if name in below
        for summary in _compare(model.schema, name, first[name], second[name])
    )


def _compare(
    schema: Schema, name: str, first: "pd.Series[Any]", second: "pd.Series[Any]"
) -> list[DoSummary]:
    variable = schema[name]
    if variable.is_numeric and not variable.categories:
        means = (float(np.mean(s.to_numpy(dtype=float))) for s in (first, second))
        return [DoSummary(variable=name, measure="mean", first=next(means), second=next(means))]
    levels = variable.categories[1:] if len(variable.categories) == 2 else variable.categories
    return [
        DoSummary(
            variable=name,
            measure=f"share of {level}",
            first=float((first == level).mean()),
            second=float((second == level).mean()),
        )
        for level in levels
    ]


def _imagined(model: StructuralCausalModel, query: EffectQuery, seed: int) -> Imagined:
    """A drawn record whose treatment is set to the query's second value."""
    factual = _telling(model, query, model.sample(CANDIDATES, seed=seed))
    do = {query.treatment: query.values[1]}
    changed = model.counterfactual(factual, do=do, probabilities=True, seed=seed)
    nodes = list(model.graph.nodes)
    extra = [str(c) for c in changed.columns if str(c) not in nodes]
    return Imagined(
        name=SYNTHETIC,
        do=do,
        factual=_record(factual, nodes),
        counterfactual=_record(changed, nodes),
        probabilities={c: float(changed[c].iloc[0]) for c in extra},
        assumptions=tuple(changed.attrs["assumptions"]),
    )


def _telling(
    model: StructuralCausalModel, query: EffectQuery, drawn: pd.DataFrame
) -> pd.DataFrame:
    """The first record near the query's first value that has the outcome's last level, if any."""
    treatment, outcome = model.schema[query.treatment], model.schema[query.outcome]
    chosen = pd.Series(True, index=drawn.index)
    if treatment.is_numeric and not treatment.categories:
        first, second = (float(value) for value in query.values)
        values = drawn[treatment.name].astype(float)
        chosen &= (values - first).abs() < (values - second).abs()
    if not outcome.is_numeric:
        chosen &= drawn[outcome.name] == outcome.categories[-1]
    found = drawn[chosen] if chosen.any() else drawn
    return found.iloc[:1].reset_index(drop=True)


def _record(frame: pd.DataFrame, columns: list[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in columns:
        value = frame[name].iloc[0]
        found[name] = value if isinstance(value, str) else float(value)
    return found
