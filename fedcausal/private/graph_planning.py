"""What a privacy budget leaves of the graph, before any site is asked: noise and error."""

import math
from dataclasses import asdict, dataclass

from fedcausal.errors import InputError
from fedcausal.private.clipping import RESIDUAL, clipping_effect
from fedcausal.private.graph_budget import is_private, num_colluding
from fedcausal.private.private_features import PrivateFeatures
from fedcausal.statistics.noisy_gram_kind import chosen_radius
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue

__all__ = ["HOPELESS", "WEAK", "GraphPlan", "plan_graph"]

HOPELESS = 0.3
"""A smallest visible correlation above this finds next to nothing."""

WEAK = 0.15


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
