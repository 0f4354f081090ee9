"""Predicted half-widths against the errors of simulated studies."""

import math

import numpy as np
import pytest

from fedcausal.model.gram_model import GramModel
from fedcausal.private.effects_planning import Z_95, plan_effects

SITES, ROWS = 5, 1000
EFFECT, REST = 2.0, 2.0


def _rows(num_rows, rng):
    """Smooth mechanisms; half of the pressure is explained, as the plan assumes."""
    age = rng.normal(size=num_rows).clip(-4, 4)
    sex = rng.integers(0, 2, num_rows).astype(float)
    chance = 1 / (1 + np.exp(-(0.8 * age + 0.5 * sex - 0.25)))
    drug = (rng.random(num_rows) < chance) * 1.0
    mean = age + 0.3 * np.sin(age) + 0.6 * sex + drug * (EFFECT + 0.3 * age)
    pressure = (mean + REST * rng.normal(size=num_rows)).clip(-12, 12)
    return {"age": age, "sex": sex, "drug": drug, "pressure": pressure}


def _model_effect(state):
    engine = GramModel(
        graph=state.discovery.model_dag(),
        schema=state.study.schema(),
        mechanisms=state.mechanisms,
    )
    first, last = (
        engine.sample(4000, do={"drug": value}, rng=np.random.default_rng(0))["pressure"].mean()
        for value in (0.0, 1.0)
    )
    return last - first


@pytest.mark.parametrize(
    ("privacy", "studies"),
    [
        pytest.param({"effects": {"epsilon": 1.0}}, 8, id="effects"),
        pytest.param({"model": {"epsilon": 1.0}}, 40, id="model"),
        pytest.param({"effects": {"epsilon": 0.3}}, 24, id="little", marks=pytest.mark.slow),
        pytest.param(
            {"effects": {"epsilon": 3.0}, "model": {"epsilon": 3.0}},
            24,
            id="both",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_predicted_half_width_is_what_happens(
    privacy, studies, confounded, as_table, noisy_walk, seeded_noise
):
    """Within a factor of 1.5 of what studies show, all of whose draws are seeded.

    Of the model that is 1.96 times the root mean square error (standard error 11 to 25 %), of the
    second estimate the median of the half-widths that its intervals have.
    """
    study = confounded.study(privacy=privacy)
    spread = _rows(100_000, np.random.default_rng(7))["pressure"].std()
    models, seconds = [], []
    for seed in range(70, 70 + studies):
        rng = np.random.default_rng(seed)
        sites = [as_table(study, _rows(ROWS, rng)) for _ in range(SITES)]
        state = noisy_walk(study, sites, seeded_noise(seed), seed=seed)
        models.append(_model_effect(state) - EFFECT)
        seconds += [np.ptp(found.interval) / 2 for found in state.second_estimates.values()]
    (plan,) = plan_effects(study, num_records=SITES * ROWS, num_sites=SITES)
    observed = Z_95 * math.sqrt(np.mean(np.square(models))) / spread
    assert 1 / 1.5 < plan.model_half_width / observed < 1.5
    assert (plan.second_half_width is None) is (not seconds)
    if seconds:
        observed = np.median(seconds) / spread
        assert 1 / 1.5 < plan.second_half_width / observed < 1.5


def test_more_budget_or_more_records_mean_narrower_answers(confounded):
    def half(epsilon, records):
        study = confounded.study(privacy={"effects": {"epsilon": epsilon}})
        return plan_effects(study, num_records=records, num_sites=5)[0]

    for attribute in ("model_half_width", "second_half_width", "second_noise"):
        found = [getattr(half(*each), attribute) for each in ((0.3, 2000), (1, 2000), (1, 9000))]
        assert found[0] > found[1] > found[2] > 0


def test_without_an_epsilon_nothing_is_predicted(confounded):
    assert plan_effects(confounded.study(), num_records=1000, num_sites=5) == ()


def test_a_trained_flow_has_no_predicted_answer(confounded):
    privacy = {"model": {"epsilon": 3.0}, "effects": {"epsilon": 3.0}}
    study = confounded.study(privacy=privacy, model={"family": "nodeflow"})
    (plan,) = plan_effects(study, num_records=1000, num_sites=5)
    assert plan.model_half_width is None
    assert plan.half_width == plan.second_half_width > 0


def test_a_number_has_no_second_estimate_and_is_judged_by_its_contrast(confounded):
    def plan(values, epsilon=1.0):
        queries = [{"treatment": "age", "outcome": "pressure", "values": values}]
        study = confounded.study(
            privacy={"effects": {"epsilon": epsilon}}, effects={"queries": queries}
        )
        return plan_effects(study, num_records=5000, num_sites=5)[0]

    near, far = plan([0, 1]), plan([-2, 2])
    assert near.second_half_width is None
    assert far.model_half_width == pytest.approx(4 * near.model_half_width)
    assert (near.contrast, far.contrast) == pytest.approx((0.5, 2.0))
    assert (near.is_weak, far.is_weak) == (False, False)
    assert plan([0, 1], 0.02).is_hopeless
    assert plan([-2, 2], 0.02).is_hopeless
