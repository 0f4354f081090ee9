"""Curves: piecewise cubics equal the B-splines they were made from."""

import numpy as np
import pytest

from fedcausal.model.curves import curves_of
from fedcausal.model.family_basis import family_of_degree, family_of_knots
from fedcausal.schema import Kind, Schema, Variable

KNOTS = {
    "a": (-0.7, -0.4, -0.1, 0.0, 0.3, 0.31, 0.6),
    "b": (-0.5, 0.0, 0.2, 0.5),
    "c": (-0.9, 0.1, 0.8),
}
RANGES = {"a": (-3.0, 5.0), "b": (0.0, 100.0), "c": (-1.0, 1.0), "y": (-2.0, 2.0)}


def basis_of(*parents):
    names = (*parents, "y")
    schema = Schema(
        tuple(Variable(name=n, kind=Kind.CONTINUOUS, bounds=RANGES[n]) for n in sorted(names))
    )
    knots = {n: KNOTS[n] for n in parents}
    return family_of_knots(schema, "y", parents, ranges={}, knots=knots).basis


def points(parents, rng, beyond=0.0):
    found = {}
    for name in parents:
        low, high = RANGES[name]
        spread = beyond * (high - low)
        inside = rng.uniform(low - spread, high + spread, 200)
        found[name] = np.concatenate([inside, [low, high, low, 0.5 * (low + high)]])
    return found


@pytest.mark.parametrize("parents", [("a",), ("a", "b"), ("b", "a", "c")])
@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_curves_are_the_features_times_their_coefficients(parents, num_outputs, beyond):
    rng = np.random.default_rng(1)
    basis = basis_of(*parents)
    coefficients = rng.standard_normal((1 + basis.num_features, num_outputs))
    columns = points(parents, rng, beyond)
    expected = coefficients[0] + basis.evaluate(columns) @ coefficients[1:]
    found = curves_of(basis, coefficients).evaluate(columns)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_shapes_of_parents_broadcast():
    rng = np.random.default_rng(2)
    basis = basis_of("a", "b")
    curves = curves_of(basis, rng.standard_normal((1 + basis.num_features, 2)))
    worlds, facts = rng.uniform(-1, 1, (5, 7)), rng.uniform(0, 9, 7)
    found = curves.evaluate({"a": worlds, "b": facts})
    assert found.shape == (5, 7, 2)
    one = curves.evaluate({"a": worlds[3], "b": facts})
    np.testing.assert_allclose(found[3], one, rtol=1e-13, atol=1e-13)


def test_a_missing_parent_has_no_mean():
    basis = basis_of("a", "b")
    curves = curves_of(basis, np.ones((1 + basis.num_features, 1)))
    found = curves.evaluate({"a": np.array([np.nan, 0.0]), "b": np.array([1.0, 1.0])})
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[1, 0])


def test_polynomials_have_no_curves():
    schema = Schema(
        tuple(Variable(name=n, kind=Kind.CONTINUOUS, bounds=RANGES[n]) for n in ("a", "y"))
    )
    basis = family_of_degree(schema, "y", ("a",), ranges={}, degree=3).basis
    assert curves_of(basis, np.ones((4, 1))) is None


def test_a_node_without_parents_has_no_curves():
    assert curves_of(basis_of(), np.ones((1, 1))) is None
