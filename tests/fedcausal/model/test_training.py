from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedcausal.data.table import Table
from fedcausal.errors import InputError
from fedcausal.model import training
from fedcausal.model.held_out import is_held_out
from fedcausal.model.members import member_vectors, stacked
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_queries import log_prob, sample
from fedcausal.model.training import TrainingPlan, gather_rows, local_update, training_plan
from fedcausal.schema import Kind, Schema, Variable
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.noise import SecureNoise
from fedcausal_privacy.dp.training import train_private

OPTIONS = SimpleNamespace(
    rounds=4,
    local_epochs=2,
    batch=32,
    sample_rate=0.3,
    learning_rate=0.02,
    clip=1.0,
    update_clip=1.0,
    device="cpu",
    strategy="fedavg",
    proximal_mu=0.1,
    patience=0,
    held_out=0.1,
    members=1,
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


def test_under_noise_the_learning_rate_falls_round_by_round():
    private = training_plan(OPTIONS, epsilon=3.0, delta=1e-5)
    rates = [private.rate(r) for r in range(private.rounds)]
    assert rates[0] == private.rate(0, 5) == pytest.approx(0.02)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_without_noise_the_learning_rate_goes_through_one_cycle_over_all_rounds():
    """As in PyTorch's OneCycleLR, but for where in a step it is read."""
    rates = [PLAN.rate(r, k) for r in range(PLAN.rounds) for k in range(PLAN.steps)]
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.02)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=len(rates) + 1)
    ends = []
    for _ in rates:
        before = cycle.get_last_lr()[0]
        optimizer.step()
        cycle.step()
        ends.append((before, cycle.get_last_lr()[0]))
    for rate, (before, after) in zip(rates, ends, strict=True):
        assert min(before, after) - 1e-3 <= rate <= max(before, after) + 1e-3
    assert 0 < rates[-1] < rates[0] < max(rates) <= 0.02


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


class Crowded:
    """Training that runs out of memory with more than so many rows at a time."""

    def __init__(self, monkeypatch, most):
        self.real, self.most, self.tried = training._train, most, []
        monkeypatch.setattr(training, "_train", self)
        monkeypatch.setattr(training, "_device", lambda wanted: "cpu")

    def __call__(self, flow, rows, plan, round_index, rng, noise, chunk):
        self.tried.append(chunk)
        if len(self.tried) <= 5 and (chunk is None or chunk > self.most):
            raise torch.cuda.OutOfMemoryError("too small")
        self.real(flow, rows, plan, round_index, rng, noise, chunk)


def test_a_device_out_of_memory_takes_smaller_batches(mixed_spec, weights, values, monkeypatch):
    """Their gradients add up: the update is that of whole batches but for rounding."""
    whole = update(mixed_spec, weights, values).delta
    crowded = Crowded(monkeypatch, most=40)
    result = update(mixed_spec, weights, values)
    assert crowded.tried == [None, 60, 30]
    assert len(result.warnings) == 2
    assert "30 rows at a time" in result.warnings[1]
    np.testing.assert_allclose(result.delta, whole, atol=2e-3)


def test_a_device_without_room_is_left_for_the_cpu(mixed_spec, weights, values, monkeypatch):
    crowded = Crowded(monkeypatch, most=0)
    plan = training_plan(OPTIONS, epsilon=None, delta=1e-5, device="cuda")
    result = update(mixed_spec, weights, values, plan)
    assert crowded.tried == [None, 60, 30, None, 60, 30]
    assert result.device == "cpu"
    assert "trained on the CPU" in result.warnings[2]


@pytest.mark.parametrize("epsilon", [None, 8.0])
def test_parts_of_a_batch_add_up_to_its_step(mixed_spec, weights, values, epsilon):
    plan = training_plan(OPTIONS, epsilon=epsilon, delta=1e-5)
    deltas = []
    for chunk in (None, 7):
        flow = from_vector(mixed_spec, weights)
        rows = torch.from_numpy(mixed_spec.scale(values).astype(np.float32))
        noise = SecureNoise.from_key(bytes(32))
        training._train(flow, rows, plan, 0, rng(), noise, chunk)
        deltas.append(to_vector(flow) - weights)
    np.testing.assert_allclose(*deltas, atol=2e-3)


def test_a_proximal_term_holds_weights_back(mixed_spec, weights, values):
    """At the start its gradient is nothing; the further the weights are, the more it pulls."""
    prox = [
        training_plan(
            SimpleNamespace(**{**vars(OPTIONS), "strategy": "fedprox", "proximal_mu": mu}),
            epsilon=None,
            delta=1e-5,
        )
        for mu in (1e-6, 10.0)
    ]
    loose, tight = (np.abs(update(mixed_spec, weights, values, p).delta).mean() for p in prox)
    assert tight < 0.7 * loose
    flow = from_vector(mixed_spec, weights)
    pull = training.proximal(flow, 3.0)
    with torch.no_grad():
        flow.first.bias += 2.0
    pulls = dict(zip([n for n, _ in flow.named_parameters()], pull(flow), strict=True))
    assert (pulls["first.bias"] == 6.0).all()
    assert (pulls["second.weight"] == 0.0).all()


def test_rows_held_out_are_not_trained_on(mixed_spec, weights, values):
    options = SimpleNamespace(**{**vars(OPTIONS), "patience": 1, "held_out": 0.4})
    plan = training_plan(options, epsilon=None, delta=1e-5)
    kept = values[~is_held_out(values, 0.4)]
    assert 0 < len(kept) < len(values)
    assert np.array_equal(
        update(mixed_spec, weights, values, plan).delta, update(mixed_spec, weights, kept).delta
    )


def test_members_are_trained_in_one_pass_on_their_own_weights(mixed_spec, values):
    """Rows that count for nothing in a member leave it where it was."""
    options = SimpleNamespace(**{**vars(OPTIONS), "members": 2})
    plan = training_plan(options, epsilon=None, delta=1e-5)
    weights = to_vector(build(stacked(mixed_spec, 2), 0))

    class Halves:
        def poisson(self, rate, size):
            return np.broadcast_to([1, 0], size)

    delta = update(mixed_spec, weights, values, plan, bootstrap=Halves()).delta
    first, second = member_vectors(mixed_spec, delta, 2)
    assert np.abs(first).max() > 0.01
    assert np.abs(second).max() == 0.0
    alone = update(mixed_spec, member_vectors(mixed_spec, weights, 2)[0], values).delta
    np.testing.assert_allclose(first, alone, atol=2e-3)


def test_private_members_share_one_clipped_gradient(mixed_spec, values):
    options = SimpleNamespace(**{**vars(OPTIONS), "members": 3})
    plan = training_plan(options, epsilon=8.0, delta=1e-5)
    weights = to_vector(build(stacked(mixed_spec, 3), 0))
    result = update(mixed_spec, weights, values, plan, bootstrap=rng(3))
    assert result.event == plan.event()
    assert result.delta.shape == weights.shape


def test_mixed_precision_stays_inside_the_linear_layers(mixed_spec, make_bent):
    rows = sample(make_bent(mixed_spec, size=0.05), 50, rng=rng())
    rows = torch.from_numpy(mixed_spec.scale(rows).astype(np.float32))
    mixed_flow = make_bent(mixed_spec, size=0.05)
    exact = mixed_flow(rows)
    mixed_flow.set_mixed_precision(True)
    mixed = mixed_flow(rows)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, exact)
    assert (mixed - exact).abs().max() < 0.3
    mixed.sum().backward()
    assert all(
        p.grad is not None and p.grad.dtype == torch.float32 for p in mixed_flow.parameters()
    )
    mixed_flow.set_mixed_precision(False)
    assert torch.equal(mixed_flow(rows), exact)


def test_only_a_gpu_without_noise_mixes_precisions():
    private = training_plan(OPTIONS, epsilon=8.0, delta=1e-5)
    assert not training._mixes("cpu", PLAN)
    assert not training._mixes("cuda", private)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("epsilon", [None, 8.0])
def test_a_gpu_trains_as_the_cpu_does(mixed_spec, weights, values, epsilon):
    deltas = []
    for device in ("cpu", "auto"):
        plan = training_plan(OPTIONS, epsilon=epsilon, delta=1e-5, device=device)
        noise = SecureNoise.from_key(bytes(32))
        result = update(mixed_spec, weights, values, plan, noise=noise)
        deltas.append(result.delta)
    assert result.device == "cuda"
    assert np.corrcoef(*deltas)[0, 1] > 0.98


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
