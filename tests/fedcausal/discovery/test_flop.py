"""FLOP on surrogate rows."""

import numpy as np
import pytest

from fedcausal.discovery.flop import flop, surrogate_rows
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.equivalence import cpdag_of
from fedcausal.errors import InputError

OPTIONS = DiscoveryOptions(algorithm="flop", restarts=20)


@pytest.mark.parametrize("seed", range(6))
def test_the_truth_is_found_with_many_rows(simulate, seed):
    study = simulate(8, seed=seed, num_rows=50_000, degree=1.5)
    found = flop(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS)
    assert found.graph == cpdag_of(study.dag)


def test_surrogate_rows_have_the_covariance_and_mean_zero(simulate):
    statistics = simulate(6, seed=0).statistics
    rows = surrogate_rows(statistics)
    assert rows.shape == (24, 6)
    np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cov(rows.T, bias=True), statistics.covariance, atol=2e-6)


def test_levels_and_knowledge_are_refused(simulate):
    levels = simulate(3, seed=0, widths=[1, 2, 1]).statistics
    with pytest.raises(InputError, match="several features"):
        flop(levels, Knowledge(nodes=levels.names), OPTIONS)
    numbers = simulate(3, seed=0).statistics
    known = Knowledge(nodes=numbers.names, forbidden=(("x00", "x01"),))
    with pytest.raises(InputError, match="background knowledge"):
        flop(numbers, known, OPTIONS)


def test_a_note_says_that_runs_may_differ(simulate):
    statistics = simulate(4, seed=0).statistics
    found = flop(statistics, Knowledge(nodes=statistics.names), OPTIONS)
    assert "another run" in found.notes[0]
