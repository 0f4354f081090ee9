import numpy as np
import pytest

from fedcausal.scores.contingency import g2_test
from fedcausal.scores.noisy_contingency import noisy_table_test

CHAIN = np.array([[[0.30, 0.05], [0.10, 0.05]], [[0.10, 0.10], [0.05, 0.25]]])
"""Any table over (a, b, z); a and b are made independent given z below."""


def independent(joint):
    strata = joint.sum(axis=(0, 1), keepdims=True)
    return joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True) / strata


def rejected(deviation, num_rows, num_studies, seed, test):
    rng, truth = np.random.default_rng(seed), independent(CHAIN)
    found = 0
    for _ in range(num_studies):
        counts = rng.multinomial(num_rows, truth.ravel()).reshape(truth.shape)
        noisy = counts + deviation * rng.standard_normal(truth.shape)
        found += test(noisy, deviation, rng) < 0.05
    return found / num_studies


def ignoring(table, deviation, rng):
    return g2_test(np.maximum(table, 0.0)).p_value


@pytest.mark.parametrize(("deviation", "num_rows"), [(0.5, 1000), (10.0, 1000), (40.0, 5000)])
def test_the_nominal_level_holds_under_the_noise(deviation, num_rows):
    """500 seeded studies: two standard errors of 5 % are 2 %."""
    found = rejected(deviation, num_rows, 500, 1, noisy_table_test)
    assert 0.03 <= found <= 0.07


def test_a_test_that_ignores_the_noise_rejects_truths():
    assert rejected(40.0, 5000, 200, 2, ignoring) > 0.5


def test_dependence_is_seen_through_the_noise():
    rng = np.random.default_rng(3)
    counts = 5000 * CHAIN + 10.0 * rng.standard_normal(CHAIN.shape)
    assert noisy_table_test(counts, 10.0, rng) < 1e-4
