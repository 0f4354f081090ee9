"""Flower's strategies on a secure sum: the mean of one reply, and memory from round to round."""

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg, FedProx

from fedcausal.study import Study
from fedcausal_server.strategies import server_step, strategy_of

WEIGHTS = np.linspace(-1.0, 1.0, 7, dtype=np.float32)
MEAN = WEIGHTS + np.float32(0.25) * np.sign(WEIGHTS)


def study_of(strategy, **model):
    return Study.model_validate(
        {
            "variables": {"x": {"kind": "binary"}, "y": {"kind": "binary"}},
            "model": {"strategy": strategy, **model},
        }
    )


def rounds(study, count):
    step, weights, memory = server_step(study), WEIGHTS, {}
    for index in range(count):
        mean = (weights + (MEAN - WEIGHTS)).astype(np.float32)
        weights, memory = step(weights, mean, round_index=index, memory=memory)
    return weights, memory


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox"])
def test_the_mean_of_the_secure_sum_is_taken_as_it_is(strategy):
    weights, memory = rounds(study_of(strategy), 1)
    assert np.array_equal(weights, MEAN)
    assert weights.dtype == np.float32
    assert not memory


def test_fedprox_is_flowers_own_with_the_studys_number():
    found = strategy_of(study_of("fedprox", proximal_mu=0.3).model)
    assert isinstance(found, FedProx)
    assert found.proximal_mu == 0.3
    assert type(strategy_of(study_of("fedavg").model)) is FedAvg


def test_momentum_is_carried_from_round_to_round():
    """v <- m v + (mean - weights), weights <- weights + v (Hsu et al. 2019)."""
    weights, _ = rounds(study_of("fedavgm", server_momentum=0.5), 2)
    step = MEAN - WEIGHTS
    assert weights == pytest.approx(WEIGHTS + step + 1.5 * step, abs=1e-6)


@pytest.mark.parametrize("strategy", ["fedadam", "fedyogi", "fedadagrad"])
def test_adaptive_steps_keep_their_moments(strategy):
    """A second round with a memory differs from a second round without one."""
    study = study_of(strategy)
    weights, memory = rounds(study, 1)
    assert set(memory) == {"m_t", "v_t"}
    assert (np.sign(weights - WEIGHTS) == np.sign(MEAN - WEIGHTS)).all()
    mean = (weights + (MEAN - WEIGHTS)).astype(np.float32)
    carried, _ = server_step(study)(weights, mean, round_index=1, memory=memory)
    forgotten, _ = server_step(study)(weights, mean, round_index=1, memory={})
    assert not np.array_equal(carried, forgotten)


def test_a_replayed_round_gives_the_same_weights():
    first, again = (rounds(study_of("fedadam", server_rate=0.05), 3)[0] for _ in range(2))
    assert np.array_equal(first, again)
