import numpy as np
import pytest
from scipy import stats

from fedcausal.errors import DataError, SchemaError
from fedcausal.model.nodeflow import build
from fedcausal.model.nodeflow_queries import (
    abduct,
    counterfactual,
    draw_noise,
    log_prob,
    predict,
    sample,
)
from fedcausal.model.nodeflow_spec import NodeFlowSpec, NodeStart

CHAIN = NodeFlowSpec(
    names=("x", "m", "y", "w"),
    kinds=("continuous",) * 4,
    levels=(0,) * 4,
    bounds=((-4.0, 4.0), (-8.0, 8.0), (-20.0, 20.0), (-4.0, 4.0)),
    edges=(("x", "m"), ("m", "y"), ("x", "y")),
)
LINEAR = {
    "x": NodeStart(scale=1.0),
    "m": NodeStart(intercept=1.0, slopes={"x": (0.8,)}, scale=0.5),
    "y": NodeStart(intercept=-1.0, slopes={"x": (0.5,), "m": (2.0,)}, scale=0.7),
}


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def linear():
    return build(CHAIN, 0, start=LINEAR)


def test_noise_and_values_are_a_round_trip(mixed_flow, make_bent):
    for flow in (mixed_flow, make_bent(CHAIN, 3, size=0.5)):
        values = sample(flow, 3000, rng=rng())
        noise, _ = abduct(flow, values, rng(1))
        assert np.abs(predict(flow, noise) - values).max() <= 1e-5


def test_samples_follow_the_density(make_bent):
    flow = make_bent(
        NodeFlowSpec(
            names=("x",), kinds=("continuous",), levels=(0,), bounds=((-2.0, 7.0),), edges=()
        ),
        5,
        size=0.6,
    )
    values = np.sort(sample(flow, 20_000, rng=rng())[:, 0])
    grid = np.median(values) + values.std() * np.linspace(-30.0, 30.0, 400_001)
    density = np.exp(log_prob(flow, grid[:, None])[:, 0])
    cdf = np.interp(values, grid, np.cumsum(density) * (grid[1] - grid[0]))
    assert stats.kstest(cdf, "uniform").pvalue > 1e-3


def test_levels_and_codes_are_sampled_with_their_probabilities(make_bent):
    for kind, bounds, levels, codes in (
        ("ordinal", (0.0, 5.0), 0, 6),
        ("discrete", (0.0, 0.0), 4, 4),
    ):
        spec = NodeFlowSpec(
            names=("x",), kinds=(kind,), levels=(levels,), bounds=(bounds,), edges=()
        )
        flow = make_bent(spec, 2, size=0.2)
        drawn = sample(flow, 20_000, rng=rng())[:, 0].astype(int)
        expected = np.exp(log_prob(flow, np.arange(codes)[:, None].astype(float)))[:, 0]
        counts = np.bincount(drawn, minlength=codes)
        assert stats.chisquare(counts, 20_000 * expected / expected.sum()).pvalue > 1e-3


def test_do_on_several_nodes_is_exact_in_any_order(mixed_flow, mixed_spec):
    for do in ({"a": 1.0, "c": 4.25}, {"c": 4.25, "a": 1.0}, {"b": 2, "o": 5, "c": 0.1}):
        values = sample(mixed_flow, 200, do=do, rng=rng())
        for name, value in do.items():
            assert (values[:, mixed_spec.index(name)] == value).all()


def test_do_leaves_what_is_not_reached(mixed_flow, mixed_spec):
    free = sample(mixed_flow, 500, rng=rng())
    done = sample(mixed_flow, 500, do={"c": 4.0, "b": 1}, rng=rng())
    reached = mixed_spec.descendants(["c", "b"]) | {"c", "b"}
    for node, name in enumerate(mixed_spec.names):
        assert np.array_equal(free[:, node], done[:, node]) == (name not in reached)


def test_the_interventional_mean_is_that_of_the_linear_model(linear):
    values = sample(linear, 40_000, do={"x": 1.5}, rng=rng())
    expected = -1.0 + 0.5 * 1.5 + 2.0 * (1.0 + 0.8 * 1.5)
    error = np.sqrt((2.0 * 0.5) ** 2 + 0.7**2) / np.sqrt(40_000)
    assert abs(values[:, 2].mean() - expected) < 4 * error


def test_a_linear_counterfactual_is_exact(linear):
    values = sample(linear, 300, rng=rng())
    answer = counterfactual(linear, values, do={"x": 2.0}, rng=rng())
    shift = 2.0 - values[:, 0]
    expected = np.column_stack(
        [
            np.full(300, 2.0),
            values[:, 1] + 0.8 * shift,
            values[:, 2] + (0.5 + 1.6) * shift,
            values[:, 3],
        ]
    )
    assert answer.values.shape == (1, 300, 4)
    assert answer.assumption == "monotone-noise"
    np.testing.assert_allclose(answer.table(), expected, atol=1e-5)


def test_what_is_not_reached_is_copied_bit_for_bit(mixed_flow, mixed_spec):
    values = sample(mixed_flow, 300, rng=rng())
    values[::7, 5] = np.nan
    answer = counterfactual(mixed_flow, values, do={"o": 3, "b": 1}, rng=rng(), draws=3)
    reached = mixed_spec.descendants(["o", "b"]) | {"o", "b"}
    for node, name in enumerate(mixed_spec.names):
        if name not in reached:
            for draw in answer.values:
                assert np.array_equal(draw[:, node], values[:, node], equal_nan=True)


@pytest.mark.parametrize("name", ["a", "b", "c", "o"])
def test_composition_an_action_that_changes_nothing_returns_the_rows(mixed_flow, name):
    node = mixed_flow.spec.index(name)
    values = sample(mixed_flow, 400, rng=rng())
    values[::5, 5] = np.nan
    same = values[values[:, node] == values[0, node]]
    answer = counterfactual(mixed_flow, same, do={name: same[0, node]}, rng=rng(), draws=4)
    assert np.array_equal(answer.table(), same, equal_nan=True)
    assert all(np.array_equal(draw, same, equal_nan=True) for draw in answer.values)


def test_several_actions_are_effective_in_counterfactuals(mixed_flow, mixed_spec):
    values = sample(mixed_flow, 100, rng=rng())
    do = {"a": -0.5, "o": 2, "c": 7.125}
    answer = counterfactual(mixed_flow, values, do=do, rng=rng(), draws=2)
    for name, value in do.items():
        assert (answer.values[:, :, mixed_spec.index(name)] == value).all()


def test_reversibility_of_continuous_nodes(make_bent):
    flow = make_bent(CHAIN, 3, size=0.15)
    values = sample(flow, 200, rng=rng())
    values[:, 0] = values[0, 0]
    there = counterfactual(flow, values, do={"x": 1.0}, rng=rng()).table()
    back = counterfactual(flow, there, do={"x": values[0, 0]}, rng=rng()).table()
    np.testing.assert_allclose(back, values, atol=1e-5)


def test_counterfactuals_average_to_the_intervention(mixed_flow, mixed_spec):
    """Rows from the model, then changed, have the law of rows under do()."""
    values = sample(mixed_flow, 8000, rng=rng())
    answer = counterfactual(mixed_flow, values, do={"a": 1.0}, rng=rng(1), draws=1)
    done = sample(mixed_flow, 8000, do={"a": 1.0}, rng=rng(2))
    for node in (2, 5):
        assert stats.ks_2samp(answer.values[0, :, node], done[:, node]).pvalue > 1e-3
    for node in (1, 3, 4):
        table = [
            np.bincount(x[:, node].astype(int), minlength=7) for x in (answer.values[0], done)
        ]
        filled = np.array(table)[:, np.sum(table, axis=0) > 10]
        assert stats.chi2_contingency(filled).pvalue > 1e-3


def test_probabilities_of_levels(mixed_flow):
    values = sample(mixed_flow, 50, rng=rng())
    answer = counterfactual(mixed_flow, values, do={"a": 1.0}, rng=rng(), draws=32)
    shares = answer.probabilities("y")
    assert answer.assumption == "gumbel-max"
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert np.array_equal(shares.argmax(axis=1), answer.table()[:, 4])
    with pytest.raises(SchemaError, match="numeric"):
        answer.probabilities("a")


def test_a_missing_value_that_is_reached_is_drawn(mixed_flow):
    values = sample(mixed_flow, 60, rng=rng())
    values[:30, 2] = np.nan
    answer = counterfactual(mixed_flow, values, do={"a": 1.0}, rng=rng(), draws=8)
    assert not np.isnan(answer.values).any()
    assert (answer.values[:, :30, 2].std(axis=0) > 0).all()
    # The others are moved by the level of b alone, which has three posterior answers.
    assert all(len(np.unique(column)) <= 3 for column in answer.values[:, 30:, 2].T)


def test_questions_are_answered_the_same_for_the_same_generator(mixed_flow):
    first, again = (sample(mixed_flow, 20, rng=rng(4)) for _ in range(2))
    assert np.array_equal(first, again)


def test_nothing_is_asked_of_no_rows(mixed_flow):
    assert sample(mixed_flow, 0, rng=rng()).shape == (0, 6)
    assert log_prob(mixed_flow, np.empty((0, 6))).shape == (0, 6)
    answer = counterfactual(mixed_flow, np.empty((0, 6)), do={"a": 0.0}, rng=rng())
    assert answer.values.shape[1:] == (0, 6)


@pytest.mark.parametrize(
    "do", [{"q": 1.0}, {"b": 3}, {"b": 0.5}, {"y": -1}, {"a": float("nan")}, {"c": float("inf")}]
)
def test_impossible_actions_are_refused(mixed_flow, do):
    with pytest.raises(SchemaError):
        sample(mixed_flow, 5, do=do, rng=rng())


def test_rows_of_another_shape_or_with_unknown_levels_are_refused(mixed_flow):
    with pytest.raises(DataError, match="columns"):
        log_prob(mixed_flow, np.zeros((3, 2)))
    with pytest.raises(DataError, match="'b'"):
        log_prob(mixed_flow, np.full((1, 6), 5.0))


def test_noise_is_standard(mixed_spec):
    noise = draw_noise(mixed_spec, 20_000, rng())
    assert stats.kstest(noise[:, 0, 0], "norm").pvalue > 1e-3
    assert stats.kstest(noise[:, 1, 2], "gumbel_r").pvalue > 1e-3
