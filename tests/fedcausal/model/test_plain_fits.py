"""Polynomials among splines: the same functions, the same regression, chosen when enough."""

import numpy as np
import pytest
from numpy.polynomial import polynomial

from fedcausal.model.family_basis import family_of_knots
from fedcausal.model.plain_fits import plain_fits, polynomials_within
from fedcausal.schema import Schema, Variable

SCHEMA = Schema(
    (
        *(Variable(name=n, kind="continuous", bounds=(-1.0, 1.0)) for n in ("x", "z", "y")),
        Variable(name="g", kind="binary", categories=("0", "1")),
    )
)
KNOTS = {"x": (-0.5, -0.2, 0.1, 0.7), "z": (-0.6, 0.0, 0.3, 0.4, 0.8)}
RNG = np.random.default_rng(0)
COLUMNS = {
    "x": RNG.uniform(-1, 1, 400),
    "z": RNG.uniform(-1, 1, 400),
    "g": RNG.integers(0, 2, 400).astype(float),
}


def basis_of(*parents):
    return family_of_knots(SCHEMA, "y", parents, ranges={}, knots=KNOTS).basis


def polynomials(degree, names):
    """All products of powers up to a total degree, but the constant."""
    powers = np.stack(np.meshgrid(*[range(degree + 1)] * len(names)), -1).reshape(-1, len(names))
    wanted = [p for p in powers if 0 < p.sum() <= degree]
    return np.column_stack(
        [np.prod([COLUMNS[n] ** k for n, k in zip(names, p, strict=True)], axis=0) for p in wanted]
    )


def rank(matrix):
    return np.linalg.matrix_rank(np.column_stack([np.ones(len(matrix)), matrix]), tol=1e-8)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("names", [("x",), ("x", "z")])
def test_they_span_the_polynomials_of_a_total_degree(degree, names):
    basis = basis_of(*names)
    ours = basis.evaluate(COLUMNS) @ polynomials_within(basis, degree)
    theirs = polynomials(degree, names)
    assert rank(ours) == rank(theirs) == ours.shape[1] + 1
    assert rank(np.column_stack([ours, theirs])) == rank(theirs)


def test_a_power_is_the_power():
    within = polynomials_within(basis_of("x"), 3)
    found = basis_of("x").evaluate(COLUMNS) @ within
    expected = polynomial.polyvander(1.0 + COLUMNS["x"], 3)[:, 1:]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_level_has_one_power_and_multiplies():
    basis = basis_of("x", "g")
    assert polynomials_within(basis, 1).shape[1] == 2
    found = basis.evaluate(COLUMNS) @ polynomials_within(basis, 2)
    x, g = COLUMNS["x"], COLUMNS["g"]
    assert rank(found) == 5
    assert rank(np.column_stack([found, g * x, g, x, x * x])) == 5


def test_least_squares_of_a_degree_is_least_squares():
    basis = basis_of("x", "z")
    y = COLUMNS["x"] - COLUMNS["z"] ** 2 + 0.1 * np.random.default_rng(1).normal(size=400)
    features = basis.evaluate(COLUMNS)
    centred = features - features.mean(axis=0)
    usable = np.ones(basis.num_features, dtype=bool)
    fits = plain_fits(basis, centred.T @ centred, centred.T @ (y - y.mean())[:, None], usable)
    for fit in fits:
        design = np.column_stack([np.ones(400), polynomials(fit.degree, ("x", "z"))])
        expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        found = (centred @ fit.slopes)[:, 0] + y.mean()
        assert found == pytest.approx(expected, abs=1e-5)
        assert fit.effective == design.shape[1] - 1
        hat = design @ np.linalg.inv(design.T @ design) @ design.T
        ours = centred @ fit.inverse @ centred.T + 1.0 / 400
        assert ours == pytest.approx(hat, abs=1e-5)


def test_features_that_are_not_usable_take_their_polynomials_with_them():
    basis = basis_of("x", "z")
    features = basis.evaluate(COLUMNS)
    usable = np.array([term[0].variable != "z" and len(term) == 1 for term in basis.terms])
    products = features.T @ features
    for fit in plain_fits(basis, products, products[:, :1], usable):
        assert not fit.slopes[~usable].any()
        assert fit.effective == fit.degree
