import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import GraphError
from fedcausal.graph import Graph
from fedcausal.model.gram_model import GramModel


@pytest.fixture(scope="module")
def engine(mixed_fit):
    return mixed_fit.model.engine


@pytest.fixture(scope="module")
def columns(mixed_fit):
    rows = Table.concatenate(mixed_fit.sites)
    return {name: rows.column(name) for name in rows.schema.names}


def test_noise_is_common_to_all_actions(engine):
    plain = engine.sample(500, do={}, rng=np.random.default_rng(0))
    acted = engine.sample(500, do={"pressure": 3.0}, rng=np.random.default_rng(0))
    for name in ("age", "group", "drug"):
        np.testing.assert_array_equal(plain[name], acted[name])
    assert (acted["pressure"] == 3.0).all()


def test_counterfactual_probabilities_are_the_share_of_posterior_worlds(engine, columns):
    few = {name: values[:3] for name, values in columns.items()}
    answer = engine.counterfactual(few, do={"drug": 1.0}, draws=200, rng=np.random.default_rng(0))
    mechanism = engine.mechanisms["status"]
    rng = np.random.default_rng(1)
    repeated = {name: np.repeat(values, 20_000) for name, values in few.items()}
    changed = dict(repeated) | {
        "drug": np.ones(60_000),
        "pressure": np.repeat(answer.values["pressure"], 20_000),
    }
    noise = mechanism.abduct(repeated["status"], repeated, rng)
    worlds = mechanism.predict(noise, changed).reshape(3, -1)
    shares = (worlds == 1).mean(axis=1)
    np.testing.assert_allclose(answer.probabilities["status"][:, 1], shares, atol=0.02)


def test_below_a_changed_level_numbers_are_means_over_worlds(engine, columns):
    few = {name: values[:50] for name, values in columns.items()}
    answer = engine.counterfactual(few, do={"group": 2.0}, draws=400, rng=np.random.default_rng(0))
    again = engine.counterfactual(few, do={"group": 2.0}, draws=400, rng=np.random.default_rng(7))
    assert set(answer.values) == {"group", "drug", "pressure", "stage", "status"}
    np.testing.assert_allclose(answer.values["pressure"], again.values["pressure"], atol=0.8)
    unchanged = few["group"] == 2.0
    np.testing.assert_array_equal(answer.values["pressure"][unchanged], few["pressure"][unchanged])


def test_chunks_do_not_change_a_certain_answer(engine, columns):
    rng = np.random.default_rng(0)
    whole = engine.counterfactual(columns, do={"drug": 0.0}, draws=2, rng=rng)
    part = engine.counterfactual(
        {n: c[3000:3010] for n, c in columns.items()}, do={"drug": 0.0}, draws=2, rng=rng
    )
    np.testing.assert_array_equal(whole.values["pressure"][3000:3010], part.values["pressure"])


def test_no_records_give_no_answers(engine, columns):
    empty = {name: values[:0] for name, values in columns.items()}
    answer = engine.counterfactual(empty, do={"drug": 0.0}, draws=2, rng=np.random.default_rng(0))
    assert answer.values["pressure"].shape == (0,)


def test_missing_values_have_log_probability_zero(engine, columns):
    few = {name: values[:4].copy() for name, values in columns.items()}
    few["drug"][0] = np.nan
    found = engine.log_prob(few)
    assert found["drug"][0] == found["pressure"][0] == found["status"][0] == 0.0
    assert (found["age"] != 0).all()


def test_the_ancestral_model_samples_the_same_law(engine):
    part = engine.ancestral("pressure")
    assert part.names == ("age", "drug", "group", "pressure")
    whole = engine.sample(20_000, do={}, rng=np.random.default_rng(0))["pressure"]
    small = part.sample(20_000, do={}, rng=np.random.default_rng(1))["pressure"]
    assert abs(whole.mean() - small.mean()) < 5 * whole.std() * np.sqrt(2 / 20_000)


def test_mechanisms_must_fit_the_graph(engine):
    nodes = engine.graph.nodes
    with pytest.raises(GraphError, match="other parents than the graph"):
        GramModel(graph=Graph.dag(nodes, []), schema=engine.schema, mechanisms=engine.mechanisms)
    with pytest.raises(GraphError, match="no mechanism of 'age'"):
        GramModel(graph=engine.graph, schema=engine.schema, mechanisms={})
