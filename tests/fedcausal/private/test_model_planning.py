"""The plan of the model against noisy fits, and what is told of a training."""

import numpy as np
import pytest

from fedcausal.model.gram_model import GramModel
from fedcausal.private.model_planning import plan_model
from fedcausal.study import Study

NAMES = tuple("abcde")
CHAIN = "digraph {a -> b; b -> c; c -> d; d -> e}"


def _study(epsilon=1.0, **sections):
    content = {
        "variables": {name: {"kind": "continuous", "bounds": [-4, 4]} for name in NAMES},
        "knowledge": {"graph": CHAIN},
        "discovery": {"site_effects": "pool", "votes": False},
        "model": {"family": "gram", "degree": 1},
        "privacy": {"model": {"epsilon": epsilon}},
    }
    return Study.model_validate({**content, **sections})


def _rows(num_rows, rng):
    """A chain of unit variances, half of each variable explained."""
    rows = rng.standard_normal((num_rows, len(NAMES)))
    for j in range(1, len(NAMES)):
        rows[:, j] = np.sqrt(0.5) * (rows[:, j - 1] + rows[:, j])
    return rows.clip(-4, 4)


def test_the_predicted_error_is_what_noise_makes(as_table, noisy_walk, seeded_noise):
    """Within a factor of 1.5 of fitted means less those without noise, over 8 seeded studies."""
    study, errors = _study(), []
    columns = {name: _rows(500, np.random.default_rng(1))[:, k] for k, name in enumerate(NAMES)}

    def means(sites, source):
        state = noisy_walk(study, sites, source)
        engine = GramModel(
            graph=state.discovery.model_dag(), schema=study.schema(), mechanisms=state.mechanisms
        )
        # Scaled means of a column within [-4, 4]: a quarter of its units.
        return np.array([4 * engine.mechanisms[n].mean(columns) for n in NAMES[1:]])

    for seed in range(8):
        rows = np.array_split(_rows(4000, np.random.default_rng(seed)), 4)
        sites = [as_table(study, dict(zip(NAMES, part.T, strict=True))) for part in rows]
        silent = means(sites, lambda scales: np.zeros(scales.size, dtype=np.int64))
        errors.append(np.square(means(sites, seeded_noise(seed)) - silent).mean())
    plan = plan_model(study, num_records=4000, num_sites=4)
    assert 1 / 1.5 < plan.closed_form.error / np.sqrt(np.mean(errors)) < 1.5


def test_the_records_needed_are_enough():
    study = _study(epsilon=0.02)
    before = plan_model(study, num_records=2000, num_sites=4).closed_form
    assert before.is_hopeless
    after = plan_model(study, num_records=before.records_needed, num_sites=4).closed_form
    assert not after.is_weak
    between = plan_model(study, num_records=before.records_needed // 2, num_sites=4).closed_form
    assert (between.is_weak, between.is_hopeless) == (True, False)


def test_without_an_epsilon_there_is_no_plan():
    assert plan_model(_study(privacy={}), num_records=1000, num_sites=4) is None


def test_the_signal_of_a_training_grows_with_records_sites_and_budget():
    def signal(epsilon, records, sites):
        plan = plan_model(
            _study(epsilon, model={"family": "nodeflow"}), num_records=records, num_sites=sites
        )
        assert plan.closed_form is None
        assert plan.to_json()["predicts_accuracy"] is False
        return plan.trained_flow

    few, more = signal(1.0, 1000, 4), signal(1.0, 2000, 4)
    assert more.signal == pytest.approx(2 * few.signal)
    assert signal(3.0, 1000, 4).signal > few.signal
    assert few.signal == pytest.approx(few.step_signal * (few.steps * 4) ** 0.5)
    assert not signal(1.0, few.records_needed, 4).is_weak
    assert signal(0.01, 1000, 4).is_hopeless


def test_an_ensemble_shares_the_signal():
    alone, four = (
        plan_model(
            _study(model={"family": "nodeflow", "members": members}),
            num_records=1000,
            num_sites=4,
        ).trained_flow
        for members in (1, 4)
    )
    assert four.num_parameters == 4 * alone.num_parameters
    assert four.signal == pytest.approx(alone.signal / 2)


def test_a_variable_without_bounds_is_planned_for():
    variables = {name: {"kind": "continuous"} for name in NAMES}
    plan = plan_model(_study(variables=variables, model={}), num_records=1000, num_sites=4)
    assert "no public bounds" in plan.reason
    assert plan.trained_flow.signal > 0
