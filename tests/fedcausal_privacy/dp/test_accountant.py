import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from scipy.optimize import brentq
from scipy.stats import norm

from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for
from fedcausal_privacy.dp.events import GaussianRelease, NoPrivacy, PoissonSampledGaussian
from fedcausal_privacy.errors import InputError, UnsupportedEventError


def gaussian(noise_multiplier):
    return GaussianRelease(sensitivity=7.0, noise_multiplier=noise_multiplier, name="sum")


def sampled(sample_rate, noise_multiplier, steps):
    return PoissonSampledGaussian(
        sample_rate=sample_rate, noise_multiplier=noise_multiplier, steps=steps
    )


def analytic_epsilon(noise_multiplier, delta):
    """Balle and Wang (2018), arXiv:1805.06530, theorem 8, in closed form."""

    def excess(epsilon):
        a, b = 1 / (2 * noise_multiplier), epsilon * noise_multiplier
        return norm.cdf(a - b) - np.exp(epsilon) * norm.cdf(-a - b) - delta

    return brentq(excess, 0.0, 500.0)


@pytest.mark.parametrize("noise_multiplier", [0.6, 1.0, 3.73, 20.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-7])
def test_a_gaussian_costs_what_the_closed_form_says(noise_multiplier, delta):
    exact = analytic_epsilon(noise_multiplier, delta)
    ours = epsilon_of([gaussian(noise_multiplier)], delta)
    assert exact - 1e-9 <= ours <= 1.01 * exact


@pytest.mark.parametrize("count", [2, 5, 30])
def test_gaussians_compose_like_one_with_less_noise(count):
    exact = analytic_epsilon(4.0 / np.sqrt(count), 1e-5)
    ours = epsilon_of([gaussian(4.0)] * count, 1e-5)
    assert exact - 1e-9 <= ours <= 1.01 * exact


def test_sampled_steps_and_releases_agree_with_the_reference_on_a_finer_grid():
    reference = PLDAccountant(value_discretization_interval=5e-5)
    step = dp_accounting.PoissonSampledDpEvent(0.02, dp_accounting.GaussianDpEvent(1.1))
    reference.compose(step, 300)
    reference.compose(dp_accounting.GaussianDpEvent(4.0))
    exact = reference.get_epsilon(1e-5)
    ours = epsilon_of([sampled(0.02, 1.1, 100), gaussian(4.0), sampled(0.02, 1.1, 200)], 1e-5)
    assert exact - 1e-9 <= ours <= 1.01 * exact


def test_epsilon_grows_with_steps_and_falls_with_noise():
    by_steps = [epsilon_of([sampled(0.2, 2.0, n)], 1e-5) for n in (1, 5, 25, 100)]
    by_noise = [epsilon_of([sampled(0.2, s, 25)], 1e-5) for s in (0.8, 1.5, 4.0)]
    assert by_steps == sorted(by_steps)
    assert by_noise == sorted(by_noise, reverse=True)


def test_sampling_everything_is_no_sampling():
    assert epsilon_of([sampled(1.0, 3.0, 4)], 1e-5) == epsilon_of([gaussian(3.0)] * 4, 1e-5)


def test_nothing_costs_nothing_and_no_privacy_is_not_counted():
    assert epsilon_of([], 1e-5) == 0.0
    assert epsilon_of([NoPrivacy(name="gram")], 1e-5) == 0.0
    with_it = epsilon_of([gaussian(2.0), NoPrivacy(name="gram")], 1e-5)
    assert with_it == epsilon_of([gaussian(2.0)], 1e-5)


def test_an_unknown_event_is_an_error():
    with pytest.raises(UnsupportedEventError):
        epsilon_of([gaussian(2.0), object()], 1e-5)


@pytest.mark.parametrize(
    ("epsilon", "sample_rate", "steps"), [(0.3, 1.0, 1), (1.0, 0.2, 25), (8.0, 0.2, 25)]
)
def test_the_noise_for_a_budget_fits_it_and_hardly_more(epsilon, sample_rate, steps):
    multiplier = noise_multiplier_for(epsilon, 1e-5, sample_rate, steps)
    assert epsilon_of([sampled(sample_rate, multiplier, steps)], 1e-5) <= epsilon
    assert epsilon_of([sampled(sample_rate, 0.995 * multiplier, steps)], 1e-5) > epsilon


def test_the_noise_of_one_release_is_the_analytic_one():
    for epsilon in (0.5, 1.0, 3.0, 8.0):
        multiplier = noise_multiplier_for(epsilon, 1e-5)
        assert epsilon * 0.99 <= analytic_epsilon(multiplier, 1e-5) <= epsilon


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, float("nan")])
def test_delta_is_a_probability(delta):
    with pytest.raises(InputError, match="delta"):
        epsilon_of([gaussian(2.0)], delta)


@pytest.mark.parametrize(
    ("epsilon", "sample_rate", "steps"),
    [(0.0, 0.2, 5), (float("inf"), 0.2, 5), (1.0, 0.0, 5), (1.0, 1.5, 5), (1.0, 0.2, 0)],
)
def test_impossible_plans_are_refused(epsilon, sample_rate, steps):
    with pytest.raises(InputError):
        noise_multiplier_for(epsilon, 1e-5, sample_rate, steps)
