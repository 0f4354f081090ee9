import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.model.splines import TAIL, rational_quadratic, rational_quadratic_inverse


def parameters(seed, size, bins=6, spread=1.5):
    generator = torch.Generator().manual_seed(seed)

    def draw(width):
        return spread * torch.randn(width, size, generator=generator, dtype=torch.float64)

    return draw(bins), draw(bins), draw(bins - 1)


def points(size=400):
    return torch.linspace(-1.5 * TAIL, 1.5 * TAIL, size, dtype=torch.float64)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), bins=st.integers(2, 12))
def test_the_inverse_undoes_the_spline(seed, bins):
    x = points()
    knots = parameters(seed, len(x), bins)
    y, _ = rational_quadratic(x, *knots)
    torch.testing.assert_close(rational_quadratic_inverse(y, *knots), x, atol=1e-8, rtol=0)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_the_derivative_is_that_of_autograd(seed):
    x = points().requires_grad_()
    y, log_derivative = rational_quadratic(x, *parameters(seed, len(x)))
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_derivative.exp(), slope, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("bins", [2, 6])
def test_all_gradients_are_those_of_finite_differences(bins):
    """Inside of bins: at knots the second derivative jumps."""
    x = torch.linspace(-1.2 * TAIL, 1.2 * TAIL, 23, dtype=torch.float64).requires_grad_()
    knots = [k.requires_grad_() for k in parameters(11, len(x), bins)]
    assert torch.autograd.gradcheck(rational_quadratic, (x, *knots), atol=1e-6)


def test_one_spline_increases_and_is_continuous():
    x = points(2000)
    knots = [k.expand(-1, len(x)) for k in parameters(3, 1, spread=0.5)]
    y, _ = rational_quadratic(x, *knots)
    steps = y.diff()
    assert (steps > 0).all()
    assert steps.max() < 10 * (x[1] - x[0])


def test_zero_parameters_and_tails_are_the_identity():
    x = points()
    zeros = [torch.zeros(n, len(x), dtype=torch.float64) for n in (6, 6, 5)]
    y, log_derivative = rational_quadratic(x, *zeros)
    torch.testing.assert_close(y, x, atol=1e-12, rtol=0)
    torch.testing.assert_close(log_derivative, torch.zeros_like(x), atol=1e-12, rtol=0)
    outside = x.abs() >= TAIL
    bent, _ = rational_quadratic(x, *parameters(1, len(x)))
    assert torch.equal(bent[outside], x[outside])


def test_gradients_stay_finite_everywhere():
    x = torch.tensor([-100.0, -TAIL, 0.0, TAIL, 100.0], requires_grad=True)
    knots = [k.float().requires_grad_() for k in parameters(2, len(x))]
    y, log_derivative = rational_quadratic(x, *knots)
    gradients = torch.autograd.grad(y.sum() + log_derivative.sum(), [x, *knots])
    assert all(g.isfinite().all() for g in gradients)


def test_nodes_and_rows_are_independent_of_one_another():
    x = points(30).reshape(3, 10)
    knots = [k.reshape(-1, 3, 10).transpose(0, 1) for k in parameters(7, 30)]
    y, log_derivative = rational_quadratic(x, *knots)
    back = rational_quadratic_inverse(y, *knots)
    for node in range(3):
        alone = rational_quadratic(x[node], *(k[node] for k in knots))
        torch.testing.assert_close((y[node], log_derivative[node]), alone, atol=0, rtol=1e-12)
        torch.testing.assert_close(back[node], x[node], atol=1e-8, rtol=0)


@pytest.mark.parametrize("bins", [2, 3, 40])
def test_any_number_of_bins(bins):
    x = points()
    knots = parameters(5, len(x), bins)
    y, _ = rational_quadratic(x, *knots)
    torch.testing.assert_close(rational_quadratic_inverse(y, *knots), x, atol=1e-7, rtol=0)
