import numpy as np
import pytest

from fedcausal.effects.effect import effect
from fedcausal.errors import InputError

ASKED = ("drug", "pressure", ("0", "1"))
QUICK = {"draws": 20, "samples": 8000}


def twins(model, num_rows, question=ASKED, seed=5):
    """Records as they are, and under either action, with the same noise."""
    name, outcome, values = question
    plain = model.sample(num_rows, seed=seed)
    first, second = (model.sample(num_rows, do={name: v}, seed=seed) for v in values)
    return plain, (second[outcome].astype(float) - first[outcome].astype(float)).to_numpy()


@pytest.fixture(scope="module")
def drawn(mixed_fit):
    return twins(mixed_fit.model, 200_000)


def test_the_effect_of_the_treated_is_that_of_those_who_take_it(mixed_fit, drawn):
    plain, difference = drawn
    found = effect(mixed_fit.model, *ASKED, treated=True, **QUICK)
    expected = difference[(plain["drug"] == "1").to_numpy()].mean()
    assert found.estimate == pytest.approx(expected, abs=0.02)
    assert found.population.endswith("with drug = 1 of itself")
    assert found.interval[0] < found.estimate < found.interval[1]


def test_the_effect_in_a_group_of_a_level_and_a_number(mixed_fit, drawn):
    plain, difference = drawn
    near = (plain["group"] == "c") & ((plain["age"] - 1.0).abs() < 0.05)
    found = effect(mixed_fit.model, *ASKED, given={"group": "c", "age": 1.0}, **QUICK)
    assert found.estimate == pytest.approx(difference[near.to_numpy()].mean(), abs=0.1)
    mean = mixed_fit.model.sample(200_000, do={"drug": "1"}, seed=5)["pressure"][near].mean()
    assert found.mean_second == pytest.approx(mean, abs=0.15)
    assert "those of the pooled population with group = c and age = 1 years" in found.sentence


def test_another_population_has_other_means(mixed_fit):
    all_of_them = effect(mixed_fit.model, "group", "pressure", ("a", "c"), **QUICK)
    older = effect(mixed_fit.model, "group", "pressure", ("a", "c"), means={"age": 2.0}, **QUICK)
    # pressure has 2 age + age^2 / 4: a mean of 2 instead of 0.5 raises it by more than 3.
    assert older.mean_first > all_of_them.mean_first + 3
    assert older.population == "a population with the means age 2"


def test_hardly_a_record_like_that_is_refused(mixed_fit):
    with pytest.raises(InputError, match=r"are like those who are|these means"):
        effect(mixed_fit.model, *ASKED, means={"age": 5.5}, draws=2, samples=200)
    with pytest.raises(InputError, match="are like those who are asked about"):
        effect(mixed_fit.model, *ASKED, means={"age": 3.2}, draws=2, samples=200)


def test_groups_need_one_graph_without_hidden_causes(mixed_fit):
    with pytest.raises(InputError, match="need one graph without hidden causes"):
        effect(mixed_fit.model, *ASKED, treated=True, hidden=[("age", "group")], **QUICK)


def test_weights_of_everybody_are_even(mixed_fit):
    one = effect(mixed_fit.model, *ASKED, draws=10, samples=400)
    noise = mixed_fit.model.engine.ancestral("pressure")
    columns = [
        noise.sample(400, do={"drug": code}, rng=np.random.default_rng(0)) for code in (0.0, 1.0)
    ]
    rough = (columns[1]["pressure"] - columns[0]["pressure"]).mean()
    assert one.estimate == pytest.approx(rough, abs=1e-9)
