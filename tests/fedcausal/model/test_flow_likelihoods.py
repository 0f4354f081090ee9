"""The statistic "flow_likelihoods": the flow's own densities over a site's rows."""

import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.model.flow_likelihoods import (
    FlowLikelihoods,
    decode_flow_likelihoods,
    flow_likelihoods_request,
)
from fedcausal.model.nodeflow import build, to_vector
from fedcausal.model.nodeflow_queries import log_prob
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.statistics.kind import Request
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule


@pytest.fixture(scope="module")
def asked(mixed_study, mixed_edges):
    model = mixed_study.model
    spec = NodeFlowSpec.from_schema(
        mixed_study.schema(), mixed_edges, hidden=model.hidden, bins=model.bins
    )
    flow = build(spec, 0)
    units = {"age": 1.0, "pressure": 2.0, "stage": 1.0, "drug": 1.0}
    return flow, flow_likelihoods_request(spec, to_vector(flow), units)


def test_only_continuous_nodes_are_asked_for(asked):
    flow, request = asked
    assert request.parameters["units"] == {"age": 1.0, "pressure": 2.0}
    assert flow_likelihoods_request(flow.spec, to_vector(flow), {"drug": 1.0}) is None


def test_sums_are_those_of_the_flow(mixed_study, mixed_sites, asked):
    flow, request = asked
    kind, rows = FlowLikelihoods(), mixed_sites[0].values
    vector = kind.measure(mixed_study, request, mixed_sites[0], weights=to_vector(flow), plan=None)
    spec = kind.spec(mixed_study, request, 3)
    assert vector.shape == (spec.length,)
    found = decode_flow_likelihoods(mixed_study, request, apply_cell_rule(vector, spec))
    at = flow.spec.index("pressure")
    exact = log_prob(flow, rows)[:, at] + np.log(2.0)
    total, number = found["pressure"]
    assert number == len(rows)
    assert total == pytest.approx(np.clip(exact, -16, 16).sum(), abs=0.1)
    hidden = apply_cell_rule(np.array([1, 5, 1, 5]), spec)
    assert decode_flow_likelihoods(mixed_study, request, hidden) == {}
    assert kind.width(mixed_study, request) == 1


@pytest.mark.parametrize("units", [None, {}, {"nobody": 1.0}, {"drug": 1.0}, {"age": 0.0}])
def test_malformed_requests_are_refused(mixed_study, asked, units):
    _, request = asked
    bad = Request(kind="flow_likelihoods", parameters={**request.parameters, "units": units})
    with pytest.raises(ProtocolError, match="units"):
        FlowLikelihoods().spec(mixed_study, bad, 3)


def test_other_weights_are_refused(mixed_study, mixed_sites, asked):
    flow, request = asked
    with pytest.raises(ProtocolError):
        FlowLikelihoods().measure(
            mixed_study, request, mixed_sites[0], weights=to_vector(flow) + 1, plan=None
        )
