"""Spreads of many nodes at once are those of each node."""

import numpy as np

from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.scaling import scaling_of


def test_factors_are_those_of_the_mechanisms(uneven, uneven_truth):
    model = uneven["by-parents"][-1].model
    columns, _ = uneven_truth[0](6, np.random.default_rng(0))
    columns["x"][0] = 99.0
    names = list(model.graph.nodes)
    found = scaling_of([model.engine.mechanisms[n] for n in names], names)
    values = np.array([columns[name] for name in names])
    factors = found.factors(values, np.arange(len(names)))
    for row, name in enumerate(names):
        own = model.engine.mechanisms[name]
        scaled = isinstance(own, ScaledNoiseMechanism)
        expected = own.spread.factors(columns) if scaled else np.ones(6)
        np.testing.assert_allclose(factors[row], expected, rtol=1e-11)


def test_constant_noise_has_no_scaling(uneven):
    engine = uneven["constant"][-1].model.engine
    names = list(engine.names)
    assert scaling_of([engine.mechanisms[n] for n in names], names) is None


def test_few_records_are_answered_as_many_are(uneven):
    model = uneven["by-parents"][-1].model
    frame = model.sample(40, seed=5)
    many = model.counterfactual(frame, do={"x": 1.5})
    for k in (0, 7, 39):
        alone = model.counterfactual(frame.iloc[[k]], do={"x": 1.5})
        for name in ("y", "z"):
            np.testing.assert_allclose(alone[name], many[name].iloc[[k]], rtol=1e-10)
