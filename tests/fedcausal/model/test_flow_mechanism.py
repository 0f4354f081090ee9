"""A node of a flow as a mechanism: the flow's own answers, and an exact inverse."""

import numpy as np
import pytest

from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.flow_mechanism import FlowMechanism
from fedcausal.model.nodeflow_queries import in_double, log_prob, sample
from fedcausal.schema import Kind, Schema, Variable


@pytest.fixture(scope="module")
def own():
    from fedcausal.model.nodeflow_spec import NodeFlowSpec

    schema = Schema(
        (
            Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-3.0, 3.0)),
            Variable(name="g", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
            Variable(name="y", kind=Kind.CONTINUOUS, bounds=(0.0, 10.0)),
        )
    )
    spec = NodeFlowSpec.from_schema(schema, [("a", "y"), ("g", "y")], hidden=4, bins=4)
    family = family_of_degree(schema, "y", ("a", "g"), ranges={}, degree=1)
    return spec, family


@pytest.fixture
def mechanism(own, make_bent):
    spec, family = own
    return FlowMechanism(family=family, flow=in_double(make_bent(spec)))


@pytest.fixture
def columns(mechanism):
    flow = mechanism.flow
    rows = sample(flow, 200, rng=np.random.default_rng(0))
    return {name: rows[:, k] for k, name in enumerate(flow.spec.names)}


def test_abduction_is_undone(mechanism, columns):
    noise = mechanism.abduct(columns["y"], columns, np.random.default_rng(0))
    np.testing.assert_allclose(mechanism.predict(noise, columns), columns["y"], atol=1e-6)


def test_densities_are_those_of_the_flow(mechanism, columns):
    names = mechanism.flow.spec.names
    whole = log_prob(mechanism.flow, np.column_stack([columns[n] for n in names]))
    found = mechanism.log_prob(columns["y"], columns)
    np.testing.assert_allclose(found, whole[:, names.index("y")], rtol=1e-12)


def test_worlds_of_several_draws_are_kept_apart(mechanism, columns):
    few = {name: values[:5] for name, values in columns.items()}
    noise = mechanism.abduct(few["y"], few, np.random.default_rng(0))
    worlds = {**few, "a": np.stack([few["a"], few["a"] + 1.0])}
    found = mechanism.predict(noise, worlds)
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found[0], few["y"], atol=1e-6)
    alone = mechanism.predict(noise, {**few, "a": few["a"] + 1.0})
    np.testing.assert_allclose(found[1], alone, rtol=1e-12)


def test_noise_is_standard_normal_and_the_law_is_not_redrawn(mechanism):
    rng = np.random.default_rng(0)
    drawn = mechanism.draw_noise(20_000, rng)
    assert abs(drawn.mean()) < 0.04
    assert abs(drawn.std() - 1.0) < 0.03
    assert mechanism.resampler()(rng) is mechanism
