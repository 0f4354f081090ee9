"""Several flows as one: the same losses, the same parameters, no edge between them."""

import numpy as np
import pytest
import torch

from fedcausal.errors import ProtocolError
from fedcausal.model.members import member_vectors, poisson_weights, stacked, stacked_starts
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_queries import sample
from fedcausal.model.nodeflow_spec import NodeStart
from fedcausal.model.training import member_losses


def test_one_member_is_the_flow_itself(mixed_spec):
    assert stacked(mixed_spec, 1) is mixed_spec
    assert stacked_starts({"a": NodeStart()}, 1) == {"a": NodeStart()}


def test_the_loss_of_all_is_the_weighted_sum_of_each(mixed_spec, make_bent, mixed_flow):
    whole = make_bent(stacked(mixed_spec, 3))
    each = [from_vector(mixed_spec, v) for v in member_vectors(mixed_spec, to_vector(whole), 3)]
    values = sample(mixed_flow, 50, rng=np.random.default_rng(0))
    values[::5, 2] = np.nan
    rows = torch.from_numpy(mixed_spec.scale(values).astype(np.float32))
    weights = torch.tensor(poisson_weights(50, 3, np.random.default_rng(1)), dtype=torch.float32)
    found = member_losses(3)(whole, torch.cat([rows, weights - 1.0], dim=1))
    expected = sum(weights[:, m] * member(rows) for m, member in enumerate(each))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_members_start_differently_around_one_start(mixed_spec):
    start = {"c": NodeStart(intercept=4.0, slopes={"a": (0.5,)}, scale=2.0)}
    vector = to_vector(build(stacked(mixed_spec, 2), 0, start=stacked_starts(start, 2)))
    first, second = (from_vector(mixed_spec, v) for v in member_vectors(mixed_spec, vector, 2))
    alone = build(mixed_spec, 5, start=start)
    assert torch.equal(first.linear.weight, alone.linear.weight)
    assert torch.equal(second.linear.bias, alone.linear.bias)
    assert not torch.equal(first.first.weight, second.first.weight)


def test_a_vector_of_another_length_is_refused(mixed_spec):
    with pytest.raises(ProtocolError, match="parameters"):
        member_vectors(mixed_spec, np.zeros(3, dtype=np.float32), 2)


def test_rows_count_once_on_average():
    weights = poisson_weights(20_000, 4, np.random.default_rng(0))
    assert weights.shape == (20_000, 4)
    assert weights.mean(axis=0) == pytest.approx(np.ones(4), abs=0.05)
    assert weights.var(axis=0) == pytest.approx(np.ones(4), abs=0.06)
