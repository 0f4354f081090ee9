"""The laws of interventions, for both families of models."""

import numpy as np
import pytest

from fedcausal.model.mechanics import push
from fedcausal.model.nodeflow_model import NodeFlowModel


def constant(value):
    return lambda natural: np.full(len(natural), value)


def cases(mixed_fit, flow):
    """Engine, two nodes to act upon, one of them below the other, and values for them."""
    return {
        "gram": (mixed_fit.model.engine, {"drug": 1.0, "pressure": 3.0}),
        "nodeflow": (NodeFlowModel(flow=flow), {"b": 1.0, "c": 3.0}),
    }


@pytest.fixture(params=["gram", "nodeflow"])
def case(request, mixed_fit, mixed_flow):
    return cases(mixed_fit, mixed_flow)[request.param]


def noise_of(engine, seed=0, size=300):
    mechanics = engine.mechanics()
    return mechanics, mechanics.draw_noise(size, np.random.default_rng(seed))


def test_node_by_node_gives_what_the_engine_gives(case):
    engine, do = case
    mechanics, noise = noise_of(engine)
    for action in ({}, do):
        whole = engine.sample(300, do=action, rng=np.random.default_rng(0))
        parts = push(mechanics, noise, {n: constant(v) for n, v in action.items()})
        for name in engine.names:
            np.testing.assert_allclose(parts[name], whole[name], rtol=0, atol=1e-9)


def test_effectiveness_two_nodes_at_once_are_exact(case):
    engine, do = case
    mechanics, noise = noise_of(engine)
    acted = push(mechanics, noise, {n: constant(v) for n, v in do.items()})
    for name, value in do.items():
        assert (acted[name] == value).all()


def test_composition_setting_what_would_have_been_changes_nothing(case):
    engine, do = case
    mechanics, noise = noise_of(engine)
    plain = push(mechanics, noise)
    again = push(mechanics, noise, {n: lambda _, n=n: plain[n] for n in do})
    for name in engine.names:
        np.testing.assert_array_equal(again[name], plain[name])


def test_consistency_abducted_noise_gives_the_records_back(case):
    engine, _ = case
    mechanics, noise = noise_of(engine)
    plain = push(mechanics, noise)
    again = push(mechanics, mechanics.abduct(plain, np.random.default_rng(1)))
    for name in engine.names:
        np.testing.assert_allclose(again[name], plain[name], rtol=0, atol=1e-6)


def test_non_descendants_stay_bit_for_bit(case):
    engine, do = case
    mechanics, noise = noise_of(engine)
    plain = push(mechanics, noise)
    for name, value in do.items():
        acted = push(mechanics, noise, {name: constant(value)})
        below = {name}
        for node in mechanics.order:
            if below & set(mechanics.parents(node)):
                below.add(node)
        assert below != set(engine.names)
        for node in set(engine.names) - below:
            np.testing.assert_array_equal(acted[node], plain[node])


def test_an_action_sees_the_world_that_another_action_made(case):
    engine, do = case
    mechanics, noise = noise_of(engine)
    upper, lower = do
    acted = push(mechanics, noise, {upper: constant(do[upper])})
    shifted = push(
        mechanics, noise, {upper: constant(do[upper]), lower: lambda natural: natural + 1.0}
    )
    np.testing.assert_allclose(shifted[lower], acted[lower] + 1.0)
