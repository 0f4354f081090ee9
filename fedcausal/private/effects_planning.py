"""What a budget leaves of the answers about effects: predicted half-widths, in spreads."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from fedcausal.effects.aipw import DRAWS, LEAST_REACH, ROOM, Z_95
from fedcausal.model.noisy_degrees import chosen_degrees, mean_error, nominal_scales
from fedcausal.model.noisy_families import noisy_families_request, noisy_layouts
from fedcausal.model.noisy_family_gram import noise_multiplier
from fedcausal.model.noisy_layout import NoisyFamily
from fedcausal.private.assumed_graph import AssumedGraph, assumed_graph
from fedcausal.private.effects_budget import (
    charged_to_model,
    effects_are_private,
    effects_budget,
    fits_for_effects,
)
from fedcausal.private.graph_budget import num_colluding
from fedcausal.statistics.implied import fits_privately, trains_flow
from fedcausal.statistics.noisy_aipw_kind import WEIGHTS
from fedcausal.study import Study
from fedcausal.study_file.sections import EffectQuery
from fedcausal_privacy.canonical import JsonValue

__all__ = ["EffectPlan", "plan_effects"]

UNEXPLAINED = 0.5
"""Share of the outcome's variance that its causes leave, as in `mean_error`."""

SHARED = 0.15
"""Share of the treatment's variance that the outcome's other causes explain."""

LEAST_CHANCE, MOST_CHANCE = 0.2, 1.8
"""A level's probability is taken to be even between these shares of its mean."""

NUMBER_SPREAD, LEVEL_SPREAD = 0.25, 0.5
"""The outcome's spread in its scaled units: an eighth of its bounds, or of two even levels."""

HOPELESS_HALF_WIDTH, WEAK_HALF_WIDTH = 0.8, 0.5
"""Half-widths that hide large and medium effects (Cohen 1988: 0.8 and 0.5 spreads)."""

_POINTS = 64
_HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPlan:
    """What the answer to one question will be worth; all sizes in spreads of the outcome.

    Attributes
    ----------
    query
        Its position in `effects.queries`.
    model_noise, model_half_width
        Of the answer that the closed form gives: standard deviation that noise alone makes, and
        half of the 95 % interval, sampling included. None where a trained flow answers.
    second_noise, second_half_width
        Of the doubly robust estimate; None where it is not asked for.
    contrast
        How far apart the two values are: 1 for levels, for numbers in units of two spreads.
    """

    query: int
    treatment: str
    outcome: str
    model_noise: float | None
    model_half_width: float | None
    second_noise: float | None
    second_half_width: float | None
    contrast: float

    @property
    def half_width(self) -> float | None:
        """The smaller of the two; None where nothing is predicted."""
        known = [w for w in (self.model_half_width, self.second_half_width) if w is not None]
        return min(known, default=None)

    @property
    def is_weak(self) -> bool:
        """Whether the smaller half-width hides medium effects."""
        return self.half_width is not None and self.half_width > WEAK_HALF_WIDTH * self.contrast

    @property
    def is_hopeless(self) -> bool:
        """Whether it hides large ones."""
        return (
            self.half_width is not None and self.half_width > HOPELESS_HALF_WIDTH * self.contrast
        )

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as a JSON object."""
        content: dict[str, JsonValue] = asdict(self)
        return content


def plan_effects(study: Study, *, num_records: int, num_sites: int) -> tuple[EffectPlan, ...]:
    """Predict the half-widths of the answers, from public values only.

    Empty where no epsilon touches them.

    Assumptions: numbers have a spread of an eighth of their bounds and levels are even; a
    treatment acts on its outcome directly; half of the outcome is explained; probabilities of a
    level lie evenly between `LEAST_CHANCE` and `MOST_CHANCE` of their mean; neither nuisance
    model of the second estimate is wrong but for noise.

    Privacy: reads the study alone.
    """
    if not effects_are_private(study) and not fits_privately(study):
        return ()
    paying = charged_to_model(study) if fits_for_effects(study) else study
    return tuple(
        _plan(study, paying, index, query, num_records, num_sites)
        for index, query in enumerate(study.effects.queries)
    )


def _plan(
    study: Study,
    paying: Study,
    index: int,
    query: EffectQuery,
    num_records: int,
    num_sites: int,
) -> EffectPlan:
    graph = assumed_graph(study, query)
    layouts = _layouts(paying, graph, num_records, num_sites)
    outcome, treatment = layouts[query.outcome], layouts[query.treatment]
    multiplier = noise_multiplier(paying, num_sites)
    slope = _slope_noise(outcome, multiplier, num_records)
    model = model_half = second = second_half = None
    distance = _distance(study, query)
    if not trains_flow(study):
        model = distance * slope * math.sqrt(1.0 + SHARED) / (1.0 - SHARED)
        sampling = distance * math.sqrt(UNEXPLAINED / (1.0 - SHARED) / num_records)
        model_half = Z_95 * math.hypot(model, sampling)
    if effects_are_private(study) and _has_second(study, query):
        levels = study.schema()[query.treatment].num_levels
        second = _aipw_noise(study, query, num_records, num_sites)
        chance = 0.5 * _slope_noise(treatment, multiplier, num_records)
        features = treatment.nominal.num_features
        left = 2.0 * _mean_inverse(levels) * chance * slope * math.sqrt(features)
        sampling = math.sqrt(2.0 * UNEXPLAINED * _mean_inverse(levels) / num_records)
        second_half = Z_95 * math.sqrt(second**2 + left**2 + sampling**2)
    return EffectPlan(
        query=index,
        treatment=query.treatment,
        outcome=query.outcome,
        model_noise=model,
        model_half_width=model_half,
        second_noise=second,
        second_half_width=second_half,
        contrast=1.0 if study.schema()[query.treatment].num_levels else 0.5 * distance,
    )


def _layouts(
    paying: Study, graph: AssumedGraph, num_records: int, num_sites: int
) -> dict[str, NoisyFamily]:
    """The noisy families of the assumed graph, with the degrees that its noise leaves."""
    scales = nominal_scales(paying)
    degrees = chosen_degrees(
        paying,
        graph.edges,
        graph.nodes,
        scales=scales,
        num_records=num_records,
        num_sites=num_sites,
    )
    request = noisy_families_request(
        list(graph.edges), graph.nodes, degrees, scales=scales, missing=frozenset()
    )
    return {one.family.node: one for one in noisy_layouts(paying, request)}


def _slope_noise(layout: NoisyFamily, multiplier: float, num_records: int) -> float:
    """What noise does to the slope of one orthonormal feature, in spreads of the node."""
    features = layout.nominal.num_features
    error = mean_error(layout, multiplier, num_records)
    return error / math.sqrt(features) if features else 0.0


def _distance(study: Study, query: EffectQuery) -> float:
    """How far apart the two values are, in spreads of the treatment."""
    variable = study.schema()[query.treatment]
    if variable.num_levels:
        return math.sqrt(2.0 * variable.num_levels)
    first, last = (float(value) for value in query.values)
    low, high = variable.bounds or (0.0, 1.0)
    return abs(last - first) / (0.5 * NUMBER_SPREAD * (high - low))


def _has_second(study: Study, query: EffectQuery) -> bool:
    return query in study.effects.pooled and bool(study.schema()[query.treatment].num_levels)


def _aipw_noise(study: Study, query: EffectQuery, num_records: int, num_sites: int) -> float:
    """Noise of the mean of psi_b - psi_a: its limits are imagined as the study will."""
    variable = study.schema()[query.outcome]
    spread = LEVEL_SPREAD if variable.num_levels else NUMBER_SPREAD
    lowest = 0.0 if variable.num_levels else -1.0
    largest = 1.0 + (1.0 - lowest) / study.effects.propensity_clip
    levels = study.schema()[query.treatment].num_levels
    reach = ROOM * _largest_value(levels, study.effects.propensity_clip)
    reach = min(max(reach, LEAST_REACH / spread), 2.0 * largest / spread)
    asked = sum(_has_second(study, each) for each in study.effects.queries)
    sensitivity = math.sqrt(asked * sum(weight**2 for weight in WEIGHTS)) / WEIGHTS[1]
    honest = num_sites - num_colluding(study, num_sites)
    inflation = math.sqrt(num_sites / max(honest, 1))
    return reach * sensitivity * effects_budget(study).aipw * inflation / num_records


def _chances(levels: int) -> Iterator[float]:
    for k in range(_POINTS):
        share = (k + 0.5) / _POINTS
        yield (LEAST_CHANCE + (MOST_CHANCE - LEAST_CHANCE) * share) / levels


def _mean_inverse(levels: int) -> float:
    """E[1 / e] of a level's probability."""
    return levels * math.log(MOST_CHANCE / LEAST_CHANCE) / (MOST_CHANCE - LEAST_CHANCE)


def _largest_value(levels: int, clip: float) -> float:
    """What 1 of `DRAWS` influence values passes, in spreads: the residual over the probability."""
    chances = np.array(list(_chances(levels)))
    weights = np.maximum(chances, clip) / math.sqrt(2.0 * UNEXPLAINED)

    def beyond(limit: float) -> float:
        tails = [math.erfc(limit * float(weight)) for weight in weights]
        return 2.0 * float(np.mean(chances * tails))

    low, high = 0.0, 100.0 * levels
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if beyond(middle) > 1.0 / DRAWS else (low, middle)
    return high
