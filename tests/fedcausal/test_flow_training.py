"""Federated training: rounds of averaged, clipped changes of shared weights."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.flow_training import FlowTraining
from fedcausal.graph import Graph
from fedcausal.model.update import encode_update, weights_from_bytes
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


def total_of(deltas, clip):
    summed = sum(encode_update(d, update_clip=clip, num_sites=len(deltas)) for d in deltas)
    return Released(totals=summed, withheld=np.zeros(summed.shape, dtype=bool))


def test_a_round_adds_the_mean_of_the_clipped_changes(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    rng = np.random.default_rng(0)
    deltas = [rng.normal(size=flow.weights.size).astype(np.float32) for _ in range(3)]
    moved = flow.take(total_of(deltas, flow.update_clip))
    expected = flow.weights + np.mean(np.clip(deltas, -1, 1), axis=0)
    assert moved.weights == pytest.approx(expected, abs=1e-6)
    assert (moved.round_index, flow.round_index) == (1, 0)


def test_training_ends_after_its_rounds(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    still = total_of([np.zeros(flow.weights.size, np.float32)] * 3, 1.0)
    for index in range(flow.num_rounds):
        assert not flow.is_finished
        assert flow.request().parameters["round"] == index
        flow = flow.take(still)
    assert flow.is_finished


def test_the_weights_travel_whole_and_their_hash_with_the_request(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    sent = weights_from_bytes(flow.blobs()["weights"], flow.spec)
    assert np.array_equal(sent, flow.weights)
    other = replace(flow, weights=flow.weights + 1)
    assert flow.request().id() != other.request().id()


def test_under_a_budget_the_start_knows_the_seed_and_no_data(mixed_study, dag, mixed_fit):
    private = study_with(mixed_study, privacy={"model": {"epsilon": 1.0}})
    first = begin(private, dag, mixed_fit.grams)
    assert np.array_equal(first.weights, begin(private, dag, {}).weights)
    assert not np.array_equal(first.weights, begin(private, dag, {}, seed=1).weights)
    assert not np.array_equal(first.weights, begin(mixed_study, dag, mixed_fit.grams).weights)


def test_a_sum_of_more_updates_than_sites_is_refused(mixed_study, dag):
    flow = begin(mixed_study, dag, {})
    five = [np.zeros(flow.weights.size, np.float32)] * 5
    with pytest.raises(ProtocolError, match=r"a sum of 1..3 updates, got 5"):
        flow.take(total_of(five, 1.0))


def test_the_weights_are_a_causal_model(mixed_study, dag):
    model = begin(mixed_study, dag, {}).model(dag, mixed_study.schema())
    assert model.family == "nodeflow"
    assert set(model.sample(10, seed=0)["group"]) <= {"a", "b", "c"}
