"""What a privacy budget will buy, before any site is asked: predicted noise, error, warnings."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from fedcausal.errors import InputError
from fedcausal.model.private_family import PrivateFamily, expected_error, private_family
from fedcausal.private.clipping import RESIDUAL, clipping_effect
from fedcausal.private.effects_budget import effects_are_private, effects_budget
from fedcausal.private.graph_budget import graph_budget, is_private, num_colluding
from fedcausal.private.model_budget import model_epsilon
from fedcausal.private.private_features import PrivateFeatures
from fedcausal.private.table_planning import compared_lines
from fedcausal.statistics.implied import fits_privately
from fedcausal.statistics.noisy_gram_kind import chosen_radius
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue

__all__ = ["GraphPlan", "plan_graph", "plan_lines", "plan_warnings"]

HOPELESS = 0.3
"""A smallest visible correlation above this finds next to nothing."""

WEAK = 0.15

_EFFECT_RELEASES = {
    "scales": "noisy histograms that set scales",
    "families": "noisy family sums",
    "residuals": "noisy histograms of residuals",
    "aipw": "noisy sums of influence values, for a second estimate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPlan:
    """What the graph of a study can be learnt from.

    Attributes
    ----------
    num_features
        Features of all variables.
    epsilon, delta
        The budget per record; None without differential privacy.
    noise
        Predicted standard deviation of the noise in a correlation.
    clipping
        Predicted mean absolute error of a correlation that shortened rows leave.
    correlation_error
        Predicted mean absolute error of a correlation against the exact sums.
    effective_records
        1 / (1 / n + noise^2).
    smallest_visible
        Smallest correlation that the score keeps: the root of log(n) (1 / n + 2 noise^2).
    records_needed
        Records of all sites with which the smallest visible correlation would be `WEAK`.
    """

    num_records: int
    num_sites: int
    num_features: int
    epsilon: float | None
    delta: float
    colluding_sites: int
    noise: float
    clipping: float
    correlation_error: float
    effective_records: float
    smallest_visible: float
    records_needed: int

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as a JSON object."""
        content: dict[str, JsonValue] = asdict(self)
        return content


def plan_graph(study: Study, *, num_records: int, num_sites: int) -> GraphPlan:
    """Predict what the graph will be learnt from, out of public values only.

    Assumptions: the scales that are released first are right, all rows are complete, features
    are correlated as in random linear models of average degree 2 (for the clipping).

    Raises
    ------
    InputError
        Fewer records than two per site, or a roster that the study does not allow.
    """
    if num_records < 2 * num_sites:
        raise InputError(f"--rows {num_records}: expected at least {2 * num_sites}, two per site")
    study.check_num_sites(num_sites)
    num_features = _num_features(study)
    private = is_private(study)
    colluding = num_colluding(study, num_sites) if private else 0
    whole, clipping, kept = 0.0, 0.0, 1.0
    if private:
        radius, whole = chosen_radius(study, num_features, num_records, num_sites)
        bent, kept = clipping_effect(num_features, radius)
        clipping = RESIDUAL * bent
    noise = whole / kept / num_records
    part = study.privacy.graph
    return GraphPlan(
        num_records=num_records,
        num_sites=num_sites,
        num_features=num_features,
        epsilon=None if part is None else part.epsilon,
        delta=study.privacy.delta,
        colluding_sites=colluding,
        noise=noise,
        clipping=clipping,
        correlation_error=math.hypot(math.sqrt(2 / math.pi) * noise, clipping),
        effective_records=1.0 / (1.0 / num_records + noise**2),
        smallest_visible=_visible(num_records, noise),
        records_needed=_records_needed(whole / kept),
    )


def plan_lines(study: Study, plan: GraphPlan) -> list[str]:
    """The plan in words."""
    lines = [f"{plan.num_records} records at {plan.num_sites} sites, {plan.num_features} features"]
    if plan.epsilon is None:
        lines.append("graph: no differential privacy; exact sums")
    else:
        lines += [
            f"graph: epsilon {plan.epsilon:g} at delta {plan.delta:g}, "
            f"{plan.colluding_sites} colluding sites tolerated",
            *(f"  {line}" for line in _division(study)),
            f"  noise of a correlation {plan.noise:.3f}, error {plan.correlation_error:.3f}",
            f"  worth {plan.effective_records:.0f} records without noise",
        ]
    lines.append(f"  smallest correlation that shows {plan.smallest_visible:.3f}")
    lines += compared_lines(study, num_records=plan.num_records, num_sites=plan.num_sites)
    return [*lines, *_model_lines(study, plan)]


def plan_warnings(plan: GraphPlan) -> tuple[str, ...]:
    """What to change before sites are asked for a graph that cannot be found."""
    if plan.epsilon is None or plan.smallest_visible <= WEAK:
        return ()
    remedy = (
        f"raise privacy.graph.epsilon, use fewer variables, or bring {plan.records_needed} records"
    )
    if plan.smallest_visible > HOPELESS:
        return (
            f"hopeless: correlations below {plan.smallest_visible:.2f} drown in noise, and few "
            f"are larger; {remedy}",
        )
    return (f"weak: edges below a correlation of {plan.smallest_visible:.2f} are lost; {remedy}",)


def _num_features(study: Study) -> int:
    schema = study.schema()
    wide = {v.name: (0.0, 0.1) if v.is_numeric else (0.5,) * v.num_levels for v in schema}
    if not is_private(study):
        degrees = study.degrees()
        return sum(degrees.get(v.name, 1) if v.is_numeric else v.num_levels - 1 for v in schema)
    return PrivateFeatures(schema, study.degrees(), wide, 1.0).num_features


def _visible(num_records: float, noise: float) -> float:
    return math.sqrt(math.log(num_records) * (1.0 / num_records + 2.0 * noise**2))


def _records_needed(whole: float) -> int:
    """The records with which noise of `whole` in a sum leaves `WEAK` visible, to 1 %."""
    records = 100.0
    while _visible(records, whole / records) > WEAK:
        records *= 1.01
    return math.ceil(records)


def _division(study: Study) -> Iterator[str]:
    budget = graph_budget(study)
    total = budget.scale**-2 + budget.second_release**-2
    yield f"scales of the variables: {budget.scale**-2 / total:.0%} of the budget"
    if budget.centre is not None:
        yield f"each site's private means: {budget.centre**-2 / total:.0%}"
    yield f"the noisy Gram: {budget.gram**-2 / total:.0%}"


def _model_lines(study: Study, plan: GraphPlan) -> Iterator[str]:
    epsilon = model_epsilon(study)
    if epsilon is not None:
        family = private_family(study)
        yield f"model: epsilon {epsilon:g}, {_named(study, family)}: {family.reason}"
        if family.is_closed_form:
            error = expected_error(study, num_records=plan.num_records, num_sites=plan.num_sites)
            yield f"  noise in a fitted linear mean {error:.3f} spreads of the variable"
    yield from _effects_lines(study)


def _named(study: Study, family: PrivateFamily) -> str:
    if family.is_closed_form:
        return "closed form from noisy sums"
    return f"neural flow by DP-SGD over {study.model.rounds} rounds"


def _effects_lines(study: Study) -> Iterator[str]:
    if not effects_are_private(study):
        yield (
            "effects: answered from the noised model, which costs nothing more"
            if fits_privately(study)
            else "effects: no differential privacy; exact sums under the cell rule"
        )
        return
    part, events = study.privacy.effects, effects_budget(study).events()
    epsilon = 0.0 if part is None or part.epsilon is None else part.epsilon
    yield f"effects: epsilon {epsilon:g} at delta {study.privacy.delta:g}"
    total = sum(event.noise_multiplier**-2 for event in events)
    for event in events:
        yield f"  {_EFFECT_RELEASES[event.name]}: {event.noise_multiplier**-2 / total:.0%}"
