"""The choice of mechanisms by held-out likelihood, as pure steps of a study.

... -> residuals -> likelihoods (closed forms) -> training -> flow_likelihoods -> done
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fedcausal.errors import FedCausalError
from fedcausal.model.candidates import FLOW, NodeChoice, candidates_of, choice_of, unit_of
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.fitting import assemble
from fedcausal.model.flow_likelihoods import (
    decode_flow_likelihoods,
    flow_likelihoods_request,
)
from fedcausal.model.flow_mechanism import FlowMechanism
from fedcausal.model.likelihoods import decode_likelihoods, likelihoods_request
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.update import weights_to_bytes
from fedcausal_privacy.statistic_spec import Released

if TYPE_CHECKING:
    from fedcausal.steps.state import StudyState

__all__ = ["ask_for_choice", "ask_for_flow_choice", "take_choice", "take_flow_choice"]


def ask_for_choice(state: "StudyState") -> "StudyState | None":
    """Ask how well the closed forms predict; None where nothing is to be chosen."""
    families = state.families_request
    if state.study.model.mechanism != "auto" or families is None:
        return None
    candidates = candidates_of(state.families, state.mechanisms, state.rivals)
    asked = likelihoods_request(families, candidates)
    if asked is None:
        return None
    return replace(state, phase="likelihoods", requests=(asked,), candidates=candidates)


def take_choice(state: "StudyState", released: Mapping[str, Released]) -> "StudyState":
    """The state whose mechanisms are those that predict best."""
    (request,) = state.requests
    choices = decode_likelihoods(state.study, request, released[request.id()])
    chosen = {node: state.candidates[node][own.chosen] for node, own in choices.items()}
    return _with(state, choices, chosen)


def ask_for_flow_choice(state: "StudyState") -> "StudyState | None":
    """Ask how well a trained flow predicts the numbers; None without one, or without a choice."""
    flow = state.flow
    if state.study.model.mechanism != "auto" or flow is None or not state.choices:
        return None
    units = {node: unit_of(state.candidates[node]) for node in state.choices}
    asked = flow_likelihoods_request(flow.spec, flow.chosen, units)
    if asked is None:
        return None
    blobs = {"weights": weights_to_bytes(flow.chosen)}
    return replace(state, phase="flow_likelihoods", requests=(asked,), blobs=blobs)


def take_flow_choice(state: "StudyState", released: Mapping[str, Released]) -> "StudyState":
    """The state in which the flow has the nodes that it predicts best."""
    from fedcausal.model.nodeflow import from_vector
    from fedcausal.model.placing import in_double

    if state.flow is None:
        raise FedCausalError("no flow was trained")
    (request,) = state.requests
    found = decode_flow_likelihoods(state.study, request, released[request.id()])
    flow = in_double(from_vector(state.flow.spec, state.flow.chosen))
    choices, chosen = dict[str, NodeChoice](), dict[str, Mechanism]()
    for node, (total, number) in found.items():
        before = state.choices[node]
        names = (*before.scores, FLOW)
        sums = [*(own * number for own in before.scores.values()), total]
        choices[node] = choice_of(node, names, _array(sums), number)
        if choices[node].chosen == FLOW:
            family = state.mechanisms[node].family
            chosen[node] = FlowMechanism(family=family, flow=flow)
    return _with(state, choices, chosen)


def _with(
    state: "StudyState", choices: Mapping[str, NodeChoice], chosen: Mapping[str, Mechanism]
) -> "StudyState":
    if state.model is None:
        raise FedCausalError("a choice needs a model first")
    mechanisms = {**state.mechanisms, **chosen}
    model = assemble(state.model.graph, state.model.schema, mechanisms, state.calibrations)
    model = replace(model, learnt=state.model.learnt)
    return replace(state, mechanisms=mechanisms, model=model, choices={**state.choices, **choices})


def _array(values: list[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)
