from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedcausal.data.table import Table
from fedcausal.errors import InputError
from fedcausal.model import training
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_queries import log_prob, sample
from fedcausal.model.training import TrainingPlan, gather_rows, local_update, training_plan
from fedcausal.schema import Kind, Schema, Variable
from fedcausal_privacy.accountant import epsilon_of
from fedcausal_privacy.dp_training import train_private
from fedcausal_privacy.noise import SecureNoise

OPTIONS = SimpleNamespace(
    rounds=4,
    local_epochs=2,
    batch=32,
    sample_rate=0.3,
    learning_rate=0.02,
    clip=1.0,
    update_clip=1.0,
    device="cpu",
)
PLAN = training_plan(OPTIONS, epsilon=None, delta=1e-5)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def values(mixed_flow):
    rows = sample(mixed_flow, 200, rng=rng())
    rows[rng(1).random(rows.shape) < 0.1] = np.nan
    return rows


@pytest.fixture
def weights(mixed_spec):
    return to_vector(build(mixed_spec, 0))


def update(spec, weights, values, plan=PLAN, round_index=0, **changes):
    options = {"rng": rng(), **changes}
    return local_update(spec, weights, values, plan=plan, round_index=round_index, **options)


def test_a_plan_counts_steps_and_pays_for_all_rounds():
    private = training_plan(OPTIONS, epsilon=3.0, delta=1e-5)
    assert PLAN.steps == private.steps == 7
    assert PLAN.event() is None
    total = epsilon_of([private.event()] * OPTIONS.rounds, 1e-5)
    assert 2.9 < total <= 3.0


def test_the_learning_rate_falls():
    rates = [PLAN.rate(r) for r in range(PLAN.rounds)]
    assert rates[0] == pytest.approx(0.02)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_rounds_of_training_raise_the_likelihood(mixed_spec, weights, values):
    before = weights
    for round_index in range(PLAN.rounds):
        weights = weights + update(mixed_spec, weights, values, round_index=round_index).delta
    started, trained = (log_prob(from_vector(mixed_spec, w), values) for w in (before, weights))
    assert trained.sum(axis=1).mean() > started.sum(axis=1).mean() + 0.5


def test_training_without_privacy_is_reproducible(mixed_spec, weights, values):
    first, again = (update(mixed_spec, weights, values).delta for _ in range(2))
    assert np.array_equal(first, again)
    other = update(mixed_spec, weights, values, rng=rng(9)).delta
    assert not np.array_equal(first, other)


def test_private_training_reports_its_event_and_ignores_the_seed(mixed_spec, weights, values):
    plan = training_plan(OPTIONS, epsilon=8.0, delta=1e-5)
    first, again = (update(mixed_spec, weights, values, plan) for _ in range(2))
    assert first.event == plan.event()
    assert first.delta.dtype == np.float32
    assert not np.array_equal(first.delta, again.delta)


def test_private_training_can_be_replayed_from_a_key_in_tests(mixed_spec, weights, values):
    plan = training_plan(OPTIONS, epsilon=8.0, delta=1e-5)
    deltas = [
        update(mixed_spec, weights, values, plan, noise=SecureNoise.from_key(bytes(32))).delta
        for _ in range(2)
    ]
    assert np.array_equal(*deltas)


def test_a_site_without_rows_changes_nothing(mixed_spec, weights):
    result = update(mixed_spec, weights, np.empty((0, 6)))
    assert np.abs(result.delta).max() == 0.0


@pytest.mark.parametrize("clip", [0.5, 50.0])
def test_one_private_step_is_the_mean_of_clipped_gradients(mixed_spec, mixed_flow, values, clip):
    """Per-row gradients of grouped layers inside a whole flow equal a loop of autograd."""
    flow = mixed_flow.double()
    rows = torch.from_numpy(mixed_spec.scale(values[:20]))
    gradients = []
    for row in rows:
        parts = torch.autograd.grad(flow(row[None]).sum(), list(flow.parameters()))
        gradients.append(torch.cat([p.reshape(-1) for p in parts]))
    norms = torch.stack(gradients).norm(dim=1)
    expected = sum(g * min(1.0, clip / n) for g, n in zip(gradients, norms, strict=True)) / 20.0
    before = torch.cat([p.detach().reshape(-1).clone() for p in flow.parameters()])

    class Silence:
        def uniform(self, size):
            return np.zeros(size)

        normal = uniform

    train_private(
        flow,
        lambda model, batch: model(batch),
        rows,
        rules=training.RULES,
        noise_multiplier=1.0,
        clip=clip,
        sample_rate=0.5,
        expected_batch_size=20.0,
        steps=1,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        noise=Silence(),
    )
    after = torch.cat([p.detach().reshape(-1) for p in flow.parameters()])
    torch.testing.assert_close(before - after, expected, atol=1e-4, rtol=1e-4)


def test_a_device_out_of_memory_falls_back_to_the_cpu(mixed_spec, weights, values, monkeypatch):
    real = training._train

    def limited(*arguments, device):
        if device == "meta":
            raise torch.cuda.OutOfMemoryError("too small")
        return real(*arguments, device=device)

    monkeypatch.setattr(training, "_train", limited)
    plan = training_plan(OPTIONS, epsilon=None, delta=1e-5, device="meta")
    result = update(mixed_spec, weights, values, plan)
    assert result.device == "cpu"
    assert "ran out of memory" in result.warnings[0]
    assert np.array_equal(result.delta, update(mixed_spec, weights, values).delta)


def test_a_device_that_is_not_there_is_refused(mixed_spec, weights, values):
    with pytest.raises(InputError, match=r"model\.device"):
        update(
            mixed_spec,
            weights,
            values,
            training_plan(OPTIONS, epsilon=None, delta=1e-5, device="abacus"),
        )


def test_rows_are_gathered_in_the_order_of_the_model():
    schema = Schema(
        tuple(Variable(name=n, kind=Kind.CONTINUOUS, bounds=(0.0, 10.0)) for n in "abc")
    )

    class Source:
        def __init__(self):
            self.schema = schema

        def batches(self):
            return Table(schema, np.arange(15.0).reshape(5, 3)).batches(2)

    spec = training.NodeFlowSpec.from_schema(schema, [], names=["c", "a"])
    rows = gather_rows(spec, Source())
    assert rows.tolist() == [[2.0, 0.0], [5.0, 3.0], [8.0, 6.0], [11.0, 9.0], [14.0, 12.0]]


@pytest.mark.gpu
def test_a_graphics_processor_gives_nearly_the_same_update(mixed_spec, weights, values):
    plan = training_plan(OPTIONS, epsilon=None, delta=1e-5, device="cuda")
    on_gpu = update(mixed_spec, weights, values, plan)
    assert on_gpu.device == "cuda"
    on_cpu = update(mixed_spec, weights, values)
    correlation = np.corrcoef(on_gpu.delta, on_cpu.delta)[0, 1]
    assert correlation > 0.99


def test_plans_are_values():
    assert isinstance(PLAN, TrainingPlan)
    assert training_plan(OPTIONS, epsilon=None, delta=1e-5) == PLAN
