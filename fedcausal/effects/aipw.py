"""The doubly robust (AIPW) estimate of an effect: nuisance models out, sums in, an interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from fedcausal.discovery.heterogeneity import Heterogeneity
from fedcausal.effects.influence import (
    COEFFICIENT_STEPS,
    MAX_COEFFICIENT,
    Influence,
    in_units,
    influence_from_json,
)
from fedcausal.effects.population_name import POOLED
from fedcausal.errors import InputError
from fedcausal.model.engine import Columns
from fedcausal.model.family_basis import (
    Family,
    FamilyBasis,
    FloatArray,
    Range,
    family_basis,
    family_of_knots,
    scale,
)
from fedcausal.model.frames import value_code
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, NumericMechanism
from fedcausal.statistics.aipw_kind import AipwSums
from fedcausal.statistics.noisy_aipw_kind import Limits, NoisyAipwSums
from fedcausal.study import Study
from fedcausal.transform import Warped
from fedcausal_privacy.canonical import JsonValue

__all__ = [
    "AipwEstimate",
    "askable",
    "estimate",
    "held_columns",
    "imagined_limits",
    "noisy_estimate",
    "nuisance",
    "nuisances",
]

Z_95 = 1.959963984540054
DRAWS = 4000
"""Simulated records to which an expected outcome given the treatment's parents is fitted."""

ROOM = 1.25
"""Limits over the largest influence value among the simulated records."""

LEAST_REACH = 0.02
RIDGE = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class AipwEstimate:
    """E[Y | do(X = b)] - E[Y | do(X = a)] from sums of influence values, with a 95 % interval.

    Attributes
    ----------
    mean_first, mean_second, estimate, interval
        In units of the outcome, or as probabilities; the interval includes the known noise.
    num_records
        Complete records behind it (a noisy count under an epsilon).
    noise
        Standard deviation of the noise drawn for privacy, in the same units; 0 for exact sums.
    num_sites, q, i_squared
        Cochran's comparison of the sites' own estimates, None where sites are not compared.
    sentence
        The number in words.
    """

    mean_first: float
    mean_second: float
    estimate: float
    interval: tuple[float, float]
    num_records: int
    noise: float = 0.0
    num_sites: int | None = None
    q: float | None = None
    i_squared: float | None = None
    sentence: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "AipwEstimate":
        """The estimate that `to_json` wrote."""
        low, high = value["interval"]
        return cls(**{**value, "interval": (low, high)})

    def to_json(self) -> dict[str, JsonValue]:
        """The estimate as a JSON object."""
        return {
            "mean_first": self.mean_first,
            "mean_second": self.mean_second,
            "estimate": self.estimate,
            "interval": list(self.interval),
            "num_records": self.num_records,
            "noise": self.noise,
            "num_sites": self.num_sites,
            "q": self.q,
            "i_squared": self.i_squared,
            "sentence": self.sentence,
        }

    def compared_with(self, heterogeneity: Heterogeneity) -> "AipwEstimate":
        """The estimate with the sites' own ones compared."""
        return replace(
            self,
            num_sites=heterogeneity.num_sites,
            q=heterogeneity.q,
            i_squared=heterogeneity.i_squared,
        )


def askable(study: Study, engine: GramModel) -> tuple[int, ...]:
    """The study's questions that have such an estimate, by position.

    The treatment must have levels (a number has no probability of one value), and the graph a
    directed path to the outcome (without one the effect is 0 and nothing is asked). It is an
    average over the records of all sites.
    """
    return tuple(
        i
        for i, query in enumerate(study.effects.queries)
        if query.population == POOLED
        and {query.treatment, query.outcome} <= set(engine.names)
        and isinstance(engine.mechanisms[query.treatment], LevelMechanism)
        and query.outcome in engine.graph.descendants(query.treatment)
    )


def nuisances(
    study: Study, engine: GramModel, ranges: Mapping[str, Range], *, seed: int
) -> tuple[Influence, ...]:
    """Both nuisance models of every askable question, from the fitted mechanisms alone.

    The treatment's own mechanism gives its probabilities. The expected outcome given the
    treatment's parents follows from simulated records under do(a) and do(b): it is regressed on
    the features of these parents. Where they and the treatment are all of the outcome's parents,
    that is its mechanism itself.

    Privacy: reads the released model; the coefficients are public.
    """
    return tuple(nuisance(study, engine, ranges, k, seed) for k in askable(study, engine))


def imagined_limits(influence: Influence, engine: GramModel, *, seed: int) -> Limits:
    """Where the influence values of the model's own records lie: what a noisy sum is cut off at.

    Privacy: reads the released model only.
    """
    rng = np.random.default_rng([seed, influence.query, 3])
    columns = engine.sample(DRAWS, do={}, rng=rng)
    values = influence.values(held_columns(influence, columns))
    difference, total = values[:, 1] - values[:, 0], values.sum(axis=1)
    centres = float(difference.mean()), float(total.mean())
    reaches = [
        min(max(ROOM * float(np.abs(v - c).max()), LEAST_REACH), 2.0 * influence.largest)
        for v, c in zip((difference, total), centres, strict=True)
    ]
    return Limits(
        difference=centres[0],
        difference_reach=reaches[0],
        total=centres[1],
        total_reach=reaches[1],
    )


def estimate(influence: Influence, found: AipwSums) -> AipwEstimate | None:
    """The estimate from exact sums; None with fewer than two records.

    The interval is estimate +- 1.96 standard errors of the mean of psi_b - psi_a.
    """
    records = float(found.counts.sum())
    if records < 2:
        return None
    first, second = (found.sums / records).tolist()
    signs = np.array([-1.0, 1.0])
    square = float(signs @ found.products @ signs) / records
    variance = max(square - (second - first) ** 2, 0.0) / (records - 1.0)
    return _in_units(influence, (first, second), math.sqrt(variance), round(records))


def held_columns(influence: Influence, columns: Columns) -> Columns:
    """Simulated records with their numbers held within the public ranges, as real ones are."""
    return {name: _held(columns[name], influence.response, name) for name in influence.members}


def noisy_estimate(
    influence: Influence, found: NoisyAipwSums, *, model_error: float = 0.0
) -> AipwEstimate:
    """The estimate from noisy sums.

    The variance of the mean is the sampling one plus that of the known noise, plus what noise in
    the nuisance models leaves (`nuisance_error`, in scaled units). The first is read
    from a noisy sum of squares: it is taken to be its mean given that it is positive, so that
    noise never makes the interval too narrow on average.
    """
    spread = _positive_mean(found.square - found.about**2, found.square_noise)
    error = math.sqrt(spread / found.num_records + found.noise**2 + model_error**2)
    first, second = (
        0.5 * (found.total - found.difference),
        0.5 * (found.total + found.difference),
    )
    return _in_units(
        influence, (first, second), error, round(found.num_records), noise=found.noise
    )


def _in_units(
    influence: Influence,
    means: tuple[float, float],
    error: float,
    records: int,
    *,
    noise: float = 0.0,
) -> AipwEstimate:
    difference, half = means[1] - means[0], Z_95 * error
    unit = influence.unit
    return AipwEstimate(
        mean_first=influence.unscaled(means[0]),
        mean_second=influence.unscaled(means[1]),
        estimate=unit * difference,
        interval=(unit * (difference - half), unit * (difference + half)),
        num_records=records,
        noise=unit * noise,
    )


def _positive_mean(value: float, deviation: float) -> float:
    """The mean of a normal law about `value` over its positive part."""
    if deviation <= 0.0:
        return max(value, 0.0)
    ratio = value / deviation
    density = -0.5 * ratio**2 - 0.5 * math.log(2.0 * math.pi)
    return value + deviation * math.exp(density - float(log_ndtr(ratio)))


def nuisance(
    study: Study, engine: GramModel, ranges: Mapping[str, Range], index: int, seed: int
) -> Influence:
    """Both nuisance models of one question."""
    query, schema = study.effects.queries[index], study.schema()
    mechanism = engine.mechanisms[query.treatment]
    if not isinstance(mechanism, LevelMechanism):
        raise InputError(f"effects: {query.treatment} has no levels to compare")
    basis = mechanism.family.basis
    response = _response(study, query.outcome, basis, ranges)
    codes = [value_code(schema[query.treatment], value) for value in query.values]
    drawn = [
        engine.sample(DRAWS, do={query.treatment: code}, rng=np.random.default_rng([seed, index]))
        for code in codes
    ]
    coefficients = np.array([_fitted(response, engine, columns) for columns in drawn])
    content: dict[str, JsonValue] = {
        "query": index,
        "parents": list(basis.parents),
        "degree": basis.degree,
        "knots": {name: list(own) for name, own in basis.knots.items()},
        "propensity": _rounded(mechanism.coefficients).tolist(),
        "responses": _rounded(coefficients).tolist(),
    }
    return influence_from_json(study, content, ranges)


def _response(
    study: Study, outcome: str, basis: FamilyBasis, ranges: Mapping[str, Range]
) -> Family:
    """The family of the outcome over the treatment's parents, splines where these have them."""
    schema, section = study.schema(), study.model
    if basis.knots:
        return in_units(
            family_of_knots(schema, outcome, basis.parents, ranges=ranges, knots=basis.knots)
        )
    found = family_basis(
        schema,
        outcome,
        basis.parents,
        ranges=ranges,
        degree=section.degree,
        max_width=section.max_width,
    )
    return in_units(found)


def _fitted(response: Family, engine: GramModel, columns: Columns) -> FloatArray:
    """Coefficients of the expected outcome given the treatment's parents, by least squares."""
    features = np.ones((DRAWS, 1))
    if response.basis.parents:
        held = {name: _held(columns[name], response, name) for name in response.basis.parents}
        features = np.column_stack([features, response.basis.evaluate(held)])
    gram = features.T @ features / DRAWS + RIDGE * np.eye(features.shape[1])
    expected = _expected(response, engine, columns)
    return np.asarray(np.linalg.solve(gram, features.T @ expected / DRAWS))


def _expected(response: Family, engine: GramModel, columns: Columns) -> FloatArray:
    """The scaled outcome's expectation given its simulated parents: less noise than its draw."""
    mechanism = engine.mechanisms[response.node]
    if isinstance(mechanism, LevelMechanism):
        return np.broadcast_to(mechanism.probabilities(columns)[..., -1], (DRAWS,))
    is_plain = not isinstance(mechanism.family.range, Warped)
    if isinstance(mechanism, NumericMechanism) and is_plain:
        return np.broadcast_to(mechanism.mean(columns), (DRAWS,))
    found = scale(columns[response.node], response.known_range)
    return found if is_plain else np.clip(found, -1.0, 1.0)


def _held(values: FloatArray, family: Family, name: str) -> FloatArray:
    """Simulated numbers held within their public range, as real ones are."""
    interval = family.range if name == family.node else family.basis.ranges.get(name)
    return values if interval is None else np.clip(values, *interval)


def _rounded(coefficients: FloatArray) -> FloatArray:
    held = np.clip(coefficients, -MAX_COEFFICIENT, MAX_COEFFICIENT)
    return np.asarray(np.rint(held * COEFFICIENT_STEPS) / COEFFICIENT_STEPS)
