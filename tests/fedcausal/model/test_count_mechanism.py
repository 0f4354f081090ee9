"""Counts of a known world: whole numbers, the right means and variances, facts that stay."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.effects.effect import effect
from fedcausal.errors import InputError
from fedcausal.model.artifact import load, save
from fedcausal.model.card import model_card
from fedcausal.model.count_mechanism import CountMechanism, with_counts
from fedcausal.model.policies import Draw, Shift
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [0, 2]},
            "arm": {"kind": "binary"},
            "falls": {"kind": "count", "bounds": [0, 80]},
            "visits": {"kind": "count", "bounds": [0, 400]},
            "cost": {"kind": "continuous", "bounds": [-10, 200]},
        },
        "knowledge": {
            "graph": "dag { age -> arm age -> falls arm -> falls falls -> visits arm -> visits "
            "visits -> cost }"
        },
    }
)
SIZE = 7000


def mean_falls(age, arm):
    return np.exp(0.2 + 0.7 * age - 0.6 * arm)


def rows(size, rng):
    """falls: Poisson; visits: negative binomial with dispersion 0.4."""
    age = rng.uniform(0, 2, size)
    arm = (rng.random(size) < 0.3 + 0.2 * age) * 1.0
    falls = rng.poisson(mean_falls(age, arm)).clip(0, 80) * 1.0
    mean = 2.0 + 1.5 * falls - 0.5 * arm
    visits = rng.negative_binomial(2.5, 2.5 / (2.5 + mean)).clip(0, 400) * 1.0
    cost = (10 + 0.5 * visits + rng.normal(size=size)).clip(-10, 200)
    return {"age": age, "arm": arm, "falls": falls, "visits": visits, "cost": cost}


@pytest.fixture(scope="module")
def model(walk, as_table):
    rng = np.random.default_rng(0)
    sites = [as_table(STUDY, rows(SIZE, rng)) for _ in range(3)]
    return walk(STUDY, sites, steps=("discovery", "model"))[-1].model


def is_counts(column):
    return bool(((column >= 0) & (column == np.rint(column))).all())


def test_the_dispersions_are_those_of_the_world(model):
    falls, visits = (model.engine.mechanisms[name] for name in ("falls", "visits"))
    assert isinstance(falls, CountMechanism)
    # sampling error of a dispersion by moments over 21,000 records: about 0.01
    assert falls.dispersion == pytest.approx(0.0, abs=0.04)
    assert visits.dispersion == pytest.approx(0.4, abs=0.06)


def test_samples_are_counts_with_the_true_means_and_variances(model):
    truth = rows(200_000, np.random.default_rng(5))
    drawn = model.sample(60_000, seed=1)
    for name in ("falls", "visits"):
        assert is_counts(drawn[name])
        own, wanted = drawn[name].to_numpy(), truth[name]
        # Two standard errors of the sites' 21,000 and of 60,000 draws, and 2 % of the fit's form.
        error = wanted.std() * np.sqrt(1 / 21_000 + 1 / 60_000)
        assert own.mean() == pytest.approx(wanted.mean(), abs=2 * error + 0.02 * wanted.mean())
        assert own.var() == pytest.approx(wanted.var(), rel=0.08)
        shares = [np.mean(column == 0) for column in (own, wanted)]
        assert shares[0] == pytest.approx(shares[1], abs=0.02)


@pytest.mark.parametrize("arm", [0, 1])
def test_expected_counts_under_an_action_are_the_true_ones(model, arm):
    age = np.random.default_rng(2).uniform(0, 2, 400_000)
    wanted = mean_falls(age, arm).mean()
    drawn = model.sample(60_000, do={"arm": str(arm)}, seed=2)
    error = np.sqrt(wanted * (1 / 10_000 + 1 / 60_000))
    assert drawn["falls"].mean() == pytest.approx(wanted, abs=3 * error)
    wanted = 2.0 + 1.5 * wanted - 0.5 * arm
    error = drawn["visits"].std() * np.sqrt(1 / 10_000 + 1 / 60_000)
    assert drawn["visits"].mean() == pytest.approx(wanted, abs=3 * error)


def test_an_effect_on_a_count_covers_the_truth(model):
    age = np.random.default_rng(2).uniform(0, 2, 400_000)
    wanted = (mean_falls(age, 1) - mean_falls(age, 0)).mean()
    found = effect(model, "arm", "falls", ("0", "1"), draws=40, samples=2000, seed=0)
    low, high = found.interval
    assert low < found.estimate < high
    assert found.estimate == pytest.approx(wanted, rel=0.06)


def test_nothing_changes_where_nothing_is_changed(model):
    truth = pd.DataFrame(rows(300, np.random.default_rng(7)))
    truth["arm"] = truth["arm"].astype(int).astype(str)
    for name in ("falls", "visits", "age"):
        for record in (truth.head(1), truth):
            same = model.counterfactual(record, do={name: Shift(0.0)})
            pd.testing.assert_frame_equal(same, record, check_exact=True)
    for arm in ("0", "1"):
        own = truth[truth["arm"] == arm]
        same = model.counterfactual(own, do={"arm": arm})
        pd.testing.assert_frame_equal(same, own, check_exact=True)


def test_abduction_is_exact_for_the_fact(model):
    columns = rows(5000, np.random.default_rng(8))
    for name in ("falls", "visits"):
        node = model.engine.mechanisms[name]
        noise = node.abduct(columns[name], columns, np.random.default_rng(0))
        np.testing.assert_array_equal(node.predict(noise, columns), columns[name])
        # ranks of counts that follow the law are uniform
        places = np.where(np.signbit(noise), 1.0 + noise, noise)
        assert np.abs(np.quantile(places, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.05


def test_counterfactuals_are_counts_that_move_the_right_way(model):
    columns = rows(4000, np.random.default_rng(9))
    frame = pd.DataFrame(columns).assign(arm="0")
    rng = np.random.default_rng(10)
    frame["falls"] = rng.poisson(mean_falls(columns["age"], 0.0)) * 1.0
    mean = 2.0 + 1.5 * frame["falls"]
    frame["visits"] = rng.negative_binomial(2.5, 2.5 / (2.5 + mean)) * 1.0
    changed = model.counterfactual(frame, do={"arm": "1"}, seed=3)
    assert is_counts(changed["falls"])
    assert is_counts(changed["visits"])
    # a protective arm: the same rank, a law of fewer falls
    assert (changed["falls"] <= frame["falls"] + 1).all()
    wanted = mean_falls(columns["age"], 1.0).mean()
    error = np.sqrt(wanted * (2 / 4000 + 1 / 10_000))
    assert changed["falls"].mean() == pytest.approx(wanted, abs=3 * error)
    again = model.counterfactual(frame, do={"arm": "1"}, seed=3)
    pd.testing.assert_frame_equal(changed, again)
    assert any("rank" in text for text in changed.attrs["assumptions"])


def test_worlds_of_a_random_action_end_in_counts(model):
    frame = pd.DataFrame(rows(40, np.random.default_rng(1)))
    frame["arm"] = frame["arm"].astype(int).astype(str)
    found = model.counterfactual(frame, do={"arm": Draw({"0": 0.5, "1": 0.5})}, draws=20)
    assert is_counts(found["falls"])
    fewer = model.counterfactual(frame, do={"falls": Shift(-3.0)})
    np.testing.assert_array_equal(fewer["falls"], np.maximum(frame["falls"] - 3, 0))
    assert is_counts(fewer["visits"])


def test_probabilities_of_counts_add_up(model):
    node, counts = model.engine.mechanisms["visits"], np.arange(0.0, 400.0)
    parents = {"falls": np.full(400, 3.0), "arm": np.ones(400)}
    logs = node.log_prob(counts, parents)
    assert np.exp(logs).sum() == pytest.approx(1.0, abs=1e-9)
    mean = float(node.mean(parents)[0])
    assert np.exp(logs) @ counts == pytest.approx(mean, rel=1e-6)
    assert mean == pytest.approx(2.0 + 4.5 - 0.5, rel=0.05)


@pytest.mark.parametrize("value", [1.5, -1, "x"])
def test_an_action_on_a_count_is_a_count(model, value):
    with pytest.raises(InputError, match="do falls: expected a"):
        model.sample(3, do={"falls": value})
    if value == 1.5:
        with pytest.raises(InputError, match="do falls: a count is shifted by a whole number"):
            model.sample(3, do={"falls": Shift(0.5)})
        frame = model.sample(3, seed=0).assign(falls=[1.5, 2.0, np.nan])
        with pytest.raises(InputError, match="falls: 1 value that are no counts"):
            model.log_prob(frame)


def test_a_model_of_counts_is_saved_and_loaded(model, tmp_path):
    save([model], tmp_path)
    found = load(tmp_path)
    pd.testing.assert_frame_equal(found.sample(50, seed=2), model.sample(50, seed=2))
    forms = {node["node"]: node["form"] for node in model_card(tmp_path)["families"]["gram"]}
    assert forms["visits"].startswith("mean of a count: penalised splines; dispersion 0.")


def test_counts_that_vary_less_than_a_poisson_law_are_binomial(as_table, federated_fit):
    study = Study.model_validate(
        {
            "variables": {
                "x": {"kind": "continuous", "bounds": [0, 1]},
                "right": {"kind": "count", "bounds": [0, 12]},
            },
            "model": {"knots": 0, "degree": 1},
        }
    )
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 6000)
    right = rng.binomial(12, 0.3 + 0.4 * x) * 1.0
    columns = {"x": x, "right": right}
    parts = [{n: c[k::3] for n, c in columns.items()} for k in range(3)]
    fit = federated_fit(study, [("x", "right")], [as_table(study, part) for part in parts])
    counted = with_counts(fit.mechanisms, fit.grams, study.schema())
    model = fit.model.with_mechanism("right", counted["right"])
    drawn = model.sample(20_000, seed=1)
    assert is_counts(drawn["right"])
    assert drawn["right"].max() <= 12
    assert drawn["right"].var() == pytest.approx(right.var(), rel=0.06)
