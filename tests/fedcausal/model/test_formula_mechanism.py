"""Deterministic variables: exact, without noise, on disk and in every question."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import GraphError, InputError
from fedcausal.model.artifact import load, save
from fedcausal.model.formula import Formula
from fedcausal.model.formula_mechanism import FormulaMechanism, with_formulas
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "height": {"kind": "continuous", "bounds": [1.0, 2.5]},
            "weight": {"kind": "continuous", "bounds": [20.0, 200.0]},
            "bmi": {"kind": "continuous", "bounds": [5.0, 100.0]},
            "pressure": {"kind": "continuous", "bounds": [50.0, 250.0]},
        },
        "model": {"family": "gram", "degree": 1, "knots": 0},
    }
)
EDGES = [("height", "weight"), ("height", "bmi"), ("weight", "bmi"), ("bmi", "pressure")]


@pytest.fixture(scope="module")
def fitted(as_table, federated_fit):
    rng = np.random.default_rng(0)
    height = rng.normal(1.7, 0.1, 900).clip(1.4, 2.1)
    weight = 70 + 70 * (height - 1.7) + rng.normal(0, 8, 900).clip(-20, 20)
    bmi = weight / height**2
    pressure = 80 + 2 * bmi + rng.normal(0, 5, 900)
    columns = {"height": height, "weight": weight, "bmi": bmi, "pressure": pressure}
    parts = [{n: c[k::3] for n, c in columns.items()} for k in range(3)]
    return federated_fit(STUDY, EDGES, [as_table(STUDY, part) for part in parts]).model


@pytest.fixture(scope="module")
def model(fitted):
    formulas = {"bmi": Formula.parse("weight / height ** 2")}
    mechanisms = with_formulas(fitted.engine.mechanisms, formulas)
    return fitted.with_mechanism("bmi", mechanisms["bmi"])


def test_drawn_records_keep_the_formula_under_every_action(model):
    for do in ({}, {"height": 1.6}, {"weight": 90.0, "height": 1.8}):
        drawn = model.sample(200, do=do, seed=1)
        assert drawn["bmi"].to_numpy() == pytest.approx(drawn["weight"] / drawn["height"] ** 2)


def test_a_rounded_record_keeps_its_rounding(model):
    frame = pd.DataFrame({"height": [1.8], "weight": [81.0], "bmi": [25.1], "pressure": [130.0]})
    changed = model.counterfactual(frame, do={"weight": 97.2})
    assert changed["bmi"].iloc[0] == pytest.approx(30.0 + 0.1)
    assert model.counterfactual(frame, do={"pressure": 120.0})["bmi"].iloc[0] == 25.1


def test_a_density_says_whether_the_formula_holds(model):
    frame = pd.DataFrame(
        {
            "height": [2.0, 2.0],
            "weight": [80.0, 80.0],
            "bmi": [20.0, 21.0],
            "pressure": [99.0, 99.0],
        }
    )
    assert list(model.log_prob(frame)["bmi"]) == [0.0, -np.inf]


def test_effects_run_through_it(model):
    found = model.effect("weight", "pressure", (60.0, 80.0), samples=500, draws=10)
    assert found.estimate == pytest.approx(2 * 20 / 1.7**2, rel=0.1)


def test_it_survives_the_disk(model, tmp_path):
    save([model], tmp_path)
    again = load(tmp_path)
    assert isinstance(again.engine.mechanisms["bmi"], FormulaMechanism)
    assert again.sample(20, seed=3).equals(model.sample(20, seed=3))


def test_ones_own_mechanism_keeps_the_graph_and_the_interface(model):
    class Doubled(FormulaMechanism):
        def predict(self, noise, parents):
            return 2.0 * super().predict(noise, parents)

        def abduct(self, value, parents, rng):
            return super().abduct(value / 2.0, parents, rng)

    shared = model.engine.mechanisms["bmi"]
    own = model.with_mechanism("bmi", Doubled(family=shared.family, formula=shared.formula))
    assert np.allclose(own.sample(9, seed=1)["bmi"], 2 * model.sample(9, seed=1)["bmi"])
    with pytest.raises(GraphError, match="other parents"):
        model.with_mechanism("weight", shared)
    with pytest.raises(InputError, match="closed form"):
        model.with_mechanism("age", shared)
