"""Who lies apart: liars do, sites with other means, sizes and noise levels mostly do not."""

import numpy as np
import pytest

from fedcausal.robust.distance import remoteness, weights

SIZE = 5


def stacks(seed, spread, liars=0, num_sites=10):
    """Records and centred products of sites with one linear model; liars negate a variable."""
    rng = np.random.default_rng(seed)
    slopes = np.tril(rng.uniform(0.4, 0.9, (SIZE, SIZE)), -1)
    counts = rng.integers(100, 500, num_sites)
    found = []
    for site, number in enumerate(counts):
        levels = np.exp(rng.uniform(-spread, spread, SIZE))
        noise = rng.normal(size=(number, SIZE)) * levels + 3 * rng.normal(size=SIZE)
        rows = noise @ np.linalg.inv(np.eye(SIZE) - slopes).T
        rows[:, -1] *= -1 if site < liars else 1
        centred = rows - rows.mean(axis=0)
        found.append(centred.T @ centred)
    return counts, np.array(found)


def test_honest_sites_lie_together_whatever_their_means_and_sizes():
    apart = [np.sum(remoteness([stacks(seed, 0.0)], 3) > 1) for seed in range(60)]
    assert np.mean(apart) < 0.25  # of ten sites a study, when three may be set aside


def test_noise_levels_that_differ_set_few_aside():
    apart = [np.sum(remoteness([stacks(seed, 0.3)], 3) > 1) for seed in range(30)]
    assert np.mean(apart) < 1.0


@pytest.mark.parametrize("liars", [1, 2, 3])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_liars_who_agree_with_each_other_lie_apart(liars, spread):
    for seed in range(20):
        found = remoteness([stacks(seed, spread, liars)], 3)
        assert set(np.argsort(-found)[:liars]) == set(range(liars))
        assert np.all(found[:liars] > 1)


def test_the_order_of_sites_and_the_unit_of_a_column_do_not_matter():
    counts, products = stacks(3, 0.2, 2)
    found = remoteness([(counts, products)], 3)
    turn = np.random.default_rng(1).permutation(10)
    np.testing.assert_allclose(remoteness([(counts[turn], products[turn])], 3), found[turn])
    units = np.diag([1.0, 100.0, 1e-3, 7.0, 1.0])
    np.testing.assert_allclose(remoteness([(counts, units @ products @ units)], 3), found)


def test_a_column_that_varies_nowhere_or_at_some_sites_only_is_no_lie():
    counts, products = stacks(4, 0.0)
    products[:, 2, :] = products[:, :, 2] = 0.0
    products[0, 1, :] = products[0, :, 1] = 0.0
    assert np.all(np.isfinite(remoteness([(counts, products)], 3)))
    assert np.all(remoteness([(counts, np.zeros_like(products))], 3) == 0.0)


def test_blocks_of_the_same_rows_say_no_more_than_one():
    counts, products = stacks(5, 0.0)
    blocks = [(counts, products[:, :k, :k]) for k in (1, 2, 5)]
    assert np.all(remoteness(blocks, 3) < 1.2)
    counts, products = stacks(5, 0.0, 2)
    assert np.all(remoteness([(counts, products[:, :k, :k]) for k in (2, 5)], 3)[:2] > 1)


def test_claimed_records_count_up_to_four_times_the_median():
    assert weights([100, 100, 100, 100]).tolist() == [1.0] * 4
    assert weights([100, 100, 100, 10**9])[3] * 10**9 == pytest.approx(400)
