"""The second half of a study as pure steps: from a graph to its model and its effects.

scales (under an epsilon) or margins (of splines) -> families
    -> spreads (where noise may depend on the parents) -> residuals and influence values
    -> likelihoods (where mechanisms are chosen) -> training -> flow_likelihoods -> done
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from fedcausal.effects.asking import (
    families_for_effects,
    fitted_for_effects,
    scales_for_effects,
    second_requests,
    take_second,
)
from fedcausal.errors import FedCausalError
from fedcausal.graph import Graph
from fedcausal.model.count_mechanism import with_counts
from fedcausal.model.families import families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.formula_mechanism import with_formulas
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.margins import choose_knots, margins_request
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.noisy_degrees import chosen_families
from fedcausal.model.noisy_family_gram import decode_noisy_families, fit_noisy_mechanisms
from fedcausal.model.own_sums import OwnSums, fit_own_mechanisms, own_sums_request
from fedcausal.model.spreads import decode_spreads, spreads_request, with_spreads
from fedcausal.moments.gram_totals import GramTotals
from fedcausal.private.effects_budget import fits_for_effects
from fedcausal.private.noisy_totals import NoisyTotals
from fedcausal.statistics.effect_families_kind import effect_scale_request
from fedcausal.statistics.implied import (
    counts_patterns_for_effects,
    fits_privately,
    trains_flow,
)
from fedcausal.statistics.kind import Request
from fedcausal.statistics.scale_kind import ReleasedScales, scale_release, scale_request
from fedcausal.steps.model_choice import (
    ask_for_choice,
    ask_for_flow_choice,
    take_choice,
    take_flow_choice,
)
from fedcausal.steps.records import ask_for_patterns
from fedcausal.steps.state import StudyState
from fedcausal.steps.training import FlowTraining
from fedcausal.study_file.formulas import formulas_of
from fedcausal_privacy.statistic_spec import Released

__all__ = ["MODEL_STEPS", "ask_for_model"]


def ask_for_model(state: StudyState) -> StudyState:
    """What is asked once the graph is known; the end of a study that wants no model."""
    if "model" not in state.steps or state.discovery is None:
        return _finished(state)
    for_effects = fits_for_effects(state.study)
    if for_effects or fits_privately(state.study):
        if state.scales is not None:
            return _ask_for_noisy_families(state, state.scales)
        asked = effect_scale_request() if for_effects else scale_request(of_model=True)
        return replace(state, phase="model_scales", requests=(asked,))
    if counts_patterns_for_effects(state.study) and not _has_counted(state):
        return ask_for_patterns(state, of_effects=True)
    dag, edges = _wanted(state)
    margins = margins_request(
        state.study,
        edges,
        state.ranges,
        num_records=_num_records(state.gram),
        num_sites=state.num_sites,
    )
    if margins is not None:
        return replace(state, phase="margins", requests=(margins,))
    request = families_request(edges, dag.nodes, state.ranges)
    return replace(state, phase="families", requests=(request,))


def _has_counted(state: StudyState) -> bool:
    """Whether the patterns of this study's exact families are known."""
    return any(name.startswith("effect_patterns") for name in state.digests)


def _after_model_scales(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    total = released[request.id()]
    found = (
        scales_for_effects(state, total)
        if fits_for_effects(state.study)
        else scale_release(state.study, request, total, state.num_sites)
    )
    return _ask_for_noisy_families(replace(state, scales=found), found)


def _ask_for_noisy_families(state: StudyState, found: ReleasedScales) -> StudyState:
    dag, edges = _wanted(state)
    ask = families_for_effects if fits_for_effects(state.study) else chosen_families
    request = ask(state.study, edges, dag.nodes, found=found, num_sites=state.num_sites)
    return replace(state, phase="families", requests=(request,))


def _after_margins(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    dag, edges = _wanted(state)
    knots = choose_knots(state.study, request, released[request.id()], state.num_sites)
    families = families_request(edges, dag.nodes, state.ranges, knots)
    return replace(state, phase="families", requests=(families,))


def _wanted(state: StudyState) -> tuple[Graph, list[tuple[str, str]]]:
    """The graph of the model, and its edges."""
    if state.discovery is None:
        raise FedCausalError("a model needs a graph first")
    dag = state.discovery.model_dag()
    return dag, [(edge.source, edge.target) for edge in dag.edges]


def _num_records(gram: GramTotals | NoisyTotals | None) -> float | None:
    """How many records were released; None where the graph was given."""
    if gram is None:
        return None
    return float(gram.num_rows if isinstance(gram, GramTotals) else gram.num_records)


def _after_families(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    total = released[request.id()]
    if fits_for_effects(state.study):
        return _ask_second(fitted_for_effects(state, total))
    if fits_privately(state.study):
        noisy = decode_noisy_families(state.study, request, total, state.num_sites)
        fitted = state.with_noisy_families(noisy)
        return _ask_second(replace(fitted, mechanisms=fit_noisy_mechanisms(noisy)))
    grams = decode_families(state.study, request, total, state.num_sites)
    fitted = replace(
        state, families=grams, mechanisms=fit_mechanisms(grams), families_request=request
    )
    return _ask_for_spreads(fitted)


def _ask_for_spreads(state: StudyState) -> StudyState:
    """How the sizes of residuals depend on the parents, where the study wants to know."""
    if state.study.model.variance == "constant":
        return _ask_second(state)
    (families,) = state.requests
    asked = spreads_request(families, state.mechanisms)
    if asked is None:
        return _ask_second(state)
    return replace(state, phase="spreads", requests=(asked,))


def _after_spreads(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    total, families = released[request.id()], state.families_request
    if families is None:
        raise FedCausalError("spreads need families first")
    spreads = decode_spreads(state.study, request, total, state.num_sites)
    mechanisms = with_spreads(state.mechanisms, spreads)
    is_chosen = state.study.model.mechanism == "auto"
    rivals = {node: state.mechanisms[node] for node in spreads} if is_chosen else {}
    found = replace(state, requests=(families,), mechanisms=mechanisms, rivals=rivals)
    return _ask_second(found)


def _ask_second(state: StudyState) -> StudyState:
    """What is asked along the fitted mechanisms: residuals, and a second estimate of effects."""
    requests = (*second_requests(state), *_own_sums(state))
    if not requests:
        return _ask_for_choice(_with_model(state))
    return replace(state, phase="residuals", requests=requests)


def _own_sums(state: StudyState) -> tuple[Request, ...]:
    """What users' own mechanisms are fitted to, where the study names any."""
    dag, _ = _wanted(state)
    parents = {name: dag.parents(name) for name in dag.nodes}
    asked = own_sums_request(state.study, parents, state.ranges)
    return () if asked is None else (asked,)


def _after_residuals(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    own = [request for request in state.requests if request.kind == OwnSums.name]
    others = tuple(request for request in state.requests if request not in own)
    state = take_second(replace(state, requests=others), released)
    fitted: dict[str, Mechanism] = {}
    for request in own:
        fitted |= fit_own_mechanisms(state.study, request, released[request.id()])
    calibrations = {name: c for name, c in state.calibrations.items() if name not in fitted}
    mechanisms = {**state.mechanisms, **fitted}
    state = replace(state, mechanisms=mechanisms, calibrations=calibrations)
    return _ask_for_choice(_with_model(state))


def _ask_for_choice(state: StudyState) -> StudyState:
    return ask_for_choice(state) or _ask_for_training(state)


def _after_likelihoods(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    return _ask_for_training(take_choice(state, released))


def _with_model(state: StudyState) -> StudyState:
    dag, _ = _wanted(state)
    formulas = formulas_of(state.study.variables)
    schema = state.study.schema()
    mechanisms = with_counts(state.mechanisms, state.families, schema)
    mechanisms = with_formulas(mechanisms, formulas) if formulas else mechanisms
    model = assemble(dag, schema, mechanisms, state.calibrations)
    learnt = None if state.discovery is None else state.discovery.graph
    return replace(state, model=replace(model, learnt=learnt), mechanisms=mechanisms)


def _ask_for_training(state: StudyState) -> StudyState:
    if not trains_flow(state.study):
        return _finished(state)
    dag, _ = _wanted(state)
    flow = FlowTraining.begin(
        state.study,
        dag,
        state.ranges,
        families=state.families,
        mechanisms=state.mechanisms,
        num_sites=state.num_invited,
        seed=state.seed,
        server_step=state.server_step,
    )
    return _next_training_round(replace(state, flow=flow, phase="training"))


def _next_training_round(state: StudyState) -> StudyState:
    if state.flow is None or state.flow.is_finished:
        return ask_for_flow_choice(state) or _finished(state)
    return replace(state, requests=state.flow.requests(), blobs=state.flow.blobs())


def _after_training(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    if state.flow is None:
        raise FedCausalError("no training is under way")
    return _next_training_round(replace(state, flow=state.flow.take(released)))


def _after_flow_likelihoods(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    return _finished(take_flow_choice(state, released))


def _finished(state: StudyState) -> StudyState:
    return replace(state, phase="done", requests=(), blobs={})


MODEL_STEPS: Mapping[str, Callable[[StudyState, Mapping[str, Released]], StudyState]] = (
    MappingProxyType(
        {
            "model_scales": _after_model_scales,
            "margins": _after_margins,
            "families": _after_families,
            "spreads": _after_spreads,
            "residuals": _after_residuals,
            "likelihoods": _after_likelihoods,
            "training": _after_training,
            "flow_likelihoods": _after_flow_likelihoods,
        }
    )
)
"""Per phase, what is made of its totals."""
