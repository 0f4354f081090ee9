"""Spreads: the regression of a log size, and back."""

import numpy as np
import pytest

from fedcausal.model.family_basis import family_of_degree, family_of_knots
from fedcausal.model.spread import LEAST, MOST, Spread, log_size, sizes_of, spread_basis
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-2.0, 2.0)),
        Variable(name="b", kind=Kind.CONTINUOUS, bounds=(0.0, 8.0)),
        Variable(name="g", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="y", kind=Kind.CONTINUOUS, bounds=(-5.0, 5.0)),
    )
)
KNOTS = dict.fromkeys(("a", "b"), (-0.6, -0.3, 0.0, 0.2, 0.5, 0.8))


def families():
    yield family_of_knots(SCHEMA, "y", ("a", "b", "g"), ranges={}, knots=KNOTS)
    yield family_of_knots(SCHEMA, "y", ("a", "b"), ranges={}, knots=KNOTS)
    yield family_of_degree(SCHEMA, "y", ("a", "b", "g"), ranges={}, degree=3)


@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0, 2.5, 9.0])
def test_the_expected_log_size_of_a_gaussian_gives_its_spread(spread):
    drawn = spread * np.random.default_rng(0).standard_normal(400_000)
    found = sizes_of(np.array(log_size(drawn, 1.0).mean()))
    np.testing.assert_allclose(found, spread, rtol=0.01)


def test_spreads_stay_within_their_bounds():
    np.testing.assert_allclose(sizes_of(np.array([-1.0, 1.0])), [LEAST, MOST])
    sizes = log_size(np.array([0.0, 1e200, -1e200]), 0.0)
    assert np.abs(sizes).max() <= 1.0


@pytest.mark.parametrize("family", list(families()))
def test_a_spread_reads_each_parent_alone(family):
    basis = spread_basis(family.basis)
    assert basis.parents == family.basis.parents
    assert all(len(term) == 1 for term in basis.terms)
    assert basis.num_features < family.basis.num_features
    assert {t[0].variable for t in basis.terms} == set(family.basis.parents)
    assert all(t[0].degree <= 2 for t in basis.terms)


@pytest.mark.parametrize("family", list(families()))
def test_beyond_the_ranges_the_spread_is_that_of_the_border(family):
    rng = np.random.default_rng(1)
    basis = spread_basis(family.basis)
    own = Spread(basis=basis, coefficients=0.2 * rng.standard_normal(1 + basis.num_features))
    far = {"a": np.array([9.0, -9.0]), "b": np.array([99.0, -1.0]), "g": np.array([0.0, 2.0])}
    border = {"a": np.array([2.0, -2.0]), "b": np.array([8.0, 0.0]), "g": far["g"]}
    np.testing.assert_array_equal(own.factors(far), own.factors(border))


@pytest.mark.parametrize("family", list(families()))
def test_sites_count_by_the_same_function(family):
    rng = np.random.default_rng(2)
    basis = spread_basis(family.basis)
    own = Spread(basis=basis, coefficients=0.1 * rng.standard_normal(1 + basis.num_features))
    parents = {
        "a": rng.uniform(-2, 2, 500),
        "b": rng.uniform(0, 8, 500),
        "g": rng.integers(0, 3, 500).astype(float),
    }
    np.testing.assert_allclose(own.factors(parents), own.counted(parents), rtol=1e-10)
