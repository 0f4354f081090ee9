"""The answers of a study: effects with intervals, what do() changes, one imagined record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedcausal.effects.aipw import AipwEstimate
from fedcausal.effects.beside import with_second
from fedcausal.effects.effect import EffectEstimate, effect
from fedcausal.effects.whose import told_whose
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Schema
from fedcausal.study import Study
from fedcausal.study_file.sections import EffectQuery
from fedcausal_privacy.canonical import JsonValue

__all__ = ["Answers", "AtSite", "DoSummary", "Imagined", "Refused", "answer", "effect_from_json"]

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
class Refused:
    """A query without an answer: its key in the study, and why there is none."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AtSite:
    """A query about one site's records: that site answers it with the model, at its own place."""

    key: str
    query: EffectQuery

    def to_json(self) -> dict[str, JsonValue]:
        """The question as a JSON object."""
        return {
            "key": self.key,
            "population": self.query.population,
            "treatment": self.query.treatment,
            "outcome": self.query.outcome,
            "values": list(self.query.values),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Effects of every query, or why there is none; do-samples and a counterfactual for one.

    `at_sites` are left to the sites that they are about.
    """

    effects: tuple[EffectEstimate, ...] = ()
    refused: tuple[Refused, ...] = ()
    at_sites: tuple[AtSite, ...] = ()
    do_summary: tuple[DoSummary, ...] = ()
    imagined: Imagined | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The answers as a JSON object."""
        imagined = self.imagined
        return {
            "effects": [estimate.to_json() for estimate in self.effects],
            "refused": [{"key": r.key, "reason": r.reason} for r in self.refused],
            "at_sites": [one.to_json() for one in self.at_sites],
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
    graph: Graph | None = None,
    seed: int,
    second: Mapping[int, AipwEstimate] | None = None,
    varying: Mapping[str, Sequence[str]] | None = None,
) -> Answers:
    """Answer the queries of a study from its model; the same seed gives the same answers.

    A query that cannot be answered (the graph does not identify it; the model has no such
    variable, because the cell rule withheld it or the given graph leaves it out) is refused with
    its key and the reason; the others are answered all the same. One about a site's own records
    is left to that site.

    Privacy: questions to a released model; nothing further leaves a site.

    Parameters
    ----------
    graph
        What was learnt, by which effects are identified; the model's DAG when left out.
    second
        Doubly robust estimates by the position of their query; each stands beside the model's own.
    varying
        Variables whose mechanism differs between sites, and in what; answers that rest on one
        say so.
    """
    answered: list[EffectQuery] = []
    estimates: list[EffectEstimate] = []
    refused: list[Refused] = []
    at_sites: list[AtSite] = []
    for i, query in enumerate(study.effects.queries):
        key = f"effects.queries[{i}]"
        if query.is_of_a_site:
            at_sites.append(AtSite(key=key, query=query))
            continue
        try:
            _check_nodes(model, query)
            found = _estimate(study, model, query, graph, seed)
            found = told_whose(found, model.graph, varying or {})
            estimates.append(with_second(found, (second or {}).get(i), model.schema))
            answered.append(query)
        except InputError as error:
            refused.append(Refused(key=key, reason=str(error)))
    if not answered:
        return Answers(refused=tuple(refused), at_sites=tuple(at_sites))
    return Answers(
        effects=tuple(estimates),
        refused=tuple(refused),
        at_sites=tuple(at_sites),
        do_summary=_do_summary(model, answered[0], study.effects.samples, seed),
        imagined=_imagined(model, answered[0], seed),
    )


def effect_from_json(value: Mapping[str, Any]) -> EffectEstimate:
    """An estimate as `EffectEstimate.to_json` wrote it."""
    first, second = value["values"]
    low, high = value["interval"]
    return EffectEstimate(
        **{
            **value,
            "values": (first, second),
            "interval": (low, high),
            "adjustment_set": tuple(value["adjustment_set"]),
            "possible_effects": tuple(value["possible_effects"]),
            "e_values": tuple(value["e_values"]),
            "warnings": tuple(value["warnings"]),
            "assumptions": tuple(value["assumptions"]),
            "second": None
            if value.get("second") is None
            else AipwEstimate.from_json(value["second"]),
        }
    )


def _check_nodes(model: StructuralCausalModel, query: EffectQuery) -> None:
    for key, name in (("treatment", query.treatment), ("outcome", query.outcome)):
        if name not in model.graph.nodes:
            raise InputError(
                f"{key}: {name!r} is not in the model; the given graph leaves it out, or too few "
                "records of it may be shown"
            )


def _estimate(
    study: Study,
    model: StructuralCausalModel,
    query: EffectQuery,
    graph: Graph | None,
    seed: int,
) -> EffectEstimate:
    return effect(
        model,
        query.treatment,
        query.outcome,
        query.values,
        graph=graph,
        population=query.population,
        means=query.means,
        draws=study.effects.draws,
        samples=study.effects.samples,
        seed=seed,
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
        assumptions=(*changed.attrs["assumptions"], *changed.attrs["warnings"]),
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
