"""A mechanism with scaled noise: exact inverse, density, and counterfactuals against the truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from fedcausal.model.artifact import load, save
from fedcausal.model.card import model_card
from fedcausal.model.scaled_noise import ScaledNoiseMechanism


@pytest.fixture(scope="module")
def models(uneven):
    return {variance: states[-1].model for variance, states in uneven.items()}


@pytest.fixture(scope="module")
def facts(uneven_truth):
    rows, _, _ = uneven_truth
    return rows(3000, np.random.default_rng(7))


def test_abduction_is_undone_exactly(models, facts):
    columns, _ = facts
    own, rng = models["by-parents"].engine.mechanisms["y"], np.random.default_rng(0)
    assert isinstance(own, ScaledNoiseMechanism)
    back = own.predict(own.abduct(columns["y"], columns, rng), columns)
    np.testing.assert_allclose(back, columns["y"], atol=1e-12)


def test_the_density_integrates_to_one(models):
    own = models["by-parents"].engine.mechanisms["y"]
    grid = np.linspace(-40.0, 40.0, 400_001)
    for x, g in ((-2.0, 0.0), (0.0, 1.0), (2.0, 0.0)):
        parents = {"x": np.full_like(grid, x), "g": np.full_like(grid, g)}
        mass = trapezoid(np.exp(own.log_prob(grid, parents)), grid)
        # empty bins count as half a record over the whole width
        assert mass == pytest.approx(1.0, abs=0.02)


def test_counterfactuals_and_quantiles_come_near_the_truth(models, facts, uneven_truth):
    columns, noise = facts
    _, mean, spread = uneven_truth
    moved = np.clip(columns["x"] - 1.0, -5, 5)
    truth = mean(moved, columns["g"]) + spread(moved, columns["g"]) * noise
    errors = {}
    for variance, model in models.items():
        own, rng = model.engine.mechanisms["y"], np.random.default_rng(0)
        told = own.predict(own.abduct(columns["y"], columns, rng), {**columns, "x": moved})
        errors[variance] = np.sqrt(np.mean((told - truth) ** 2)) / columns["y"].std()
    assert errors["by-parents"] < 0.06
    assert errors["by-parents"] < 0.35 * errors["constant"]
    drawn = models["by-parents"].sample(40_000, do={"x": 1.0, "g": "1"}, seed=1)["y"]
    exact = mean(1.0, 1.0) + spread(1.0, 1.0) * np.array([-1.6449, 0.0, 1.6449])
    np.testing.assert_allclose(np.quantile(drawn, [0.05, 0.5, 0.95]), exact, atol=0.2)


def test_the_model_is_nearer_to_the_true_law(models, facts, uneven_truth):
    columns, noise = facts
    _, _, spread = uneven_truth
    truth = -0.5 * noise**2 - np.log(spread(columns["x"], columns["g"])) - 0.5 * np.log(2 * np.pi)
    lost = {
        v: float(np.mean(truth - m.engine.mechanisms["y"].log_prob(columns["y"], columns)))
        for v, m in models.items()
    }
    assert lost["by-parents"] < 0.03 < 0.15 < lost["constant"]


def test_what_does_not_descend_stays_and_nothing_done_is_nothing_changed(models):
    model = models["by-parents"]
    frame = model.sample(30, seed=2)
    for size in (3, 30):
        few = frame.head(size)
        answer = model.counterfactual(few, do={"y": 1.0})
        pd.testing.assert_frame_equal(answer[["g", "x"]], few[["g", "x"]])
        same = model.counterfactual(few, do={"g": "1"})
        held = few["g"] == "1"
        pd.testing.assert_frame_equal(same[held], few[held])


def test_an_artifact_keeps_the_spread(models, tmp_path):
    model = models["by-parents"]
    save([model], tmp_path)
    found, frame = load(tmp_path), model.sample(40, seed=3)
    for size in (4, 40):
        pd.testing.assert_frame_equal(
            found.counterfactual(frame.head(size), do={"x": 1.0}),
            model.counterfactual(frame.head(size), do={"x": 1.0}),
        )
    pd.testing.assert_frame_equal(found.log_prob(frame), model.log_prob(frame))
    nodes = {node["node"]: node["form"] for node in model_card(tmp_path)["families"]["gram"]}
    assert nodes["y"].endswith("spread: of the parents")
    assert "spread" not in nodes["z"]
