"""The public plan of training: steps, noise, and what a loss after every round costs."""

from types import SimpleNamespace

import pytest

from fedcausal.model.training_plan import training_plan
from fedcausal.model.validation import LossKind
from fedcausal_privacy.dp.accountant import epsilon_of

OPTIONS = {
    "rounds": 4,
    "local_epochs": 2,
    "batch": 32,
    "sample_rate": 0.3,
    "learning_rate": 0.02,
    "clip": 1.0,
    "update_clip": 1.0,
    "device": "cpu",
    "strategy": "fedavg",
    "proximal_mu": 0.1,
    "patience": 0,
    "held_out": 0.2,
    "members": 1,
}


def plan_of(epsilon=None, **changes):
    return training_plan(SimpleNamespace(**{**OPTIONS, **changes}), epsilon=epsilon, delta=1e-5)


def test_early_stopping_is_paid_for_within_the_same_epsilon():
    plan = plan_of(epsilon=3.0, patience=1)
    event = LossKind().event(plan)
    total = epsilon_of([plan.event(), event] * plan.rounds, 1e-5)
    assert 2.0 < total <= 3.0
    alone = epsilon_of([event] * plan.rounds, 1e-5)
    assert 0.2 < alone <= 0.3 * 1.01
    assert plan.noise_multiplier > plan_of(epsilon=3.0).noise_multiplier


def test_without_patience_nothing_is_held_out_and_nothing_is_paid():
    assert plan_of(epsilon=3.0).check_multiplier is None
    assert (plan_of().held_out, plan_of(patience=2).held_out) == (0.0, 0.2)
    assert LossKind().event(plan_of(patience=2)) is None


@pytest.mark.parametrize(("strategy", "mu"), [("fedavg", 0.0), ("fedprox", 0.1), ("fedadam", 0.0)])
def test_only_fedprox_draws_weights_back(strategy, mu):
    assert plan_of(strategy=strategy).proximal_mu == mu
