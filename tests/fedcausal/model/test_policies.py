import numpy as np
import pytest

from fedcausal.errors import InputError
from fedcausal.model.policies import Draw, Shift, action_of
from fedcausal.schema import Kind, Variable

AGE = Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 100.0))
SEX = Variable(name="sex", kind=Kind.BINARY, categories=("f", "m"))
RNG = np.random.default_rng


def test_a_value_a_shift_and_a_law():
    natural = np.linspace(0.0, 1.0, 1000)
    assert (action_of("m", SEX, None, RNG(0))(natural) == 1.0).all()
    np.testing.assert_array_equal(action_of(Shift(5.0), AGE, None, RNG(0))(natural), natural + 5)
    drawn = action_of(Draw({"f": 0.25, "m": 0.75}), SEX, None, RNG(0))(natural)
    # The standard error of the share is 0.014; the seed is fixed.
    assert drawn.mean() == pytest.approx(0.75, abs=0.06)


def test_a_sample_under_policies(mixed_fit):
    plain = mixed_fit.model.sample(500, seed=1)
    moved = mixed_fit.model.sample(500, do={"age": Shift(0.5)}, seed=1)
    np.testing.assert_allclose(moved["age"], plain["age"] + 0.5)
    assert (moved["group"] == plain["group"]).all()
    assert moved["pressure"].mean() > plain["pressure"].mean()
    both = mixed_fit.model.sample(
        500, do={"drug": Draw({"0": 0.5, "1": 0.5}), "group": "b", "age": Shift(0.5)}, seed=1
    )
    assert set(both["group"]) == {"b"}
    assert 0.4 < (both["drug"] == "1").mean() < 0.6
    np.testing.assert_array_equal(both["age"], moved["age"])


def test_a_law_on_one_value_is_that_value(mixed_fit):
    sure = mixed_fit.model.sample(100, do={"drug": Draw({"1": 1.0})}, seed=2)
    hard = mixed_fit.model.sample(100, do={"drug": "1"}, seed=2)
    for name in hard:
        assert (sure[name] == hard[name]).all()


@pytest.mark.parametrize(
    ("policy", "variable", "message"),
    [
        (Shift(1.0), SEX, "do sex: only a number is shifted"),
        (Shift(float("nan")), AGE, "do age: only a number is shifted"),
        (Draw({"f": 0.5, "x": 0.5}), SEX, "expected one of f, m"),
        (Draw({50.0: 0.5, 200.0: 0.5}), AGE, r"within \[0, 100\]"),
    ],
)
def test_impossible_policies_are_refused(policy, variable, message):
    with pytest.raises(InputError, match=message):
        action_of(policy, variable, None, RNG(0))


@pytest.mark.parametrize("law", [{}, {"f": 0.5}, {"f": -0.5, "m": 1.5}])
def test_what_is_no_law_is_refused(law):
    with pytest.raises(InputError, match="sum to 1"):
        Draw(law)


def test_an_unknown_variable_is_named(mixed_fit):
    with pytest.raises(InputError, match="do agee: no such variable"):
        mixed_fit.model.sample(10, do={"agee": Shift(1.0)})
