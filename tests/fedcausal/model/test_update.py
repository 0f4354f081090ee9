import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.model.nodeflow import build, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.training import gather_rows, local_update, training_plan
from fedcausal.model.update import (
    NodeFlowUpdate,
    decode_update,
    encode_update,
    requested_spec,
    update_request,
    weights_from_bytes,
    weights_to_bytes,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

STUDY = Study.model_validate(
    {
        "study": {"name": "demo"},
        "variables": {
            "x": {"kind": "continuous", "bounds": [-4.0, 4.0]},
            "g": {"kind": "binary"},
            "y": {"kind": "continuous", "bounds": [-8.0, 8.0]},
        },
        "model": {"family": "nodeflow", "rounds": 3, "hidden": 4, "bins": 3},
    }
)
SPEC = NodeFlowSpec.from_schema(STUDY.schema(), [("x", "y"), ("g", "y")], hidden=4, bins=3)
WEIGHTS = to_vector(build(SPEC, 0))
OTHER_BOUNDS = {
    **{name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__},
    "bounds": tuple((3 * lo, 3 * hi) for lo, hi in SPEC.bounds),
}
REQUEST = update_request(SPEC, round_index=1, rounds=3, weights=WEIGHTS)
KIND = NodeFlowUpdate()
PRIVATE = Study.model_validate({**STUDY.to_json(), "privacy": {"model": {"epsilon": 3.0}}})
PLAN = training_plan(STUDY.model, epsilon=None, delta=1e-5, device="cpu")


class Source:
    def __init__(self):
        rng = np.random.default_rng(0)
        g = rng.integers(0, 2, 60)
        x = rng.normal(size=60)
        columns = {"x": x, "g": g, "y": x + g}
        self.schema = STUDY.schema()
        self.table = Table(self.schema, np.column_stack([columns[n] for n in self.schema.names]))

    def batches(self):
        return self.table.batches(25)


def released(totals):
    return Released(totals=totals, withheld=np.zeros(len(totals), dtype=bool))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(num_sites=st.integers(1, 100), clip=st.floats(0.01, 10.0), seed=st.integers(0, 999))
def test_the_decoded_sum_is_the_mean_of_the_clipped_changes(num_sites, clip, seed):
    deltas = np.random.default_rng(seed).normal(size=(num_sites, 9)).astype(np.float32)
    total = sum(encode_update(d, update_clip=clip, num_sites=num_sites) for d in deltas)
    mean = decode_update(released(total), update_clip=clip, num_sites=num_sites)
    expected = np.clip(deltas.astype(float), -clip, clip).mean(axis=0)
    np.testing.assert_allclose(mean, expected, atol=clip * 2.0**-22)


@pytest.mark.parametrize("num_sites", [1, 3, 4, 5, 64, 100, 1000])
def test_no_total_leaves_one_limb(num_sites):
    spec = KIND.spec(PRIVATE, REQUEST, num_sites)
    spec.check_range(num_sites)
    extreme = np.full(SPEC.num_parameters, 1e9, dtype=np.float32)
    vector = encode_update(extreme, update_clip=1.0, num_sites=num_sites)
    assert vector.shape == (spec.length,)
    assert np.abs(vector).max() == spec.bound
    assert num_sites * spec.bound < 2**31
    assert (spec.limbs, spec.counts) == (1, ())


def test_sites_weigh_by_their_records_where_these_are_no_secret():
    deltas = np.random.default_rng(0).uniform(-1, 1, (4, 9)).astype(np.float32)
    shares = (6000 / 2**23, 3000 / 2**23, 400 / 2**23, 30 / 2**23)
    spec = KIND.spec(STUDY, REQUEST, 4)
    vectors = [
        encode_update(d, update_clip=1.0, num_sites=4, weight=w)
        for d, w in zip(deltas, shares, strict=True)
    ]
    spec.check_range(4)
    assert np.abs(vectors).max() <= spec.bound
    mean = decode_update(released(sum(vectors)), update_clip=1.0, num_sites=4, by_records=True)
    np.testing.assert_allclose(mean, np.average(deltas, axis=0, weights=shares), atol=1e-6)
    assert spec.limbs == 2


def test_a_change_that_is_no_number_is_refused():
    with pytest.raises(FedCausalError, match="learning_rate"):
        encode_update(np.array([np.nan], dtype=np.float32), update_clip=1.0, num_sites=3)


def test_a_total_that_is_no_sum_of_updates_is_refused():
    for weight in (0, 3 * 2**28 + 1, -1):
        with pytest.raises(ProtocolError):
            decode_update(released(np.array([5, weight])), update_clip=1.0, num_sites=3)


def test_weights_travel_as_bytes():
    blob = weights_to_bytes(WEIGHTS)
    assert np.array_equal(weights_from_bytes(blob, SPEC), WEIGHTS)
    with pytest.raises(ProtocolError, match="bytes"):
        weights_from_bytes(blob[:-4], SPEC)


def test_a_site_computes_its_encoded_local_update():
    source = Source()
    vector = KIND.train(
        STUDY,
        REQUEST,
        source,
        np.random.default_rng(3),
        num_sites=3,
        weights=WEIGHTS,
        training=PLAN,
    )
    expected = local_update(
        SPEC,
        WEIGHTS,
        gather_rows(SPEC, source),
        plan=PLAN,
        round_index=1,
        rng=np.random.default_rng(3),
    )
    weight = 60 / ((2**25 - 1) // 3)
    encoded = encode_update(expected.delta, update_clip=1.0, num_sites=3, weight=weight)
    assert np.array_equal(vector, encoded)
    assert vector[-1] == round(weight * 2**40)
    assert np.abs(vector[:-1]).max() > 0


def test_other_weights_than_the_request_names_are_refused():
    for weights in (WEIGHTS + np.float32(1.0), WEIGHTS[:-1]):
        with pytest.raises(ProtocolError, match="weights"):
            KIND.train(
                STUDY,
                REQUEST,
                Source(),
                np.random.default_rng(0),
                num_sites=3,
                weights=weights,
                training=PLAN,
            )


def test_the_width_is_the_number_of_parameters():
    assert KIND.width(STUDY, REQUEST) == len(WEIGHTS)
    assert (KIND.name, KIND.part) == ("update", "model")


@pytest.mark.parametrize(
    "change",
    [
        {"round": 3},
        {"round": -1},
        {"round": "0"},
        {"round": True},
        {"rounds": 9},
        {"extra": 1},
        {"spec": {**SPEC.to_json(), "hidden": 5}},
        {"spec": NodeFlowSpec(**OTHER_BOUNDS).to_json()},
        {"spec": {**SPEC.to_json(), "bounds": [[-9.0, 9.0]] * 3}},
        {"spec": {**SPEC.to_json(), "levels": [0, 3, 0]}},
        {"spec": {**SPEC.to_json(), "edges": [["x", "y"], ["y", "x"]]}},
        {"spec": None},
    ],
)
def test_a_request_for_another_model_is_refused(change):
    request = Request(kind="update", parameters={**REQUEST.parameters, **change})
    with pytest.raises(ProtocolError):
        requested_spec(STUDY, request)


def test_a_request_survives_json():
    again = Request.from_json(REQUEST.to_json())
    assert requested_spec(STUDY, again) == SPEC
    assert again.id() == REQUEST.id()
