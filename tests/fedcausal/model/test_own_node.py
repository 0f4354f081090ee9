"""A user's own mechanism among the others: the laws of every mechanism, and broken packages."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fedcausal.effects.effect import effect
from fedcausal.errors import FedCausalError, InputError
from fedcausal.model.artifact import load, save
from fedcausal.model.card import model_card
from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.onnx_export import export_onnx
from fedcausal.model.own_mechanism import OwnTotals
from fedcausal.model.own_node import OwnNode, fit_own, own_mechanism, own_variable
from fedcausal.study import Study
from tests.own_package import install

STUDY = Study.model_validate(
    {
        "variables": {
            "arm": {"kind": "binary"},
            "age": {"kind": "continuous", "bounds": [20, 90]},
            "cost": {"kind": "continuous", "bounds": [1, 1e5]},
            "later": {"kind": "continuous", "bounds": [-10, 30]},
        },
        "model": {"knots": 0, "degree": 1},
    }
)
EDGES = [("age", "cost"), ("arm", "cost"), ("cost", "later"), ("age", "arm")]


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    return install(tmp_path / "installed", monkeypatch)


def rows(size, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 90, size)
    arm = (rng.random(size) < 1 / (1 + np.exp((55 - age) / 20))) * 1.0
    cost = np.exp(3 + 0.03 * age - 0.5 * arm + 0.4 * rng.normal(size=size)).clip(1, 1e5)
    later = (cost / 200 + rng.normal(size=size)).clip(-10, 30)
    return {"age": age, "arm": arm, "cost": cost, "later": later}


def fitted(columns, name="log-linear"):
    """Fitted to pooled sums of unrounded features."""
    schema = STUDY.schema()
    ranges = {v.name: v.bounds for v in schema if v.bounds}
    family = family_of_degree(schema, "cost", ["age", "arm"], ranges=ranges, degree=1)
    about = own_variable(family, {"age": 0, "arm": 2})
    own = own_mechanism(name, "1", about)
    parents = {"age": columns["age"], "arm": columns["arm"]}
    found = np.asarray(own.features(columns["cost"], parents), dtype=float)
    totals = OwnTotals(num_records=len(found), sums=found.sum(axis=0), products=found.T @ found)
    return fit_own(name, "1", own, family=family, totals=totals)


@pytest.fixture
def model(as_table, federated_fit, package):
    columns = rows(1800)
    parts = [{n: c[k::3] for n, c in columns.items()} for k in range(3)]
    plain = federated_fit(STUDY, EDGES, [as_table(STUDY, part) for part in parts]).model
    return plain.with_mechanism("cost", fitted(columns))


def test_prediction_undoes_abduction(model):
    node, columns = model.engine.mechanisms["cost"], rows(500, seed=1)
    noise = node.abduct(columns["cost"], columns, np.random.default_rng(0))
    again = node.predict(noise, columns)
    assert again == pytest.approx(columns["cost"], rel=1e-9)
    assert node.abduct(again, columns, np.random.default_rng(0)) == pytest.approx(noise, abs=1e-9)


def test_worlds_of_many_draws_keep_their_shape(model):
    node, columns = model.engine.mechanisms["cost"], rows(7, seed=1)
    arm = np.array([[0.0] * 7, [1.0] * 7])
    found = node.predict(np.zeros(7), {"age": columns["age"], "arm": arm})
    assert found.shape == (2, 7)
    assert found[1] == pytest.approx(np.exp(-0.5) * found[0], rel=0.1)


def test_its_density_integrates_to_one(model):
    node = model.engine.mechanisms["cost"]
    grid = np.linspace(1, 20_000, 400_001)
    parents = {"age": np.full_like(grid, 50.0), "arm": np.ones_like(grid)}
    mass = np.trapezoid(np.exp(node.log_prob(grid, parents)), grid)
    assert mass == pytest.approx(1.0, abs=1e-4)


def test_actions_and_counterfactuals_follow_it(model):
    few, many = (model.sample(n, do={"arm": "1"}, seed=3) for n in (5, 4000))
    assert (many["arm"] == "1").all()
    assert np.log(many["cost"]).std() > 0.4
    for frame in (few, many):
        changed = model.counterfactual(frame, do={"arm": "0"})
        ratio = changed["cost"] / frame["cost"]
        # the law is one of ratios: the same for everybody
        assert ratio.to_numpy() == pytest.approx(ratio.iloc[0], rel=1e-9)
        assert ratio.iloc[0] == pytest.approx(np.exp(0.5), rel=0.1)
        pd.testing.assert_series_equal(changed["age"], frame["age"])
        same = model.counterfactual(frame, do={"arm": "1"})
        pd.testing.assert_frame_equal(same, frame, check_exact=True)


def test_an_effect_has_the_doubt_of_its_redraws(model):
    found = effect(model, "arm", "cost", ("0", "1"), draws=40, samples=1000, seed=0)
    low, high = found.interval
    assert low < found.estimate < high < 0


def test_it_is_saved_by_its_name_and_loaded_where_there_are_no_data(model, tmp_path):
    folder = tmp_path / "model"
    save([model], folder)
    found = load(folder)
    pd.testing.assert_frame_equal(found.sample(20, seed=2), model.sample(20, seed=2))
    frame = model.sample(30, seed=4)
    pd.testing.assert_frame_equal(found.log_prob(frame), model.log_prob(frame))
    forms = {node["node"]: node["form"] for node in model_card(folder)["families"]["gram"]}
    assert forms["cost"] == "log-linear 1 (a user's own)"
    with pytest.raises(InputError, match="cannot be exported: cost"):
        export_onnx(model, tmp_path / "cost.onnx", "sample")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fedcausal.errors import InputError\n"
        "from fedcausal.model.artifact import load\n"
        "folder, installed = sys.argv[1:]\n"
        "try:\n"
        "    load(Path(folder))\n"
        "except InputError as error:\n"
        "    print(error)\n"
        "sys.path.insert(0, installed)\n"
        "print(load(Path(folder)).sample(3, do={'age': 50.0}, seed=1)['cost'].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, folder, tmp_path / "installed"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    refusal, total = done.stdout.splitlines()
    assert "model.mechanisms.cost: no mechanism 'log-linear' is installed here" in refusal
    wanted = model.sample(3, do={"age": 50.0}, seed=1)["cost"].sum()
    assert float(total) == pytest.approx(wanted)


def test_a_folder_of_another_version_is_refused(model, tmp_path, package, monkeypatch):
    save([model], tmp_path / "model")
    monkeypatch.setattr(package.LogLinear, "version", "2")
    with pytest.raises(InputError, match="version '1' of the mechanism 'log-linear' is wanted"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raising", "'raising' of 'cost': fit raised ValueError"),
        ("forgetful", r"predict does not undo abduct \(off by"),
        ("undetermined", "its fit gave no named arrays of finite numbers"),
    ],
)
def test_a_package_that_breaks_the_contract_is_named(name, words):
    with pytest.raises(FedCausalError, match=words) as told:
        fitted(rows(300), name)
    assert "secret" not in str(told.value)


def test_a_question_to_a_mechanism_that_raises_names_it():
    node = fitted(rows(300), "later-raising")
    with pytest.raises(FedCausalError, match="'later-raising' of 'cost': redraw raised KeyError"):
        node.resampler()(np.random.default_rng(0))
    parents = {"age": np.array([50.0]), "arm": np.array([1.0])}
    with pytest.raises(FedCausalError, match="predict gave no 1 finite numbers"):
        node.predict(np.array([1e6]), parents)


def test_a_mechanism_of_no_known_kind_is_not_saved(model, tmp_path):
    class Other:
        def __init__(self, node):
            self.family = node.family

    odd = model.with_mechanism("cost", Other(model.engine.mechanisms["cost"]))
    with pytest.raises(InputError, match="mechanism of 'cost' is no kind that can be saved"):
        save([odd], tmp_path / "odd")
    assert isinstance(model.engine.mechanisms["cost"], OwnNode)
