"""An ensemble answers with all its members, and says how far they are apart."""

import numpy as np
import pytest

from fedcausal.graph import Graph
from fedcausal.model.artifact import load, save
from fedcausal.model.ensemble import EnsembleModel, spread_between
from fedcausal.model.nodeflow_model import NodeFlowModel, from_members
from fedcausal.model.policies import Shift
from fedcausal.schema import Kind, Schema, Variable

KINDS = {"continuous": Kind.CONTINUOUS, "ordinal": Kind.ORDINAL, "discrete": Kind.CATEGORICAL}


@pytest.fixture
def schema(mixed_spec):
    parts = zip(
        mixed_spec.names, mixed_spec.kinds, mixed_spec.levels, mixed_spec.bounds, strict=True
    )
    return Schema(
        tuple(
            Variable(
                name=name,
                kind=KINDS[kind],
                bounds=None if levels else bounds,
                categories=tuple("uvw"[:levels]),
            )
            for name, kind, levels, bounds in parts
        )
    )


@pytest.fixture
def model(mixed_spec, make_bent, schema):
    graph = Graph.dag(mixed_spec.names, list(mixed_spec.edges))
    return from_members([make_bent(mixed_spec, seed=k) for k in range(3)], graph, schema)


def test_records_come_from_all_members_in_turn(model):
    drawn = model.sample(31, do={"a": 1.0}, seed=4)
    sizes, rng = (11, 10, 10), np.random.default_rng(4)
    alone = [
        member.sample(size, do={"a": 1.0}, rng=rng)["c"]
        for member, size in zip(model.engine.members, sizes, strict=True)
    ]
    assert np.allclose(drawn["c"], np.concatenate(alone))
    assert len(model.sample(1)) == 1


def test_a_density_is_the_mean_of_the_members(model):
    frame = model.sample(20, seed=1)
    found = np.exp(model.log_prob(frame)["c"].to_numpy())
    columns = {n: frame[n].to_numpy() for n in ("a", "c", "z")} | {
        n: np.array(["uvw".index(v) for v in frame[n]], dtype=float) for n in ("b", "y")
    }
    columns["o"] = frame["o"].to_numpy(dtype=float)
    each = [np.exp(m.log_prob(columns)["c"]) for m in model.engine.members]
    assert found == pytest.approx(np.mean(each, axis=0))


def test_counterfactuals_keep_what_the_action_does_not_reach(model):
    frame = model.sample(12, seed=2)
    changed = model.counterfactual(frame, do={"c": 3.0}, probabilities=True, draws=30)
    assert changed[["a", "b"]].equals(frame[["a", "b"]])
    assert (changed["c"] == 3.0).all()
    levels = changed[[c for c in changed.columns if str(c).startswith("y=")]].to_numpy(dtype=float)
    assert levels.sum(axis=1) == pytest.approx(np.ones(12))
    assert [("u", "v")[i] for i in levels.argmax(axis=1)] == list(changed["y"])


def test_nested_questions_go_to_each_members_share(model):
    shifted = model.sample(30, do={"a": Shift(0.5)}, seed=3)
    assert np.isfinite(shifted[["a", "c", "z"]].to_numpy(dtype=float)).all()
    assert (shifted["b"].isin(["u", "v", "w"])).all()


def test_the_interval_is_as_wide_as_the_members_are_apart(model):
    found = model.effect("a", "c", (-1.0, 1.0), samples=3000)
    each = [
        from_members([m.flow, m.flow], model.graph, model.schema).effect(
            "a", "c", (-1.0, 1.0), samples=3000
        )
        for m in model.engine.members
    ]
    assert found.interval_kind == "ensemble"
    assert found.estimate == pytest.approx(np.mean([e.estimate for e in each]), abs=0.5)
    half = 1.96 * spread_between([e.estimate for e in each])
    assert (found.interval[1] - found.interval[0]) / 2 == pytest.approx(half, rel=0.1)
    assert all(np.ptp(e.interval) < np.ptp(found.interval) for e in each)


def test_effects_along_another_formula_carry_the_spread_too(model):
    found = model.effect("c", "z", (2.0, 6.0), hidden=[("a", "z")], samples=2000)
    assert found.interval_kind == "ensemble"


def test_an_ensemble_survives_the_disk(model, tmp_path):
    save([model], tmp_path)
    again = load(tmp_path)
    assert isinstance(again.engine, EnsembleModel)
    assert isinstance(again.engine.members[0], NodeFlowModel)
    assert again.sample(9, seed=1).equals(model.sample(9, seed=1))


def test_two_members_have_a_wide_interval():
    assert spread_between([0.0, 1.0]) == pytest.approx(12.706 * 0.5**0.5 / 1.96, rel=1e-3)
