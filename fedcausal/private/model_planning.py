"""What a budget leaves of the model: error of a closed form, signal of a training under noise."""

import math
from dataclasses import asdict, dataclass

from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.private_family import MOST_ERROR, expected_error, private_family
from fedcausal.model.training_plan import training_plan
from fedcausal.private.assumed_graph import assumed_graph
from fedcausal.private.model_budget import model_epsilon
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue

__all__ = ["ClosedFormPlan", "ModelPlan", "TrainedFlowPlan", "plan_model"]

WITH_INTERCEPT = math.sqrt(2.0)
"""`expected_error` counts slopes; with one parent the intercept is as noisy as the slope."""

HOPELESS_ERROR = 0.5
"""A fitted mean that is off by so many spreads loses half of what it explains, by the
assumption of `mean_error` that this is half of the variance."""

HOPELESS_SIGNAL = 3.0
"""At 1.6 (9 variables, 1000 records, epsilon 1) a flow hardly moves from its start."""

WEAK_SIGNAL = 20.0
"""From 54 on (3 variables, 20,000 records, epsilon 1) flows learnt something in every comparison
of docs/decisions/0041-closed-form-under-epsilon.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedFormPlan:
    """A closed form from noisy sums.

    Attributes
    ----------
    error
        Predicted error of a fitted linear mean that noise alone makes, in spreads.
    records_needed
        Records of all sites with which it would be `MOST_ERROR`.
    """

    error: float
    records_needed: int

    @property
    def is_weak(self) -> bool:
        """Whether noise is more than a closed form should have."""
        return self.error > MOST_ERROR

    @property
    def is_hopeless(self) -> bool:
        """Whether noise takes half of what the model could explain."""
        return self.error > HOPELESS_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedFlowPlan:
    r"""A flow trained by DP-SGD: what is known of its noise; its accuracy is not predicted.

    With m records at a site, sampling rate q, noise multiplier s and P parameters, a step's sum of
    clipped gradients has a norm of at most q m C on average, and its noise one of about
    :math:`s C \sqrt{P}`. The signal adds up over T steps and K sites, the noise with their roots.

    Attributes
    ----------
    noise_multiplier, steps, num_parameters
        s, T in all rounds together, and P.
    step_signal, signal
        q m / (s root P) of one step at one site, and root(T K) times that: the largest signal to
        noise that there can be, reached where all gradients agree.
    records_needed
        Records of all sites with which the latter would be `WEAK_SIGNAL`.
    """

    noise_multiplier: float
    steps: int
    num_parameters: int
    step_signal: float
    signal: float
    records_needed: int

    @property
    def is_weak(self) -> bool:
        """Whether less signal is left than where training was seen to work."""
        return self.signal < WEAK_SIGNAL

    @property
    def is_hopeless(self) -> bool:
        """Whether the noise of the whole training is about as large as all it can learn."""
        return self.signal < HOPELESS_SIGNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """The model of a study with an epsilon for it, and why it is this one."""

    epsilon: float
    reason: str
    closed_form: ClosedFormPlan | None
    trained_flow: TrainedFlowPlan | None

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as a JSON object; `predicts_accuracy` tells a bound from a prediction."""
        content: dict[str, JsonValue] = asdict(self)
        return {**content, "predicts_accuracy": self.closed_form is not None}


def plan_model(study: Study, *, num_records: int, num_sites: int) -> ModelPlan | None:
    """Predict what noise leaves of the model; None where it has no epsilon.

    Privacy: reads the study alone.
    """
    epsilon = model_epsilon(study)
    if epsilon is None:
        return None
    family = private_family(study)
    closed = trained = None
    if family.is_closed_form:
        slopes = expected_error(study, num_records=num_records, num_sites=num_sites)
        error = WITH_INTERCEPT * slopes
        needed = math.ceil(num_records * error / MOST_ERROR)
        closed = ClosedFormPlan(error=error, records_needed=needed)
    else:
        trained = _trained(study, epsilon, num_records, num_sites)
    return ModelPlan(
        epsilon=epsilon, reason=family.reason, closed_form=closed, trained_flow=trained
    )


def _trained(study: Study, epsilon: float, num_records: int, num_sites: int) -> TrainedFlowPlan:
    section, graph = study.model, assumed_graph(study)
    unbounded = {v.name: (-1.0, 1.0) for v in study.schema() if v.is_numeric and v.bounds is None}
    spec = NodeFlowSpec.from_schema(
        study.schema(),
        graph.edges,
        names=graph.nodes,
        ranges=unbounded,
        hidden=section.hidden,
        bins=section.bins,
    )
    training = training_plan(section, epsilon=epsilon, delta=float(study.privacy.delta))
    multiplier, steps = training.noise_multiplier or 0.0, training.steps * training.rounds
    parameters = spec.num_parameters * section.members
    rows = training.sample_rate * num_records / num_sites
    one = rows / (multiplier * math.sqrt(parameters))
    whole = one * math.sqrt(steps * num_sites)
    return TrainedFlowPlan(
        noise_multiplier=multiplier,
        steps=steps,
        num_parameters=parameters,
        step_signal=one,
        signal=whole,
        records_needed=math.ceil(num_records * WEAK_SIGNAL / whole),
    )
