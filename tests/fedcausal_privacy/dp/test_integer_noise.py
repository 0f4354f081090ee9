"""The noise has the law that is charged, does not repeat, and adds up in shares."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcausal_privacy.dp.integer_noise import (
    MIN_SHARE,
    discrete_gaussian,
    gram_sensitivity,
    num_colluding_by_default,
    share_of,
)
from fedcausal_privacy.errors import InputError

SIZE = 4000


def _svec(rows):
    upper = np.triu_indices(rows.shape[1])
    gram = rows.T @ rows
    return gram[upper] * np.where(upper[0] == upper[1], 1.0, math.sqrt(2.0))


def _release(rows, radius):
    """(R^2/3 n, R/3 sum x, svec sum x x'), as the sensitivity is stated for."""
    return np.concatenate(
        [[radius**2 / 3 * len(rows)], radius / 3 * rows.sum(axis=0), _svec(rows)]
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(0, 5), st.floats(0.1, 50.0), st.randoms())
def test_no_pair_of_neighbours_is_further_apart_than_the_sensitivity(d, n, radius, source):
    rng = np.random.default_rng(source.randrange(2**32))
    rows = rng.normal(size=(n + 1, d))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows *= radius * rng.uniform(0, 1, (n + 1, 1)) ** 0.2 / norms
    gap = np.linalg.norm(_release(rows, radius) - _release(rows[:-1], radius))
    assert gap <= gram_sensitivity(radius) * (1 + 1e-9)


def test_a_row_on_the_sphere_is_as_far_apart_as_the_sensitivity():
    row = np.array([[3.0, 4.0]])
    assert np.linalg.norm(_release(row, 5.0)) == pytest.approx(gram_sensitivity(5.0))


@pytest.mark.parametrize("scale", [8.0, 1000.3, 2.0**34])
def test_noise_is_gaussian_with_the_scale_asked_for(scale):
    """KS and a chi-square test of the variance, at 1e-8 each: the source has no seed."""
    noise = discrete_gaussian(np.full(SIZE, scale))
    assert noise.dtype == np.int64
    ranks = stats.norm.cdf((noise + np.random.default_rng(0).uniform(-0.5, 0.5, SIZE)) / scale)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-8
    low, high = stats.chi2.ppf([5e-9, 1 - 5e-9], SIZE)
    assert low < (noise / scale) @ (noise / scale) < high


def test_large_scales_do_not_saturate():
    assert np.abs(discrete_gaussian(np.full(200, 2.0**40))).max() > 2**33


def test_no_seed_of_any_library_repeats_the_noise():
    draws = []
    for _ in range(2):
        np.random.seed(1)
        random.seed(1)
        draws.append(discrete_gaussian(np.full(50, 1e6)))
    assert not np.array_equal(*draws)
    assert abs(np.corrcoef(*(discrete_gaussian(np.full(SIZE, 1e6)) for _ in "ab"))[0, 1]) < 0.095


def test_each_entry_gets_its_own_scale():
    scales = np.tile([10.0, 1e4, 1e8], 500)
    noise = discrete_gaussian(scales).reshape(-1, 3)
    assert np.allclose(noise.std(axis=0) / scales[:3], 1.0, atol=0.2)


@pytest.mark.parametrize(("num_sites", "colluding"), [(3, 1), (10, 3), (10, 0)])
def test_the_shares_of_the_honest_sites_make_the_whole_noise(num_sites, colluding):
    scales = np.full(SIZE, 1000.0)
    share = share_of(scales, num_sites, colluding)
    honest = num_sites - colluding
    total = sum(discrete_gaussian(share) for _ in range(honest))
    assert total.std() / 1000.0 == pytest.approx(1.0, abs=6 / math.sqrt(2 * SIZE))


def test_shares_are_refused_where_they_would_hide_nothing():
    with pytest.raises(InputError, match="colluding_sites: expected 0 to 1 of 3 sites, got 2"):
        share_of(np.array([100.0]), 3, 2)
    with pytest.raises(InputError, match="too small for the grid"):
        share_of(np.array([MIN_SHARE]), 3, 0)


@pytest.mark.parametrize("scale", [0.0, -1.0, 2.0**60])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(InputError, match="noise scales"):
        discrete_gaussian(np.array([scale]))


def test_a_quarter_of_the_sites_may_collude():
    assert [num_colluding_by_default(k) for k in (3, 4, 5, 8, 9, 40)] == [1, 1, 2, 2, 3, 10]
