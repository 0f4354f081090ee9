import numpy as np
import pytest

from fedcausal.moments.covariance import GramNoise
from fedcausal.private.noisy_totals import NoisyTotals, draw_noise, noisy_covariance, repaired
from fedcausal.private.private_features import PrivateFeatures
from fedcausal.schema import Schema, Variable

SCHEMA = Schema(tuple(Variable(name=n, kind="continuous", bounds=(0, 1)) for n in "abc"))
FEATURES = PrivateFeatures(SCHEMA, {}, dict.fromkeys("abc", (0.0, 0.1)), 60.0)


def _totals(covariance, *, deviation=1.0, num_records=1000.0):
    return NoisyTotals(
        features=FEATURES,
        num_records=num_records,
        sums=num_records * np.array([0.1, 0.0, -0.2]),
        products=num_records * (covariance + np.outer([0.1, 0.0, -0.2], [0.1, 0.0, -0.2])),
        deviation=deviation,
        sum_deviation=1.0,
        num_sites=3,
    )


def test_moments_become_correlations_with_their_noise():
    covariance = np.array([[2.0, 0.7, 0.0], [0.7, 0.5, 0.1], [0.0, 0.1, 1.0]])
    found = noisy_covariance(_totals(covariance, deviation=10.0))
    assert found.covariance[0, 1] == pytest.approx(0.7)
    assert found.covariance[1, 2] == pytest.approx(0.1 / np.sqrt(0.5))
    # The noise of entry (i, j) of the correlations is 10 / 1000 / sqrt(v_i v_j).
    assert found.noise.deviations == pytest.approx([0.005, 0.02, 0.01])
    assert found.noise.num_records == 1000.0


def test_the_effective_number_counts_noise_and_sampling():
    found = noisy_covariance(_totals(np.eye(3), deviation=10.0))
    assert found.num_records[0, 1] == pytest.approx(1 / (1 / 1000 + 0.01**2))


def test_a_matrix_that_noise_made_indefinite_is_repaired():
    broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    found = noisy_covariance(_totals(broken, deviation=50.0))
    assert np.linalg.eigvalsh(found.covariance)[0] > 0.005
    assert np.allclose(np.diag(found.covariance), 1.0)


def test_a_good_matrix_is_left_as_it_is():
    good = np.array([[1.0, 0.5], [0.5, 1.0]])
    assert np.allclose(repaired(good, 0.01), good)


def test_a_variable_that_drowns_in_noise_is_named():
    notes = noisy_covariance(_totals(np.diag([1.0, 0.06, 1.0]), deviation=40.0)).notes
    assert "noise of 0.04 in a correlation" in notes[0]
    assert notes[1].startswith("b: more noise than signal")
    assert len(noisy_covariance(_totals(np.eye(3))).notes) == 1


def test_drawn_noise_has_the_stated_variances():
    """Each of six variances within 5 standard errors."""
    noise = GramNoise(deviations=np.array([0.1, 0.4, 0.2]), num_records=100.0)
    drawn = draw_noise(noise, np.random.default_rng(0), (4000,))
    expected = np.outer(noise.deviations, noise.deviations) * (1 + np.eye(3))
    assert np.allclose(drawn, np.swapaxes(drawn, 1, 2))
    assert np.abs(drawn.var(axis=0) / expected - 1).max() < 5 * np.sqrt(2 / 4000)
