"""Tests under known noise keep their level; tests that ignore it, or count it off n, do not."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.errors import InputError
from fedcausal.moments.covariance import BlockCovariance, GramNoise
from fedcausal.private.noisy_totals import draw_noise, repaired
from fedcausal.scores.independence import BlockTest
from fedcausal.scores.noisy_independence import NoisyBlockTest, noisy_test

REPETITIONS = 400


def _statistics(correlations, num_records, deviation, rng, blocks=None):
    """A released matrix: Wishart sampling error, noise, unit diagonal, repair."""
    size = len(correlations)
    names = tuple("xyzuvw"[: len(blocks or range(size))])
    rows = rng.standard_normal((int(num_records), size)) @ np.linalg.cholesky(correlations).T
    noise = GramNoise(deviations=np.full(size, deviation), num_records=float(num_records))
    matrix = np.corrcoef(rows.T) + draw_noise(noise, rng)
    scale = np.sqrt(np.diag(matrix))
    return BlockCovariance(
        names=names,
        blocks=dict(zip(names, blocks or [(i,) for i in range(size)], strict=True)),
        covariance=repaired(matrix / np.outer(scale, scale), noise.floor),
        num_records=np.full((len(names),) * 2, 1 / (1 / num_records + deviation**2)),
        noise=noise,
    )


def _chain(strength):
    return strength ** np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))


@pytest.mark.parametrize(("strength", "ratio"), [(0.5, 1.0), (0.8, 0.5), (0.8, 2.0)])
def test_a_nominal_level_of_5_percent_stays_between_3_and_7(strength, ratio):
    """x and z given y on a chain; noise of `ratio` times the sampling error of a correlation."""
    rng = np.random.default_rng([int(10 * strength), int(10 * ratio)])
    num_records = 1000
    rejected = np.zeros(2)
    for _ in range(REPETITIONS):
        found = _statistics(_chain(strength), num_records, ratio / np.sqrt(num_records), rng)
        for k, given in enumerate((found, replace(found, noise=None))):
            rejected[k] += BlockTest.from_covariance(given).p_value(0, 2, (1,)) < 0.05
    calibrated, counted_off = rejected / REPETITIONS
    error = np.sqrt(0.05 * 0.95 / REPETITIONS)
    assert 0.03 - error <= calibrated <= 0.07 + error
    assert counted_off > 0.07 + error  # the undefended figure: the number of records made smaller


def test_blocks_of_several_features_keep_the_level_too():
    rng = np.random.default_rng(5)
    mixing = 0.5 * rng.normal(size=(5, 5))
    rows = np.zeros((5, 5))
    rows[:3, :3] = mixing[:3, :3] @ mixing[:3, :3].T + np.eye(3)
    slopes = 0.4 * rng.normal(size=(2, 3))
    rows[3:, :3] = slopes @ rows[:3, :3]
    rows[:3, 3:] = rows[3:, :3].T
    rows[3:, 3:] = slopes @ rows[:3, 3:] + np.eye(2)
    scale = np.sqrt(np.diag(rows))
    true = rows / np.outer(scale, scale)
    # Given the three parents in z, nothing ties the two noises x and y of the children.
    blocks = [(3,), (4,), (0, 1, 2)]
    hits = sum(
        BlockTest.from_covariance(_statistics(true, 1000, 0.03, rng, blocks)).p_value(0, 1, (2,))
        < 0.05
        for _ in range(200)
    )
    assert 0.02 <= hits / 200 <= 0.09


def test_a_real_dependence_is_seen_and_its_p_value_is_below_one_in_a_thousand():
    found = _statistics(_chain(0.7), 2000, 0.02, np.random.default_rng(0))
    test = BlockTest.from_covariance(found)
    assert isinstance(test, NoisyBlockTest)
    assert test.p_value(0, 1, (2,)) < 1e-4
    assert test.p_value(0, 1) < 1e-4


def test_the_same_question_gets_the_same_answer():
    test = BlockTest.from_covariance(_statistics(_chain(0.5), 500, 0.05, np.random.default_rng(1)))
    assert test.p_value(0, 2, (1,)) == test.p_value(0, 2, (1,))


def test_what_is_no_noisy_covariance_is_refused():
    plain = replace(_statistics(_chain(0.5), 500, 0.05, np.random.default_rng(1)), noise=None)
    with pytest.raises(InputError, match="needs a covariance with noise"):
        noisy_test(plain, plain.names, ((0,), (1,), (2,)))
