"""A flow on another device answers alike."""

import numpy as np
import pytest
import torch

from fedcausal.errors import InputError
from fedcausal.model.ensemble import EnsembleModel
from fedcausal.model.nodeflow_model import NodeFlowModel, from_nodeflow
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.placing import array_of, in_double, tensor_of


@pytest.fixture
def neural(mixed_fit, make_bent, mixed_edges):
    model = mixed_fit.model
    spec = NodeFlowSpec.from_schema(model.schema, mixed_edges, names=model.graph.nodes)
    return from_nodeflow(make_bent(spec), model.graph, model.schema)


def test_a_flow_in_double_is_made_once(neural):
    flow = neural.engine.flow
    exact = in_double(flow)
    assert flow.head.weight.dtype == torch.float32
    assert exact.head.weight.dtype == torch.float64
    assert in_double(exact) is exact
    assert in_double(exact, "cpu") is exact


def test_arrays_go_there_and_back(neural):
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(array_of(tensor_of(neural.engine.flow, values)), values)


def test_a_model_put_where_it_is_answers_the_same(neural, mixed_fit):
    there = neural.on("cpu")
    assert there.sample(20, seed=1).equals(neural.sample(20, seed=1))
    assert mixed_fit.model.on("cuda").engine is mixed_fit.model.engine
    members = EnsembleModel(members=(neural.engine, neural.engine)).on("cpu")
    assert all(isinstance(member, NodeFlowModel) for member in members.members)


@pytest.mark.parametrize("device", ["cuda:99", "mps", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(neural, device):
    with pytest.raises(InputError, match=r"device: .* is not available here"):
        neural.on(device)


@pytest.mark.gpu
def test_a_graphics_processor_answers_the_same_up_to_rounding(neural):
    there, rows = neural.on("cuda"), neural.sample(500, seed=3)
    number = [name for name in rows.columns if rows[name].dtype == np.float64]
    np.testing.assert_allclose(there.sample(500, seed=3)[number], rows[number], atol=1e-6)
    np.testing.assert_allclose(there.log_prob(rows), neural.log_prob(rows), atol=1e-6)
    asked = {"do": {"age": 1.0}, "seed": 4}
    np.testing.assert_allclose(
        there.counterfactual(rows, **asked)[number],
        neural.counterfactual(rows, **asked)[number],
        atol=1e-6,
    )
