import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import InputError
from fedcausal.model.frames import read_frame
from fedcausal.model.mechanics import push
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
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
        (Shift(float("nan")), AGE, "do age: expected a finite amount to shift by, got nan"),
        (Shift(-101.0), AGE, r"do age: expected a shift by at most 100, .* got -101"),
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


def facts(model, seed=3, size=6):
    return model.sample(size, seed=seed)


def brute_force(model, frame, actions, seed=0):
    """Abduction, action and prediction, node by node."""
    mechanics = model.engine.mechanics()
    columns = read_frame(frame, model.schema, model.graph.nodes)
    noise = mechanics.abduct(columns, np.random.default_rng(seed))
    return push(mechanics, noise, actions)


@pytest.mark.parametrize("size", [6, 60])
def test_a_shifted_counterfactual_is_that_of_the_shifted_fact(mixed_fit, size):
    model = mixed_fit.model
    frame = facts(model, size=size)
    answer = model.counterfactual(frame, do={"age": Shift(0.75)}, draws=2)
    np.testing.assert_array_equal(answer["age"], frame["age"] + 0.75)
    pd.testing.assert_series_equal(answer["group"], frame["group"])
    one_by_one = [
        model.counterfactual(
            frame.iloc[[k]], do={"age": float(frame["age"].iloc[k] + 0.75)}, draws=2
        )
        for k in range(3)
    ]
    # pressure lies below drug, whose worlds are drawn: both are means of the same worlds' law
    assert [one["age"].iloc[0] for one in one_by_one] == list(answer["age"][:3])
    assert model.counterfactual(frame, do={"age": Shift(0.0)}).equals(frame)


@pytest.mark.parametrize("size", [6, 60])
def test_a_shift_rests_on_another_action(mixed_fit, size):
    model = mixed_fit.model
    frame = facts(model, size=size)
    do = {"drug": "1", "pressure": Shift(-2.0), "age": Shift(0.5)}
    expected = brute_force(
        model,
        frame,
        {
            "drug": lambda natural: np.ones_like(natural),
            "age": lambda natural: natural + 0.5,
            "pressure": lambda natural: natural - 2.0,
        },
    )
    answer = model.counterfactual(frame, do=do)
    for name in ("age", "pressure"):
        np.testing.assert_allclose(answer[name], expected[name], atol=1e-9)
    codes = read_frame(answer, model.schema, ["stage"])["stage"]
    np.testing.assert_array_equal(codes, expected["stage"])


@pytest.mark.parametrize("size", [3, 30])
def test_a_law_gives_means_over_its_worlds(mixed_fit, size):
    model = mixed_fit.model
    frame = facts(model, size=size)
    do = {"drug": Draw({"0": 0.25, "1": 0.75})}
    answer = model.counterfactual(frame, do=do, draws=2000, probabilities=True, seed=1)
    zero, one = (model.counterfactual(frame, do={"drug": d}, probabilities=True) for d in "01")
    expected = 0.25 * zero["pressure"] + 0.75 * one["pressure"]
    # 2,000 worlds: the standard error is below 0.033 (an effect of 3 times 0.43 / 45)
    np.testing.assert_allclose(answer["pressure"], expected, atol=0.2)
    dead = 0.25 * zero["status=dead"] + 0.75 * one["status=dead"]
    np.testing.assert_allclose(answer["status=dead"], dead, atol=0.06)
    assert set(answer["drug"]) == {"1"}
    again = model.counterfactual(frame, do=do, draws=2000, probabilities=True, seed=1)
    pd.testing.assert_frame_equal(answer, again)


def test_a_shift_needs_its_own_column_and_what_lies_below(mixed_fit):
    model = mixed_fit.model
    frame = facts(model)
    holes = frame.assign(age=np.nan)
    with pytest.raises(InputError, match="age: 6 missing values"):
        model.counterfactual(holes, do={"age": Shift(1.0)})
    below = model.counterfactual(facts(model)[["stage"]], do={"stage": "low"})
    assert set(below["stage"]) == {"low"}


def test_shifts_beyond_the_data_are_told(mixed_fit):
    model = mixed_fit.model
    frame = facts(model)
    for answer in (
        model.counterfactual(frame, do={"age": Shift(11.0)}),
        model.sample(6, do={"age": Shift(11.0)}),
    ):
        (warning,) = answer.attrs["warnings"]
        assert warning.startswith("6 of 6 records: age = ")
        assert "outside [-6, 6]" in warning
    assert model.counterfactual(frame, do={"age": Shift(0.1)}).attrs["warnings"] == []
    assert model.sample(6, do={"age": Shift(0.1)}).attrs["warnings"] == []


def test_facts_beyond_the_data_are_told_where_they_are_read(mixed_fit):
    model = mixed_fit.model
    frame = facts(model)
    frame.loc[2, "age"] = 50.0
    answer = model.counterfactual(frame, do={"age": 1.0})
    (warning,) = answer.attrs["warnings"]
    assert warning.startswith("1 of 6 records: age = 50 lies outside [-6, 6] by 44 (367% of")
    assert model.log_prob(frame).attrs["warnings"] == [warning]
    assert model.counterfactual(frame, do={"pressure": 1.0}).attrs["warnings"] == []


def test_a_neural_model_acts_likewise(mixed_fit, mixed_edges):
    from fedcausal.model.nodeflow import build

    schema = mixed_fit.model.schema
    spec = NodeFlowSpec.from_schema(schema, mixed_edges, hidden=4, bins=3)
    flow = build(spec, 0, start=nodeflow_starts(mixed_fit.grams))
    model = from_nodeflow(flow, mixed_fit.model.graph, schema)
    frame = facts(model, size=20)
    do = {"drug": "1", "pressure": Shift(-2.0)}
    hard = model.counterfactual(frame, do={"drug": "1"}, draws=2)
    answer = model.counterfactual(frame, do=do, draws=2)
    np.testing.assert_allclose(answer["pressure"], hard["pressure"] - 2.0, atol=1e-9)
    moved = model.counterfactual(frame, do={"pressure": Shift(1.0)}, draws=2)
    np.testing.assert_allclose(moved["pressure"], frame["pressure"] + 1.0, atol=1e-9)
    law = model.counterfactual(frame, do={"drug": Draw({"0": 0.5, "1": 0.5})}, draws=400)
    zero = model.counterfactual(frame, do={"drug": "0"}, draws=2)
    middle = 0.5 * (zero["pressure"] + hard["pressure"])
    np.testing.assert_allclose(law["pressure"], middle, atol=0.5)
