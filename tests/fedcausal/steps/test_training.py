"""Federated training: rounds of averaged, clipped changes of shared weights."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.graph import Graph
from fedcausal.model.update import encode_update, weights_from_bytes
from fedcausal.model.validation import STEPS
from fedcausal.steps.training import FlowTraining
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

RANGES = {"age": (-6.0, 6.0), "pressure": (-40.0, 40.0), "stage": (0.0, 2.0)}


@pytest.fixture
def dag(mixed_study, mixed_edges):
    return Graph.dag(mixed_study.schema().names, mixed_edges)


def study_with(mixed_study, **sections):
    return Study.model_validate({**mixed_study.to_json(), **sections})


def begin(study, dag, families, seed=0):
    return FlowTraining.begin(study, dag, RANGES, families=families, num_sites=3, seed=seed)


SHARE = 1e-3


def released(totals):
    return Released(totals=totals, withheld=np.zeros(totals.shape, dtype=bool))


def total_of(flow, deltas, weight=SHARE):
    """What the secure sum makes of these changes, for the update that the flow asks for."""
    summed = sum(
        encode_update(d, update_clip=flow.update_clip, num_sites=3, weight=weight) for d in deltas
    )
    return {r.id(): released(summed) for r in flow.requests() if r.kind == "update"}


def still(flow):
    return total_of(flow, [np.zeros(flow.weights.size, np.float32)] * 3)


def loss_of(flow, loss, count=100):
    """The held-out loss that the flow asks for."""
    totals = np.array([round(loss * count * STEPS), count])
    return {r.id(): released(totals) for r in flow.requests() if r.kind == "validation"}


def test_a_round_adds_the_mean_of_the_clipped_changes(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    rng = np.random.default_rng(0)
    deltas = [rng.normal(size=flow.weights.size).astype(np.float32) for _ in range(3)]
    moved = flow.take(total_of(flow, deltas))
    expected = flow.weights + np.mean(np.clip(deltas, -1, 1), axis=0)
    assert moved.weights == pytest.approx(expected, abs=1e-6)
    assert (moved.round_index, flow.round_index) == (1, 0)


def test_training_ends_after_its_rounds(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    for index in range(flow.num_rounds):
        assert not flow.is_finished
        assert [r.parameters["round"] for r in flow.requests()] == [index]
        flow = flow.take(still(flow))
    assert flow.is_finished
    assert np.array_equal(flow.chosen, flow.weights)


def test_the_weights_travel_whole_and_their_hash_with_the_request(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    sent = weights_from_bytes(flow.blobs()["weights"], flow.spec)
    assert np.array_equal(sent, flow.weights)
    other = replace(flow, weights=flow.weights + 1)
    assert flow.requests()[0].id() != other.requests()[0].id()


def test_under_a_budget_the_start_knows_the_seed_and_no_data(mixed_study, dag, mixed_fit):
    private = study_with(mixed_study, privacy={"model": {"epsilon": 1.0}})
    first = begin(private, dag, mixed_fit.grams)
    assert np.array_equal(first.weights, begin(private, dag, {}).weights)
    assert not np.array_equal(first.weights, begin(private, dag, {}, seed=1).weights)
    assert not np.array_equal(first.weights, begin(mixed_study, dag, mixed_fit.grams).weights)


def test_a_sum_of_more_updates_than_sites_is_refused(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    five = [np.zeros(flow.weights.size, np.float32)] * 5
    with pytest.raises(ProtocolError, match=r"a sum of 1..3 updates"):
        flow.take(total_of(flow, five, weight=1.0))


def test_a_site_that_drops_out_leaves_the_mean_of_the_others(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    rng = np.random.default_rng(0)
    deltas = [rng.uniform(-0.5, 0.5, flow.weights.size).astype(np.float32) for _ in range(2)]
    moved = flow.take(total_of(flow, deltas))
    assert moved.weights == pytest.approx(flow.weights + np.mean(deltas, axis=0), abs=1e-6)


def test_training_stops_when_held_out_rows_gain_no_more(mixed_study, dag):
    """The weights with the lowest loss are kept; their loss is asked with the next update."""
    model = {**mixed_study.to_json()["model"], "patience": 2, "rounds": 6}
    flow = begin(study_with(mixed_study, model=model), dag, {})
    change = [np.full(flow.weights.size, 0.01, np.float32)] * 3
    flow = flow.take(total_of(flow, change))
    visited = [flow.weights]
    for loss in (2.0, 1.5, 1.6, 1.7):
        assert not flow.is_finished
        assert {r.kind for r in flow.requests()} == {"update", "validation"}
        flow = flow.take({**total_of(flow, change), **loss_of(flow, loss)})
        visited.append(flow.weights)
    assert flow.stopped_early
    assert flow.is_finished
    assert flow.losses == pytest.approx((2.0, 1.5, 1.6, 1.7), abs=1e-4)
    assert np.array_equal(flow.chosen, visited[1])


def test_the_last_weights_are_judged_too(mixed_study, dag):
    model = {**mixed_study.to_json()["model"], "patience": 5, "rounds": 2}
    flow = begin(study_with(mixed_study, model=model), dag, {})
    flow = flow.take(still(flow))
    flow = flow.take({**still(flow), **loss_of(flow, 1.0)})
    assert [r.kind for r in flow.requests()] == ["validation"]
    assert not flow.is_finished
    flow = flow.take(loss_of(flow, 0.5))
    assert flow.is_finished
    assert not flow.stopped_early
    assert np.array_equal(flow.chosen, flow.weights)


def test_a_withheld_loss_stops_nothing(mixed_study, dag):
    model = {**mixed_study.to_json()["model"], "patience": 1, "rounds": 3}
    flow = begin(study_with(mixed_study, model=model), dag, {})
    flow = flow.take(still(flow))
    (loss,) = (r for r in flow.requests() if r.kind == "validation")
    hidden = Released(totals=np.zeros(2, dtype=np.int64), withheld=np.ones(2, dtype=bool))
    flow = flow.take({**still(flow), loss.id(): hidden})
    assert (flow.losses, flow.is_finished) == ((None,), False)


def test_a_strategy_makes_the_next_weights_and_keeps_its_memory(mixed_study, dag):
    def halfway(weights, mean, *, round_index, memory):
        return weights + (mean - weights) / 2, {"seen": np.float32([round_index])}

    flow = FlowTraining.begin(
        mixed_study, dag, RANGES, families={}, num_sites=3, seed=0, server_step=halfway
    )
    moved = flow.take(total_of(flow, [np.full(flow.weights.size, 0.5, np.float32)] * 3))
    assert moved.weights == pytest.approx(flow.weights + 0.25, abs=1e-6)
    assert moved.memory["seen"] == 0


def test_a_strategy_with_moments_needs_the_server(mixed_study, dag):
    model = {**mixed_study.to_json()["model"], "strategy": "fedadam"}
    with pytest.raises(FedCausalError, match=r"model\.strategy"):
        begin(study_with(mixed_study, model=model), dag, {})


def test_members_start_alike_and_train_apart(mixed_study, dag, mixed_fit):
    model = {**mixed_study.to_json()["model"], "members": 3}
    study = study_with(mixed_study, model=model)
    flow = begin(study, dag, mixed_fit.grams)
    assert flow.weights.size == 3 * flow.spec.num_parameters
    change = np.random.default_rng(0).normal(0, 0.1, flow.weights.size).astype(np.float32)
    trained = flow.take(total_of(flow, [change])).model(dag, study.schema())
    assert len(trained.engine.members) == 3
    estimate = trained.effect("age", "pressure", (0.0, 1.0), samples=500)
    assert estimate.interval_kind == "ensemble"
    alone = begin(mixed_study, dag, mixed_fit.grams).model(dag, study.schema())
    single = alone.effect("age", "pressure", (0.0, 1.0), samples=500)
    assert np.diff(estimate.interval) > np.diff(single.interval)


def test_the_weights_are_a_causal_model(mixed_study, dag):
    model = begin(mixed_study, dag, {}).model(dag, mixed_study.schema())
    assert model.family == "nodeflow"
    assert set(model.sample(10, seed=0)["group"]) <= {"a", "b", "c"}
