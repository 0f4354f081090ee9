"""A site's own mechanisms: fitted to its rows alone, beside shared ones that stay as they were."""

import numpy as np
import pytest

from fedcausal.errors import InputError
from fedcausal.model.ensemble import EnsembleModel
from fedcausal.model.members import with_nodes
from fedcausal.model.nodeflow import build, to_vector
from fedcausal.model.nodeflow_model import from_members, from_nodeflow
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.site_heads import with_own_heads
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "x": {"kind": "continuous", "bounds": [-6.0, 6.0]},
            "y": {"kind": "continuous", "bounds": [-20.0, 20.0]},
            "s": {"kind": "binary"},
        },
        "model": {"family": "gram", "degree": 1, "knots": 0, "hidden": 4, "bins": 3, "rounds": 6},
    }
)
EDGES = [("x", "y"), ("x", "s")]


@pytest.fixture(scope="module")
def sites(as_table):
    """y has the slope 1 at two sites and -2 at the third."""
    found = []
    for k, slope in enumerate((1.0, 1.0, -2.0)):
        rng = np.random.default_rng(k)
        x = rng.normal(size=600)
        y = slope * x + 0.5 * rng.normal(size=600)
        s = rng.random(600) < 0.5 + 0.1 * x.clip(-3, 3)
        found.append(as_table(STUDY, {"x": x, "y": y, "s": s.astype(float)}))
    return found


@pytest.fixture(scope="module")
def shared(federated_fit, sites):
    return federated_fit(STUDY, EDGES, sites).model


def slope(model):
    return model.effect("x", "y", (0.0, 1.0), samples=400, draws=5).estimate


def test_the_own_head_is_that_of_the_site(shared, sites):
    own = with_own_heads(shared, STUDY, sites[2], ["y"])
    assert slope(own) == pytest.approx(-2.0, abs=0.1)
    assert slope(shared) == pytest.approx(0.0, abs=0.3)


def test_the_other_mechanisms_stay_bit_for_bit(shared, sites):
    own = with_own_heads(shared, STUDY, sites[2], ["y"])
    for name in ("x", "s"):
        assert own.engine.mechanisms[name] is shared.engine.mechanisms[name]
    assert own.sample(50, seed=1)[["x", "s"]].equals(shared.sample(50, seed=1)[["x", "s"]])


def test_levels_have_heads_too(shared, sites):
    own = with_own_heads(shared, STUDY, sites[0], ["s"])
    assert own.engine.mechanisms["y"] is shared.engine.mechanisms["y"]
    assert np.isfinite(own.effect("x", "s", (0.0, 1.0), samples=200, draws=5).estimate)


def flow_spec():
    return NodeFlowSpec.from_schema(STUDY.schema(), EDGES, hidden=4, bins=3)


def test_a_flow_s_head_is_trained_and_the_rest_is_shared(shared, sites):
    flow = build(flow_spec(), 0)
    model = from_nodeflow(flow, shared.graph, shared.schema)
    own = with_own_heads(model, STUDY, sites[2], ["y"])
    assert slope(own) < -1.0
    assert own.sample(50, seed=1)[["x", "s"]].equals(model.sample(50, seed=1)[["x", "s"]])


def test_nodes_are_taken_from_one_vector_into_another():
    spec = flow_spec()
    first, second = (to_vector(build(spec, seed)) for seed in (0, 1))
    assert np.array_equal(with_nodes(spec, first, second, spec.names), second)
    assert np.array_equal(with_nodes(spec, first, second, []), first)


def test_unknown_nodes_and_ensembles_are_refused(shared, sites):
    with pytest.raises(InputError, match="expected some of"):
        with_own_heads(shared, STUDY, sites[0], ["z"])
    with pytest.raises(InputError, match="got none"):
        with_own_heads(shared, STUDY, sites[0], [])
    ensemble = from_members([build(flow_spec(), k) for k in (0, 1)], shared.graph, shared.schema)
    assert isinstance(ensemble.engine, EnsembleModel)
    with pytest.raises(InputError, match="ensemble"):
        with_own_heads(ensemble, STUDY, sites[0], ["y"])
