"""Cochran's Q from sums equals the textbook formula, holds its level and its threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcausal.discovery.heterogeneity import (
    EQUATIONS,
    FEWEST_SITES,
    check_enough_sites,
    cochran,
    colluders,
    differing,
)
from fedcausal.errors import StudyError


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.5, 50)), min_size=2, max_size=12))
def test_q_from_sums_equals_the_formula(sites):
    estimates, weights = np.array(sites).T
    mean = np.average(estimates, weights=weights)
    q = float(np.sum(weights * (estimates - mean) ** 2))
    found = cochran(
        "y",
        "x",
        len(sites),
        weights.sum(),
        float(weights @ estimates),
        float(weights @ estimates**2),
    )
    assert found.estimate == pytest.approx(mean, abs=1e-9)
    assert found.q == pytest.approx(q, abs=1e-7 * (1 + weights @ estimates**2))
    assert 0.0 <= found.i_squared < 1.0


def test_the_test_holds_its_level():
    """Null: equal slopes with known variances, level 5 %, 2000 draws (standard error 0.5 %)."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(5, 50, (2000, 10))
    estimates = 1.0 + rng.standard_normal((2000, 10)) / np.sqrt(weights)
    rejected = [
        cochran("y", "x", 10, w.sum(), float(w @ b), float(w @ b**2)).p_value < 0.05
        for w, b in zip(weights, estimates, strict=True)
    ]
    assert 0.035 < np.mean(rejected) < 0.065


def test_differing_is_bonferroni():
    alike = cochran("y", "x", 10, 50.0, 100.0, 200.0)
    apart = cochran("y", "", 10, 50.0, 0.0, 200.0)
    assert differing((alike, apart)) == (apart,)
    assert differing(()) == ()
    assert (alike.label, apart.label) == ("the slope of x -> y", "the residual variance of y")
    assert apart.to_json()["parent"] is None


@pytest.mark.parametrize("num_sites", range(3, 40))
def test_too_few_sites_are_refused_exactly_where_they_could_solve_the_sums(num_sites):
    is_enough = num_sites - 1 - colluders(num_sites) >= 2 + EQUATIONS
    assert is_enough == (num_sites >= FEWEST_SITES)
    if is_enough:
        check_enough_sites(num_sites)
        return
    with pytest.raises(StudyError, match=r"expected 8 sites or more, got .*heterogeneity = false"):
        check_enough_sites(num_sites)
