"""Few records: the compiled model gives what the model gives node by node."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.graph import Graph
from fedcausal.model.curves import curves_of
from fedcausal.model.family_basis import family_of_knots
from fedcausal.model.few_records import compiled
from fedcausal.model.gram_model import FEW, GramModel
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.schema import Kind, Schema, Variable


@pytest.fixture(scope="module")
def engine(mixed_fit):
    return mixed_fit.model.engine


@pytest.fixture(scope="module")
def columns(mixed_fit):
    rows = Table.concatenate(mixed_fit.sites)
    return {name: rows.column(name)[:400] for name in rows.schema.names}


def one_by_one(columns):
    for k in range(len(next(iter(columns.values())))):
        yield {name: values[k : k + 1] for name, values in columns.items()}


def splines(size=30, seed=0):
    """A graph of splines of one to three parents, numbers only."""
    rng = np.random.default_rng(seed)
    names = tuple(f"x{k}" for k in range(size))
    schema = Schema(
        tuple(Variable(name=n, kind=Kind.CONTINUOUS, bounds=(-4.0, 4.0)) for n in names)
    )
    edges, mechanisms = [], {}
    for k, name in enumerate(names):
        own = sorted(rng.choice(k, min(k, int(rng.integers(0, 4))), replace=False).tolist())
        parents = tuple(names[j] for j in own)
        edges += [(parent, name) for parent in parents]
        knots = dict.fromkeys(parents, (-0.5, -0.1, 0.2, 0.6))
        family = family_of_knots(schema, name, parents, ranges={}, knots=knots)
        width = 1 + family.basis.num_features
        coefficients = 0.2 * rng.standard_normal(width)
        assert not parents or curves_of(family.basis, coefficients[:, None]) is not None
        mechanisms[name] = NumericMechanism(
            family=family,
            coefficients=coefficients,
            covariance=np.eye(width),
            residual=ResidualLaw.gaussian(0.2, 1000),
        )
    return GramModel(graph=Graph.dag(names, edges), schema=schema, mechanisms=mechanisms)


def test_few_records_are_drawn_as_many_are(engine):
    rng = np.random.default_rng(0)
    noise = engine.draw_noise(200, rng)
    for do in ({}, {"pressure": 3.0}, {"drug": 1.0, "stage": 0.0}):
        many = engine.push(noise, 200, do=do)
        for k, part in enumerate(one_by_one(noise)):
            alone = engine.push(part, 1, do=do)
            for name in engine.names:
                np.testing.assert_allclose(alone[name][0], many[name][k], rtol=1e-12, atol=1e-12)


def test_certain_counterfactuals_are_those_of_many_records(engine, columns):
    many = engine.counterfactual(columns, do={"drug": 0.0}, draws=2, rng=np.random.default_rng(0))
    for k, part in enumerate(one_by_one(columns)):
        alone = engine.counterfactual(
            part, do={"drug": 0.0}, draws=2, rng=np.random.default_rng(0)
        )
        assert set(alone.values) == set(many.values)
        for name in ("pressure", "stage"):
            np.testing.assert_allclose(alone.values[name][0], many.values[name][k], atol=1e-12)
        np.testing.assert_allclose(
            alone.probabilities["status"][0], many.probabilities["status"][k], atol=1e-12
        )


def test_below_a_changed_level_the_worlds_have_the_same_law(engine, columns):
    few = {name: values[:4] for name, values in columns.items()}
    copies = {name: np.tile(values, 25) for name, values in few.items()}
    do = {"group": 2.0}
    many = engine.counterfactual(copies, do=do, draws=200, rng=np.random.default_rng(0))
    alone = engine.counterfactual(few, do=do, draws=5000, rng=np.random.default_rng(1))
    share = many.probabilities["status"].reshape(25, 4, -1).mean(axis=0)
    np.testing.assert_allclose(alone.probabilities["status"], share, atol=0.03)
    mean = many.values["pressure"].reshape(25, 4).mean(axis=0)
    np.testing.assert_allclose(alone.values["pressure"], mean, atol=0.2)


@pytest.mark.parametrize("seed", [0, 1])
def test_splines_of_many_nodes(seed):
    engine = splines(seed=seed)
    drawn = engine.sample(50, do={}, rng=np.random.default_rng(2))
    do = {"x2": 1.0, "x9": -0.5}
    many = engine.counterfactual(drawn, do=do, draws=1, rng=np.random.default_rng(0))
    for k, part in enumerate(one_by_one(drawn)):
        alone = engine.counterfactual(part, do=do, draws=1, rng=np.random.default_rng(0))
        assert set(alone.values) == set(many.values)
        for name, values in alone.values.items():
            np.testing.assert_allclose(values[0], many.values[name][k], rtol=1e-11, atol=1e-11)


def test_an_action_that_changes_nothing_is_bit_for_bit_nothing():
    engine = splines()
    drawn = engine.sample(FEW, do={}, rng=np.random.default_rng(3))
    for part in one_by_one(drawn):
        do = {name: float(part[name][0]) for name in ("x1", "x4", "x5")}
        answer = engine.counterfactual(part, do=do, draws=1, rng=np.random.default_rng(0))
        for name, values in answer.values.items():
            np.testing.assert_array_equal(values, part[name])


def test_there_and_back_again():
    engine = splines()
    drawn = engine.sample(4, do={}, rng=np.random.default_rng(4))
    rng = np.random.default_rng(0)
    answer = engine.counterfactual(drawn, do={"x1": 2.0}, draws=1, rng=rng)
    there = drawn | answer.values
    for k in range(4):
        part = {name: values[k : k + 1] for name, values in there.items()}
        do = {"x1": float(drawn["x1"][k])}
        back = engine.counterfactual(part, do=do, draws=1, rng=rng)
        for name, values in back.values.items():
            np.testing.assert_allclose(values[0], drawn[name][k], atol=1e-9)


def test_columns_that_nobody_reads_may_be_missing(engine, columns):
    part = {name: values[:2].copy() for name, values in columns.items()}
    whole = engine.counterfactual(part, do={"pressure": 1.0}, draws=1, rng=_rng())
    part["age"][:] = np.nan
    holes = engine.counterfactual(part, do={"pressure": 1.0}, draws=1, rng=_rng())
    np.testing.assert_array_equal(whole.values["stage"], holes.values["stage"])


def test_a_mechanism_of_another_kind_is_left_to_the_model(engine):
    class Own(NumericMechanism):
        pass

    age = engine.mechanisms["age"]
    own = Own(
        family=age.family,
        coefficients=age.coefficients,
        covariance=age.covariance,
        residual=age.residual,
    )
    assert compiled(engine.graph, engine.schema, {**engine.mechanisms, "age": own}) is None


def _rng():
    return np.random.default_rng(0)
