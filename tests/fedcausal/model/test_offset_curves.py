"""Offsets as tensors: the closed form's means on the flow's scale, and a flow on top of them."""

import numpy as np
import pytest
import torch

from fedcausal.errors import GraphError
from fedcausal.model.family_basis import family_of_knots
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.members import member_vectors, stacked
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_queries import counterfactual, log_prob, sample
from fedcausal.model.nodeflow_spec import NodeFlowSpec, NodeStart
from fedcausal.model.offset_curves import OffsetCurves
from fedcausal.model.offsets import nodeflow_offsets
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.schema import Schema, Variable

BOUNDS = {"x": (-2.0, 3.0), "z": (0.0, 10.0), "y": (-5.0, 1.0)}
SCHEMA = Schema(tuple(Variable(name=n, kind="continuous", bounds=b) for n, b in BOUNDS.items()))
KNOTS = {"x": (-0.5, 0.0, 0.25), "z": (-0.25, 0.5, 0.75, 0.875)}
EDGES = [("x", "y"), ("z", "y"), ("x", "z")]


def mechanism(node, *parents):
    family = family_of_knots(SCHEMA, node, parents, ranges={}, knots=KNOTS)
    size = 1 + family.basis.num_features
    return NumericMechanism(
        family=family,
        coefficients=0.3 * np.random.default_rng(len(parents)).normal(size=size),
        covariance=np.eye(size),
        residual=ResidualLaw.gaussian(0.1, 100),
    )


MECHANISMS = {"y": mechanism("y", "x", "z"), "z": mechanism("z", "x")}
SPEC = NodeFlowSpec.from_schema(SCHEMA, EDGES, offsets=nodeflow_offsets(MECHANISMS))
STARTS = {n: NodeStart(intercept=sum(BOUNDS[n]) / 2, scale=1e-3) for n in ("y", "z")}


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(lo, hi, count) for lo, hi in BOUNDS.values()])


def test_locations_are_the_means_on_the_flows_scale():
    values = rows(60)
    found = OffsetCurves.of(SPEC).apply(lambda t: t.double() if t.is_floating_point() else t)
    scaled = torch.from_numpy(SPEC.scale(values))
    columns = dict(zip(SPEC.names, values.T, strict=True))
    expected = np.zeros_like(values)
    for name, one in MECHANISMS.items():
        expected[:, SPEC.index(name)] = one.predict(np.zeros(60), columns)
    whole = SPEC.scale(expected)
    whole[:, SPEC.index("x")] = 0.0
    assert found.locations(scaled).numpy() == pytest.approx(whole, abs=1e-5)
    assert found.locations(scaled, [2, 0]).numpy() == pytest.approx(whole[:, [2, 0]], abs=1e-5)


def test_an_untrained_flow_predicts_the_closed_form():
    flow = build(SPEC, 0, start=STARTS)
    drawn = sample(flow, 500, do={"x": 0.5}, rng=np.random.default_rng(0))
    columns = dict(zip(SPEC.names, drawn.T, strict=True))
    for name, one in MECHANISMS.items():
        gap = columns[name] - one.predict(np.zeros(500), columns)
        assert np.abs(gap).max() < 0.05  # six times the least spread of a flow


def test_prepared_rows_have_the_same_density_also_where_values_are_missing():
    flow = build(SPEC, 0, start={n: NodeStart(intercept=s.intercept) for n, s in STARTS.items()})
    scaled = torch.from_numpy(SPEC.scale(rows(40)).astype(np.float32))
    scaled[::3, 1] = torch.nan
    assert torch.allclose(flow(scaled), flow(flow.prepared(scaled)), atol=1e-5)
    assert torch.isfinite(flow(scaled)).all()


def test_noise_and_values_come_back_exactly():
    flow = build(SPEC, 0, start={n: NodeStart(intercept=s.intercept) for n, s in STARTS.items()})
    facts = sample(flow, 30, rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    there = counterfactual(flow, facts, do={"x": 1.0}, rng=rng, draws=1).table()
    back = np.array(
        [
            counterfactual(flow, there[[k]], do={"x": facts[k, 0]}, rng=rng, draws=1).table()[0]
            for k in range(30)
        ]
    )
    assert back == pytest.approx(facts, abs=1e-6)
    assert np.isfinite(log_prob(flow, facts)).all()


def test_spec_and_weights_are_the_whole_flow():
    flow = build(SPEC, 0, start=STARTS)
    again = from_vector(NodeFlowSpec.from_json(SPEC.to_json()), to_vector(flow))
    scaled = torch.from_numpy(SPEC.scale(rows(5)).astype(np.float32))
    assert torch.equal(flow(scaled), again(scaled))


def test_a_description_without_offsets_is_one_of_a_flow_that_has_none():
    content = SPEC.to_json()
    del content["offsets"]
    assert NodeFlowSpec.from_json(content) == NodeFlowSpec.from_schema(SCHEMA, EDGES)


def test_an_offset_with_other_parents_than_the_graph_is_refused():
    with pytest.raises(GraphError, match="other parents"):
        NodeFlowSpec.from_schema(SCHEMA, EDGES[:2], offsets=SPEC.offsets)


def test_members_of_an_ensemble_each_have_the_offsets():
    scaled = torch.from_numpy(SPEC.scale(rows(40)).astype(np.float32))
    whole = build(stacked(SPEC, 3), 0)
    vectors = member_vectors(SPEC, to_vector(whole), 3)
    each = [from_vector(SPEC, vector).log_prob(scaled) for vector in vectors]
    torch.testing.assert_close(whole.log_prob(scaled.repeat(1, 3)), torch.cat(each, dim=1))
