import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from fedcausal_privacy.dp import training as dp_training
from fedcausal_privacy.dp.events import PoissonSampledGaussian
from fedcausal_privacy.dp.noise import SecureNoise
from fedcausal_privacy.dp.training import LayerRule, train_plain, train_private
from fedcausal_privacy.errors import InputError

KEY = bytes(range(32))


class Banked(nn.Module):
    """Two independent linear maps in one layer: a class that Opacus does not know."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3, 3) / 2)

    def forward(self, inputs):
        return torch.einsum("ni,goi->nog", inputs, self.weight).sum(dim=-1)


def banked_norms(layer, inputs, backward):
    return 2.0 * inputs.square().sum(dim=1) * backward.square().sum(dim=1)


def banked_sums(layer, inputs, backward, weights):
    one = torch.einsum("n,no,ni->oi", weights, backward, inputs)
    return {layer.weight: torch.stack([one, one])}


RULES = {Banked: LayerRule(squared_norms=banked_norms, weighted_sums=banked_sums)}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Banked(), nn.Linear(3, 2)

    def forward(self, rows):
        return self.second(torch.tanh(self.first(rows))).square().sum(dim=1)


class Silence:
    """No noise, and samples of every row: what is left is clipping."""

    def uniform(self, size):
        return np.zeros(size)

    def normal(self, size):
        return np.zeros(size)


class Empty(Silence):
    """No row is ever sampled."""

    def uniform(self, size):
        return np.ones(size)


def loss(model, rows):
    return model(rows)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1.0)


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def rows():
    return torch.randn(24, 3, generator=torch.Generator().manual_seed(1))


def run(model, rows, **changes):
    options = {
        "rules": RULES,
        "noise_multiplier": 1.0,
        "clip": 1.0,
        "sample_rate": 0.5,
        "expected_batch_size": 12.0,
        "steps": 1,
        "optimizer": sgd,
        "noise": Silence(),
    }
    before = flat(model)
    event = train_private(model, loss, rows, **{**options, **changes})
    return flat(model) - before, event


def one_by_one(model, rows):
    """Per-row gradients by a loop of backward passes (num_rows, num_parameters)."""
    gradients = []
    for row in rows:
        parts = torch.autograd.grad(model(row[None]).sum(), list(model.parameters()))
        gradients.append(torch.cat([p.reshape(-1) for p in parts]))
    return torch.stack(gradients)


@pytest.mark.parametrize("clip", [0.05, 1.0, 100.0])
def test_a_step_without_noise_is_the_mean_of_clipped_gradients(model, rows, clip):
    gradients = one_by_one(model, rows)
    factors = (clip / gradients.norm(dim=1)).clamp(max=1.0)
    expected = -(gradients * factors[:, None]).sum(dim=0) / 12.0
    change, _ = run(model, rows, clip=clip)
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=1e-4)


def test_one_row_moves_the_sum_by_no_more_than_the_clip(model, rows):
    start = {k: v.clone() for k, v in model.state_dict().items()}
    with_all, _ = run(model, torch.cat([rows, 1e6 * torch.ones(1, 3)]), clip=0.3)
    model.load_state_dict(start)
    without, _ = run(model, rows, clip=0.3)
    assert (with_all - without).norm() * 12.0 <= 0.3 * (1 + 1e-4)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_a_row_without_a_finite_gradient_moves_no_more_either(model, rows, poison):
    bad = torch.full((1, 3), poison)
    change, _ = run(model, torch.cat([rows, bad]), clip=0.3)
    assert change.isfinite().all()
    assert change.norm() * 12.0 <= 0.3 * 25


def test_the_event_counts_the_steps(model, rows):
    _, event = run(model, rows, steps=7, sample_rate=0.25, noise_multiplier=1.7)
    assert event == PoissonSampledGaussian(sample_rate=0.25, noise_multiplier=1.7, steps=7)


def test_noise_has_the_promised_scale_on_empty_samples(model, rows):
    class Noisy(Empty):
        normal = SecureNoise.from_key(KEY).normal

    changes = torch.cat(
        [run(model, rows, noise=Noisy(), noise_multiplier=2.0, clip=0.5)[0] for _ in range(200)]
    )
    scaled = (changes * 12.0 / (2.0 * 0.5)).double().numpy()
    assert stats.kstest(scaled, "norm").pvalue > 1e-3
    assert abs(scaled.var() - 1.0) < 4 * np.sqrt(2 / scaled.size)


def test_an_empty_sample_without_noise_changes_nothing(model, rows):
    change, _ = run(model, rows, noise=Empty(), steps=3)
    assert change.abs().max() == 0.0


def test_no_rows_at_all_train_like_empty_samples(model):
    change, event = run(model, torch.empty(0, 3), steps=2)
    assert change.abs().max() == 0.0
    assert event.steps == 2


def test_samples_are_poisson(rows):
    sizes = [
        len(batch)
        for batch in dp_training._poisson_samples(
            rows, 0.3, 4000, SecureNoise.from_key(KEY).uniform
        )
    ]
    expected = stats.binom(24, 0.3)
    assert abs(np.mean(sizes) - expected.mean()) < 4 * expected.std() / np.sqrt(4000)
    assert abs(np.var(sizes) - expected.var()) < 4 * expected.var() * np.sqrt(2 / 4000)


def test_a_penalty_joins_after_the_noise(model, rows):
    before = flat(model)
    change, _ = run(
        model, rows, noise=Empty(), penalty=lambda m: [0.1 * p.detach() for p in m.parameters()]
    )
    torch.testing.assert_close(change, -0.1 * before)


def test_nothing_is_left_on_the_model(model, rows):
    run(model, rows)
    for parameter in model.parameters():
        assert parameter.grad is None
        assert parameter.requires_grad
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_penalty_in_the_loss_is_an_error_and_not_silently_dropped(model, rows, is_shown):
    """FedProx, L1 and acyclicity terms have no per-row gradient."""

    def penalised(m, batch):
        weight = m.first.weight if is_shown else m.second.weight
        return m(batch) + 0.1 * (weight - 1.0).square().sum()

    with pytest.raises(InputError, match="penalty"):
        train_private(
            model,
            penalised,
            rows,
            rules=RULES,
            noise_multiplier=1.0,
            clip=1.0,
            sample_rate=0.5,
            expected_batch_size=12.0,
            steps=1,
            optimizer=sgd,
            noise=Silence(),
        )


@pytest.mark.parametrize("name", ["clip", "expected_batch_size"])
def test_public_constants_are_positive(model, rows, name):
    with pytest.raises(InputError, match=name):
        run(model, rows, **{name: 0.0})


def test_plain_training_is_stochastic_gradient_descent(model, rows):
    expected = -one_by_one(model, rows).mean(dim=0)
    before = flat(model)
    train_plain(
        model, loss, rows, sample_rate=0.5, steps=1, optimizer=sgd, uniform=Silence().uniform
    )
    torch.testing.assert_close(flat(model) - before, expected, atol=1e-5, rtol=1e-4)


def test_a_rate_for_each_step_takes_the_place_of_the_optimizers(model, rows):
    expected = -0.25 * one_by_one(model, rows).mean(dim=0)
    before, asked = flat(model), []

    def rate(step):
        asked.append(step)
        return 0.25 if step == 0 else 0.0

    options = {"optimizer": sgd, "uniform": Silence().uniform, "rate": rate}
    train_plain(model, loss, rows, sample_rate=0.5, steps=3, **options)
    assert asked == [0, 1, 2]
    torch.testing.assert_close(flat(model) - before, expected, atol=1e-5, rtol=1e-4)


def test_plain_training_skips_empty_samples(model, rows):
    before = flat(model)
    train_plain(
        model, loss, rows, sample_rate=0.5, steps=3, optimizer=sgd, uniform=Empty().uniform
    )
    assert torch.equal(flat(model), before)


@pytest.mark.gpu
def test_training_runs_where_the_model_is(model, rows):
    on_cpu, _ = run(model, rows)
    torch.manual_seed(0)
    on_gpu, _ = run(Net().cuda(), rows.cuda())
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=1e-4, rtol=1e-3)
