"""Laws of counts against scipy's, ranks and back in both tails."""

import numpy as np
import pytest
from scipy import stats

from fedcausal.model.count_law import CountLaw

MEANS = np.array([0.02, 0.4, 1.0, 7.3, 80.0])


def oracle(dispersion, mean):
    if dispersion > 0:
        size = 1 / dispersion
        return stats.nbinom(size, size / (size + mean))
    if dispersion == 0:
        return stats.poisson(mean)
    trials = round(-1 / dispersion)
    return stats.binom(trials, mean / trials)


@pytest.mark.parametrize("dispersion", [1.7, 0.1, 0.0, -1 / 90, -1 / 200])
@pytest.mark.parametrize("mean", MEANS)
def test_it_is_the_law_of_the_books(dispersion, mean):
    known, counts = oracle(dispersion, mean), np.arange(0.0, 160.0)
    law = CountLaw(means=np.full(160, mean), dispersion=dispersion)
    below, above = law.tails(counts)
    assert below == pytest.approx(known.cdf(counts), rel=1e-9, abs=1e-300)
    assert above == pytest.approx(known.sf(counts), rel=1e-7, abs=1e-250)
    assert np.exp(law.log_probability(counts)) == pytest.approx(known.pmf(counts), rel=1e-8)
    uniform = np.linspace(0.0005, 0.9995, 160)
    ranks = np.where(uniform <= 0.5, uniform, uniform - 1.0)
    np.testing.assert_array_equal(law.counts(ranks), known.ppf(uniform))


@pytest.mark.parametrize("dispersion", [0.6, 0.0, -1 / 300])
def test_every_count_has_its_ranks_far_into_the_tails(dispersion):
    counts = np.repeat(np.arange(0.0, 120.0), 3)
    within = np.tile([1e-9, 0.5, 1.0], 120)
    law = CountLaw(means=np.full(360, 8.0), dispersion=dispersion)
    np.testing.assert_array_equal(law.counts(law.ranks(counts, within)), counts)


def test_ranks_rise_with_counts_and_places():
    law = CountLaw(means=np.full(40, 6.0), dispersion=0.2)
    counts, within = np.repeat(np.arange(0.0, 20.0), 2), np.tile([0.2, 0.9], 20)
    ranks = law.ranks(counts, within)
    order = np.where(np.signbit(ranks), 1.0 + ranks, ranks)
    assert (np.diff(order) >= 0).all()


@pytest.mark.parametrize("dispersion", [0.6, 0.0, -0.1])
def test_what_is_no_count_has_no_probability(dispersion):
    law = CountLaw(means=np.full(3, 2.0), dispersion=dispersion)
    found = law.log_probability(np.array([-1.0, 0.5, 2.0]))
    np.testing.assert_array_equal(np.isneginf(found), [True, True, False])


def test_means_are_held_where_counts_are_possible():
    assert CountLaw(means=np.array([-5.0, 3.0]), dispersion=0.0).means.tolist() == [0.001, 3.0]
    assert CountLaw(means=np.array([50.0]), dispersion=-0.1).means[0] == pytest.approx(10.0)
    far = CountLaw(means=np.array([3.0]), dispersion=0.0).counts(np.array([-0.0]))
    assert np.isfinite(far).all()
