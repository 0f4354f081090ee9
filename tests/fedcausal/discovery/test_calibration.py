"""Calibrated tests on pairwise-deleted covariances: their level, and the model behind them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from fedcausal.discovery.calibration import Calibration, overlap_model
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import nearest_correlation
from fedcausal.scores.independence import BlockTest


def pairwise(values, observed, widths):
    """The covariance of rows with values missing, formed pair by pair with pandas' rule."""
    owners = np.repeat(np.arange(len(widths)), widths)
    seen = np.where(observed[:, owners], values, np.nan)
    matrix = np.ma.corrcoef(np.ma.masked_invalid(seen), rowvar=False).filled(0.0)
    size = len(owners)
    for i in range(size):
        for j in range(i):
            both = observed[:, owners[i]] & observed[:, owners[j]]
            matrix[i, j] = matrix[j, i] = np.corrcoef(values[both, i], values[both, j])[0, 1]
    starts = np.cumsum([0, *widths])
    names = tuple("abcdefgh"[: len(widths)])
    marks = observed.astype(float)
    return BlockCovariance(
        names=names,
        blocks={n: tuple(range(s, e)) for n, s, e in zip(names, starts, starts[1:], strict=False)},
        covariance=nearest_correlation(matrix),
        num_records=marks.T @ marks - 1.0,
    )


def rejected(num_rows, shares, widths, *, draws, seed, strength=(0.6, 0.3)):
    """Share of rejections of a true null at level .05: calibrated, and by the smallest count.

    `strength` is that of what is conditioned on: on the others, and among itself.
    """
    rng = np.random.default_rng(seed)
    size, given = sum(widths), widths[-1] if len(widths) == 3 else len(widths) - 2
    mixing = strength[0] * rng.standard_normal((given, size - given))
    inner = np.eye(given) + strength[1] * rng.standard_normal((given, given))
    hits = np.zeros(2)
    for _ in range(draws):
        z = rng.standard_normal((num_rows, given)) @ inner
        ab = z @ mixing + rng.standard_normal((num_rows, size - given))
        observed = rng.random((num_rows, len(widths))) < shares
        test = BlockTest.from_covariance(pairwise(np.hstack([ab, z]), observed, widths))
        rest = list(range(2, len(widths)))
        shortcut = replace(test, calibration=None)
        hits += [test.p_value(0, 1, rest) < 0.05, shortcut.p_value(0, 1, rest) < 0.05]
    return hits / draws


def test_the_level_holds_where_the_smallest_count_does_not():
    # Two blocks of two features given a third, 20 to 40 % of the values missing.
    calibrated, shortcut = rejected(300, (0.8, 0.8, 0.6), (2, 2, 2), draws=150, seed=2)
    assert 0.03 <= calibrated <= 0.07
    assert shortcut > 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shares", "widths", "seed"),
    [
        ((0.8, 0.8, 0.7, 0.7, 0.7), (1, 1, 1, 1, 1), 3),
        ((0.9, 0.7, 0.6), (1, 1, 2), 4),
        ((0.7, 0.9, 0.8), (2, 1, 3), 5),
    ],
)
def test_the_level_holds_for_other_shapes(shares, widths, seed):
    calibrated, _ = rejected(400, shares, widths, draws=500, seed=seed)
    assert 0.03 <= calibrated <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shares", "widths", "seed"),
    [
        ((0.8, 0.8, 0.7, 0.7, 0.7), (1, 1, 1, 1, 1), 3),
        ((0.9, 0.7, 0.6), (1, 1, 2), 4),
        ((0.7, 0.9, 0.8), (2, 1, 3), 5),
    ],
)
def test_near_singular_correlations_keep_the_level_only_roughly(shares, widths, seed):
    # The limitation that `Calibration` states: 1 to 12 % were measured for 5 %.
    level, shortcut = rejected(400, shares, widths, draws=300, seed=seed, strength=(0.8, 0.4))
    assert level <= 0.15
    assert abs(level - 0.05) <= max(abs(shortcut - 0.05), 0.05)


def test_complete_data_are_not_calibrated():
    rng = np.random.default_rng(0)
    observed = rng.random((400, 3)) < 0.99
    values = rng.standard_normal((400, 3))
    assert BlockTest.from_covariance(pairwise(values, observed, (1, 1, 1))).calibration is None
    gaps = observed & (rng.random((400, 3)) < 0.8)
    assert BlockTest.from_covariance(pairwise(values, gaps, (1, 1, 1))).calibration is not None


def test_pairs_with_equal_counts_keep_the_exact_formula():
    rng = np.random.default_rng(1)
    observed = np.ones((400, 3), dtype=bool)
    observed[:200, 2] = False
    test = BlockTest.from_covariance(pairwise(rng.standard_normal((400, 3)), observed, (1, 1, 1)))
    assert test.p_value(0, 1) == replace(test, calibration=None).p_value(0, 1)
    assert test.p_value(0, 2) != replace(test, calibration=None).p_value(0, 2)


def test_a_marginal_test_is_worth_its_own_pair():
    # Given nothing, a correlation has the information of its own records.
    counts = np.array([[1000.0, 500.0], [500.0, 600.0]])
    calibration = Calibration(
        covariance=np.array([[1.0, 0.3], [0.3, 1.0]]),
        owners=np.array([0, 1]),
        num_records=counts,
    )
    assert calibration.effective_records([0], [1], []) == pytest.approx(500, rel=0.2)


def test_the_overlap_model_has_the_pairs_counts():
    rng = np.random.default_rng(2)
    latent = rng.multivariate_normal([0, 0, 0], [[1, 0.6, 0], [0.6, 1, -0.4], [0, -0.4, 1]], 5000)
    observed = (latent < [0.8, 0.3, 1.0]).astype(float)
    counts = observed.T @ observed
    total, overlap = overlap_model(counts)
    assert total == pytest.approx(5000, rel=0.1)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = multivariate_normal([0, 0], [[1, overlap.latent[i, j]], [overlap.latent[i, j], 1]])
        share = both.cdf(overlap.thresholds[[i, j]])
        assert share * total == pytest.approx(counts[i, j], rel=0.01)
    np.testing.assert_allclose(norm.cdf(overlap.thresholds) * total, np.diag(counts), rtol=1e-6)


def test_the_same_seed_gives_the_same_p_value():
    rng = np.random.default_rng(3)
    observed = rng.random((300, 4)) < 0.7
    statistics = pairwise(rng.standard_normal((300, 4)), observed, (1, 1, 1, 1))
    first, second = (BlockTest.from_covariance(statistics).p_value(0, 1, [2, 3]) for _ in "ab")
    assert first == second
