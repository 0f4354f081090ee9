"""What a privacy budget will buy, before any site is asked: predictions in words, warnings."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedcausal.private.effects_budget import effects_are_private, effects_budget
from fedcausal.private.effects_planning import EffectPlan, plan_effects
from fedcausal.private.graph_budget import graph_budget
from fedcausal.private.graph_planning import HOPELESS, WEAK, GraphPlan, plan_graph
from fedcausal.private.model_planning import (
    ClosedFormPlan,
    ModelPlan,
    TrainedFlowPlan,
    plan_model,
)
from fedcausal.private.table_planning import compared_lines
from fedcausal.statistics.implied import fits_privately, trains_flow
from fedcausal.study import Study
from fedcausal.study_file.delta import MOST_EXPECTED, fitting_delta, has_epsilon
from fedcausal_privacy.canonical import JsonValue

__all__ = ["StudyPlan", "plan_lines", "plan_study", "plan_warnings"]

_EFFECT_RELEASES = {
    "scales": "noisy histograms that set scales",
    "families": "noisy family sums",
    "residuals": "noisy histograms of residuals",
    "aipw": "noisy sums of influence values, for a second estimate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """What can be expected of each part of a study.

    Without an epsilon that touches them `model` is None and `effects` is empty.
    """

    graph: GraphPlan
    model: ModelPlan | None
    effects: tuple[EffectPlan, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as a JSON object."""
        return {
            "graph": self.graph.to_json(),
            "model": None if self.model is None else self.model.to_json(),
            "effects": [effect.to_json() for effect in self.effects],
        }


def plan_study(study: Study, *, num_records: int, num_sites: int) -> StudyPlan:
    """Predict what graph, model and effects will be worth, out of public values only.

    Raises
    ------
    InputError
        Fewer records than two per site, or a roster that the study does not allow.
    """
    return StudyPlan(
        graph=plan_graph(study, num_records=num_records, num_sites=num_sites),
        model=plan_model(study, num_records=num_records, num_sites=num_sites),
        effects=plan_effects(study, num_records=num_records, num_sites=num_sites),
    )


def plan_lines(study: Study, plan: StudyPlan) -> list[str]:
    """The plan in words; lines may be long."""
    return [
        *_graph_lines(study, plan.graph),
        *_model_lines(study, plan),
        *_effects_lines(study, plan),
        *_delta_lines(study, plan.graph),
    ]


def plan_warnings(study: Study, plan: StudyPlan) -> tuple[str, ...]:
    """What to change before sites are asked for what cannot be found."""
    return (
        *_graph_warnings(study, plan.graph),
        *_model_warnings(plan.model),
        *_effects_warnings(study, plan),
        *_delta_warnings(study, plan.graph),
    )


def _graph_lines(study: Study, plan: GraphPlan) -> Iterator[str]:
    yield f"{plan.num_records} records at {plan.num_sites} sites, {plan.num_features} features"
    if plan.epsilon is None:
        yield "graph: no differential privacy; exact sums"
    else:
        sites = "site" if plan.colluding_sites == 1 else "sites"
        yield (
            f"graph: epsilon {plan.epsilon:g} at delta {plan.delta:g}, "
            f"{plan.colluding_sites} colluding {sites} tolerated"
        )
        yield from _division(study)
        yield f"  noise of a correlation {plan.noise:.3f}, error {plan.correlation_error:.3f}"
        yield f"  worth {plan.effective_records:.0f} records without noise"
    yield f"  smallest correlation that shows {plan.smallest_visible:.3f}"
    yield from compared_lines(study, num_records=plan.num_records, num_sites=plan.num_sites)


def _division(study: Study) -> Iterator[str]:
    budget = graph_budget(study)
    total = budget.scale**-2 + budget.second_release**-2
    yield f"  scales of the variables: {budget.scale**-2 / total:.0%} of the budget"
    if budget.centre is not None:
        yield f"  each site's private means: {budget.centre**-2 / total:.0%}"
    yield f"  the noisy Gram: {budget.gram**-2 / total:.0%}"


def _model_lines(study: Study, plan: StudyPlan) -> Iterator[str]:
    model, records = plan.model, plan.graph.num_records
    if model is None:
        return
    if model.closed_form is not None:
        yield f"model: epsilon {model.epsilon:g}, closed form from noisy sums"
        yield f"  this family: {model.reason}"
        yield (
            f"  at {records} records noise makes an error of {model.closed_form.error:.2g} "
            "spreads of the variable in a fitted linear mean"
        )
    if model.trained_flow is not None:
        flow = model.trained_flow
        rounds = study.model.rounds
        yield f"model: epsilon {model.epsilon:g}, neural flow by DP-SGD over {rounds} rounds"
        yield f"  this family: {model.reason}"
        yield (
            f"  noise multiplier {flow.noise_multiplier:.3g} in each of {flow.steps} steps, "
            f"about {flow.num_parameters} parameters"
        )
        yield (
            f"  signal to noise of the clipped gradients at most {flow.step_signal:.2g} in one "
            f"step at one site, {flow.signal:.2g} in all steps and sites together"
        )
        yield "  the accuracy of a trained flow is not predicted"


def _effects_lines(study: Study, plan: StudyPlan) -> Iterator[str]:
    if effects_are_private(study):
        part, events = study.privacy.effects, effects_budget(study).events()
        epsilon = 0.0 if part is None or part.epsilon is None else part.epsilon
        yield f"effects: epsilon {epsilon:g} at delta {study.privacy.delta:g}"
        total = sum(event.noise_multiplier**-2 for event in events)
        for event in events:
            yield f"  {_EFFECT_RELEASES[event.name]}: {event.noise_multiplier**-2 / total:.0%}"
    elif fits_privately(study):
        yield "effects: answered from the noised model, which costs nothing more"
    else:
        yield "effects: no differential privacy; exact sums under the cell rule"
    for effect in plan.effects:
        yield from _effect_lines(effect)
    if plan.effects and trains_flow(study):
        yield "  how far a trained flow's own answers are off is not predicted"


def _effect_lines(plan: EffectPlan) -> Iterator[str]:
    name = f"{plan.treatment} on {plan.outcome}"
    if plan.model_half_width is not None:
        yield (
            f"  {name}: interval +- {plan.model_half_width:.2g} spreads of {plan.outcome} from "
            "the model"
        )
    if plan.second_half_width is not None:
        yield (
            f"  {name}: interval +- {plan.second_half_width:.2g} spreads of {plan.outcome} from "
            "the second estimate"
        )


def _delta_lines(study: Study, plan: GraphPlan) -> Iterator[str]:
    if has_epsilon(study.privacy):
        records, where = _most_records(study, plan)
        expected = study.privacy.delta * records
        yield f"delta {study.privacy.delta:g} x {records} records ({where}): {expected:.2g}"


def _most_records(study: Study, plan: GraphPlan) -> tuple[int, str]:
    limit = study.privacy.max_rows
    return (plan.num_records, "--rows") if limit is None else (limit, "privacy.max_rows")


def _graph_warnings(study: Study, plan: GraphPlan) -> Iterator[str]:
    is_given = study.knowledge.graph is not None
    if is_given or plan.epsilon is None or plan.smallest_visible <= WEAK:
        return
    remedy = (
        f"raise privacy.graph.epsilon, use fewer variables, or bring {plan.records_needed} records"
    )
    if plan.smallest_visible > HOPELESS:
        yield (
            f"hopeless: correlations below {plan.smallest_visible:.2f} drown in noise, and few "
            f"are larger; {remedy}"
        )
    else:
        yield f"weak: edges below a correlation of {plan.smallest_visible:.2f} are lost; {remedy}"


def _model_warnings(plan: ModelPlan | None) -> Iterator[str]:
    if plan is None:
        return
    if plan.closed_form is not None:
        yield from _closed_form_warnings(plan.closed_form)
    if plan.trained_flow is not None:
        yield from _trained_warnings(plan.trained_flow)


def _closed_form_warnings(plan: ClosedFormPlan) -> Iterator[str]:
    if plan.is_weak:
        yield (
            f"{'hopeless' if plan.is_hopeless else 'weak'}: noise puts the model's means off by "
            f"{plan.error:.2g} spreads; raise privacy.model.epsilon, or bring "
            f"{plan.records_needed} records"
        )


def _trained_warnings(plan: TrainedFlowPlan) -> Iterator[str]:
    if plan.is_weak:
        yield (
            f"{'hopeless' if plan.is_hopeless else 'weak'}: of all training steps together the "
            f"signal is at most {plan.signal:.2g} times the noise; raise privacy.model.epsilon, "
            f"bring {plan.records_needed} records, or lower model.hidden and model.bins"
        )


def _effects_warnings(study: Study, plan: StudyPlan) -> Iterator[str]:
    part = "effects" if effects_are_private(study) else "model"
    for effect in plan.effects:
        if effect.is_weak:
            yield (
                f"{'hopeless' if effect.is_hopeless else 'weak'}: the effect of "
                f"{effect.treatment} on {effect.outcome} is told to +- {effect.half_width:.2g} "
                f"spreads, which hides {'large' if effect.is_hopeless else 'medium'} effects; "
                f"raise privacy.{part}.epsilon, or bring more records"
            )


def _delta_warnings(study: Study, plan: GraphPlan) -> Iterator[str]:
    records, where = _most_records(study, plan)
    delta = study.privacy.delta
    if has_epsilon(study.privacy) and delta * records >= MOST_EXPECTED:
        yield (
            f"privacy.delta: {delta:g} x {records} records ({where}) is {delta * records:.3g}, "
            f"expected below 1; write delta = {fitting_delta(records):g}"
        )
