"""Declared transforms: inverses, slopes, and a heavy-tailed study against its closed form."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from fedcausal.errors import InputError, StudyError
from fedcausal.model.artifact import load, save
from fedcausal.model.card import model_card
from fedcausal.model.family_basis import log_unit, scale, unscale
from fedcausal.model.onnx_export import export_onnx
from fedcausal.study import Study
from fedcausal.transform import Transform, Warped, inner, warp

LOG = Warped((0.5, 2000.0), Transform.LOG)
ASINH = Warped((-300.0, 5000.0), Transform.ASINH)

VARIABLES = {
    "drug": {"kind": "binary"},
    "income": {"kind": "continuous", "bounds": [0.001, 1e5], "transform": "log"},
    "cost": {"kind": "continuous", "bounds": [1e-4, 1e6], "transform": "log"},
}
QUERY = {"treatment": "drug", "outcome": "cost", "values": ["0", "1"]}
NOISE = 0.3
EFFECT = 0.4


def rows(size, rng):
    """log cost = 0.5 log income + 0.4 drug + noise; income is lognormal over 4 decades."""
    income = np.exp(1.2 * rng.standard_normal(size))
    drug = (rng.random(size) < 0.3 + 0.4 * (income > 1)) * 1.0
    noise = NOISE * rng.standard_normal(size)
    cost = 3.0 * np.sqrt(income) * np.exp(EFFECT * drug + noise)
    return {"income": income, "drug": drug, "cost": cost}


def study_of(transformed=True, **sections):
    own = {
        name: {k: v for k, v in spec.items() if transformed or k != "transform"}
        for name, spec in VARIABLES.items()
    }
    return Study.model_validate(
        {
            "variables": own,
            "knowledge": {"graph": "dag { income -> drug income -> cost drug -> cost }"},
            "effects": {"queries": [QUERY], "draws": 50, "samples": 20_000},
            **sections,
        }
    )


@pytest.fixture(scope="module")
def states(walk, as_table):
    rng = np.random.default_rng(0)
    parts = [rows(3000, rng) for _ in range(3)]
    found = {}
    for transformed in (True, False):
        study = study_of(transformed)
        found[transformed] = walk(study, [as_table(study, part) for part in parts])[-1]
    return found


@pytest.mark.parametrize("interval", [LOG, ASINH])
def test_ranges_are_undone(interval):
    values = np.linspace(interval[0], interval[1], 1001)
    np.testing.assert_allclose(interval.back(interval.forward(values)), values, rtol=1e-12)
    scaled = scale(values, interval)
    assert scaled[0] == pytest.approx(-1.0)
    assert scaled[-1] == pytest.approx(1.0)
    np.testing.assert_allclose(unscale(scaled, interval), values, rtol=1e-9, atol=1e-9)
    low, high = inner(interval)
    np.testing.assert_allclose(warp(values, interval)[[0, -1]], [low, high])


@pytest.mark.parametrize("interval", [LOG, ASINH, (-3.0, 5.0)])
def test_the_unit_is_the_slope_of_the_scale(interval):
    values = np.linspace(interval[0] + 1.0, interval[1] - 1.0, 50)
    step = 1e-6 * np.maximum(np.abs(values), 1.0)
    slope = (scale(values + step, interval) - scale(values - step, interval)) / (2 * step)
    np.testing.assert_allclose(np.exp(log_unit(values, interval)) * slope, 1.0, rtol=1e-5)


def test_numbers_outside_the_domain_are_held():
    assert np.isfinite(scale(np.array([0.0, -5.0]), LOG)).all()
    assert (scale(np.array([0.0, -5.0, 0.4]), LOG) < -1.0).all()
    assert np.isnan(scale(np.array([np.nan]), LOG)).all()
    assert np.isfinite(unscale(np.array([-1e6, 1e6]), ASINH)).all()


def test_a_logarithm_needs_positive_bounds():
    with pytest.raises(InputError, match="bounds above 0"):
        Warped((0.0, 1.0), Transform.LOG)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bounds": [0.0, 5.0]}, "bounds above 0"),
        ({"bounds": None}, "needs public bounds"),
        ({"kind": "ordinal", "bounds": [1, 5]}, "not ordinal ones"),
        ({"transform": "sqrt"}, '"log" or "asinh"'),
    ],
)
def test_what_cannot_be_transformed_is_refused(change, said):
    own = {k: v for k, v in {**VARIABLES["cost"], **change}.items() if v is not None}
    with pytest.raises(StudyError, match=said):
        Study.model_validate({"variables": {**VARIABLES, "cost": own}})


@pytest.mark.parametrize(
    "sections",
    [
        {"privacy": {"model": {"epsilon": 1.0}}},
        {"privacy": {"effects": {"epsilon": 1.0}}},
        {"model": {"family": "nodeflow"}},
    ],
)
def test_a_transform_is_of_the_exact_closed_form(sections):
    with pytest.raises(StudyError, match=r"variables\.(cost|income)\.transform"):
        study_of(**sections)


def test_the_schema_says_so_only_where_it_is(mixed_study):
    told = {v["name"]: v.get("transform") for v in study_of().schema().to_json()}
    assert told == {"cost": "log", "drug": None, "income": "log"}
    assert all("transform" not in v for v in mixed_study.schema().to_json())


def test_counterfactuals_are_those_of_the_truth(states):
    facts = pd.DataFrame(rows(500, np.random.default_rng(5)))
    facts["drug"] = facts["drug"].map({0.0: "0", 1.0: "1"})
    exact = facts["cost"] * np.sqrt(4.0 / facts["income"])
    errors = {}
    for transformed, state in states.items():
        told = state.model.counterfactual(facts, do={"income": 4.0, "drug": "1"})["cost"]
        truth = exact * np.exp(EFFECT * (facts["drug"] == "0"))
        errors[transformed] = np.median(np.abs(np.log(np.maximum(told, 1e-9) / truth)))
    assert errors[True] < 0.03
    assert errors[True] < 0.2 * errors[False]


def test_effects_are_in_declared_units(states):
    state = states[True]
    big = rows(2_000_000, np.random.default_rng(9))
    whole = 3.0 * np.sqrt(big["income"]) * np.exp(0.5 * NOISE**2)
    exact = float(np.mean(whole) * (np.exp(EFFECT) - 1.0))
    found = state.model.effect("drug", "cost", ("0", "1"), samples=40_000, seed=1)
    assert found.estimate == pytest.approx(exact, rel=0.04)
    second = state.second_estimates[0]
    assert second.estimate == pytest.approx(exact, rel=0.1)
    drawn = state.model.sample(40_000, do={"income": 9.0, "drug": "0"}, seed=2)["cost"]
    assert drawn.mean() == pytest.approx(9.0 * np.exp(0.5 * NOISE**2), rel=0.03)
    assert (drawn > 0).all()


def test_densities_are_per_declared_unit(states):
    own = states[True].model.engine.mechanisms["cost"]
    grid = np.exp(np.linspace(np.log(0.05), np.log(200.0), 100_001))
    parents = {"income": np.full_like(grid, 2.0), "drug": np.zeros_like(grid)}
    mass = trapezoid(np.exp(own.log_prob(grid, parents)), grid)
    assert mass == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("size", [3, 40])
def test_round_trips_and_untouched_variables(states, size):
    model = states[True].model
    frame = model.sample(size, seed=3)
    columns = {n: frame[n].to_numpy(dtype=float) for n in ("income", "cost")}
    columns["drug"] = (frame["drug"] == "1").to_numpy(dtype=float)
    own = model.engine.mechanisms["cost"]
    back = own.predict(own.abduct(columns["cost"], columns, np.random.default_rng(0)), columns)
    np.testing.assert_allclose(back, columns["cost"], rtol=1e-9)
    answer = model.counterfactual(frame, do={"drug": "1"})
    pd.testing.assert_series_equal(answer["income"], frame["income"])
    same = frame["drug"] == "1"
    pd.testing.assert_frame_equal(answer[same], frame[same])


def test_an_artifact_keeps_the_transform(states, tmp_path):
    model = states[True].model
    save([model], tmp_path)
    found = load(tmp_path)
    pd.testing.assert_frame_equal(found.sample(30, seed=4), model.sample(30, seed=4))
    nodes = {node["node"]: node for node in model_card(tmp_path)["families"]["gram"]}
    assert nodes["cost"]["transform"] == "log"
    assert nodes["cost"]["form"].startswith("mean of its log")
    assert "residual_sd" not in nodes["cost"]
    with pytest.raises(InputError, match="have a transform"):
        export_onnx(model, tmp_path / "m.onnx", "sample")


def test_a_record_outside_its_range_is_refused(as_table):
    from fedcausal.errors import DataError
    from fedcausal.model.families import Families, families_request

    study = study_of()
    bad = {"income": np.array([-1.0, 2.0]), "drug": np.zeros(2), "cost": np.ones(2)}
    request = families_request([("income", "cost")], study.schema().names, {})
    with pytest.raises(DataError, match="income: 1 rows lie outside"):
        Families().compute(study, request, as_table(study, bad), np.random.default_rng(0))
