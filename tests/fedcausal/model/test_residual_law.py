import numpy as np
import pytest

from fedcausal.errors import InputError
from fedcausal.model.residual_law import ResidualLaw, bin_edges


def test_quantiles_match_numpy_up_to_a_bin():
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=50_000)
    values = (values - values.mean()) / values.std()
    edges = bin_edges(1.0, 40)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    law = ResidualLaw.from_masses(edges, counts, len(values))
    levels = np.linspace(0.01, 0.99, 99)
    assert np.abs(law.quantile(levels) - np.quantile(values, levels)).max() < 8.0 / 40


def test_the_mean_is_zero_and_the_gaussian_has_its_sd():
    law = ResidualLaw.gaussian(0.3, 1000)
    assert law.sd == pytest.approx(0.3, rel=2e-3)
    draws = law.quantile(np.random.default_rng(0).random(200_000))
    assert abs(draws.mean()) < 4 * 0.3 / np.sqrt(200_000)
    lopsided = ResidualLaw.from_masses(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0]), 4)
    assert lopsided.masses @ (0.5 * (lopsided.edges[1:] + lopsided.edges[:-1])) == pytest.approx(0)


def test_the_density_integrates_to_one_and_is_floored_outside():
    law = ResidualLaw.gaussian(1.0, 100)
    grid = np.linspace(law.edges[0], law.edges[-1], 20_001)[:-1]
    total = np.exp(law.log_density(grid)).sum() * (grid[1] - grid[0])
    assert total == pytest.approx(1.0, rel=0.02)
    assert np.isfinite(law.log_density(np.array([-50.0, 50.0]))).all()


@pytest.mark.parametrize(
    ("edges", "masses"),
    [([0.0, 1.0], [0.5, 0.5]), ([0.0, 0.0, 1.0], [0.5, 0.5]), ([0.0, 1.0], [0.7])],
)
def test_impossible_laws_are_refused(edges, masses):
    with pytest.raises(InputError, match="residual law"):
        ResidualLaw(edges=np.array(edges), masses=np.array(masses), num_records=1)
