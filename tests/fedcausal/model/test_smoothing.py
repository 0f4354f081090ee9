"""The smoothing is the one that restricted likelihood asks for, and it does what it is for."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fedcausal.model.family_basis import family_of_knots
from fedcausal.model.smoothing import penalties, smooth_fit
from fedcausal.schema import Schema, Variable

NAMES = ("x", "z", "y")
SCHEMA = Schema(
    (
        *(Variable(name=n, kind="continuous", bounds=(-1.0, 1.0)) for n in NAMES),
        Variable(name="g", kind="binary", categories=("0", "1")),
    )
)
KNOTS = {n: tuple(np.linspace(-0.8, 0.8, 9)) for n in ("x", "z")}


def basis_of(*parents):
    return family_of_knots(SCHEMA, "y", parents, ranges={}, knots=KNOTS).basis


def sums(basis, columns, y):
    features = basis.evaluate(columns)
    features = features - features.mean(axis=0)
    y = (y - y.mean())[:, None]
    return features.T @ features, features.T @ y, np.sum(y * y, axis=0)


def draw(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    columns = {n: rng.uniform(-1, 1, num_rows) for n in ("x", "z")}
    return {**columns, "g": rng.integers(0, 2, num_rows).astype(float)}, rng


def restricted_likelihood(log_weights, forms, products, cross, own, degrees):
    """-2 log REML of one spline, from its textbook formula (Wood 2011, equation 4), dense.

    Variance profiled out; the null space of the penalties has dimension 1 (lines; the constant
    is projected out).
    """
    form = np.tensordot(np.exp(log_weights), np.array(forms), axes=1)
    whole = products + form
    slopes = np.linalg.solve(whole, cross)
    left = float(own[0] - 2 * (slopes.T @ cross)[0, 0])
    left += float((slopes.T @ whole @ slopes)[0, 0])
    spectrum = np.linalg.eigvalsh(form)[1:]
    rank = len(spectrum)
    null = len(form) - rank
    logs = np.linalg.slogdet(whole)[1] - np.sum(np.log(spectrum))
    return (degrees - null) * np.log(left) + logs


@pytest.mark.parametrize("wave", [2.0, 6.0])
def test_the_weight_maximises_the_restricted_likelihood(wave):
    columns, rng = draw(400)
    y = np.sin(wave * columns["x"]) + 0.4 * rng.normal(size=400)
    basis = basis_of("x")
    (penalty,) = penalties(basis)
    parts = sums(basis, columns, y)
    found = smooth_fit(*parts, [penalty], degrees=399)
    bounded = [(-12.0, 12.0)] * 2
    arguments = (penalty.matrices, *parts, 399)
    best = minimize(
        restricted_likelihood, [0.0, 0.0], arguments, method="Nelder-Mead", bounds=bounded
    )
    form = np.tensordot(np.exp(best.x), np.array(penalty.matrices), axes=1)
    inverse = np.linalg.inv(parts[0] + form)
    assert found.effective == pytest.approx(np.sum(inverse * parts[0]), rel=0.02)
    assert np.allclose(
        basis.evaluate(columns) @ found.slopes,
        basis.evaluate(columns) @ inverse @ parts[1],
        atol=0.02,
    )


def test_a_line_costs_little_more_than_a_line():
    columns, rng = draw(3000)
    y = 2.0 * columns["x"] - columns["z"] + 0.5 * rng.normal(size=3000)
    basis = basis_of("x", "z")
    found = smooth_fit(*sums(basis, columns, y), penalties(basis), degrees=2999)
    assert found.effective < 8.0
    truth = 2.0 * columns["x"] - columns["z"]
    fitted = (basis.evaluate(columns) @ found.slopes)[:, 0]
    gap = (fitted - fitted.mean()) - (truth - truth.mean())
    assert np.sqrt(np.mean(gap**2)) < 0.04


def test_products_of_splines_follow_a_surface():
    columns, rng = draw(8000)
    truth = np.sin(3 * columns["x"]) * np.cos(2 * columns["z"])
    basis = basis_of("x", "z")
    y = truth + 0.2 * rng.normal(size=8000)
    found = smooth_fit(*sums(basis, columns, y), penalties(basis), degrees=7999)
    fitted = (basis.evaluate(columns) @ found.slopes)[:, 0]
    gap = (fitted - fitted.mean()) - (truth - truth.mean())
    assert np.sqrt(np.mean(gap**2)) < 0.04


def test_a_curve_may_differ_by_level():
    columns, rng = draw(6000)
    truth = np.where(columns["g"] == 1, np.sin(3 * columns["x"]), -columns["x"])
    basis = basis_of("x", "g")
    y = truth + 0.2 * rng.normal(size=6000)
    found = smooth_fit(*sums(basis, columns, y), penalties(basis), degrees=5999)
    fitted = (basis.evaluate(columns) @ found.slopes)[:, 0]
    gap = (fitted - fitted.mean()) - (truth - truth.mean())
    assert np.sqrt(np.mean(gap**2)) < 0.05


def test_a_parabola_costs_little_more_than_a_parabola():
    columns, rng = draw(3000)
    truth = columns["x"] ** 2 - columns["x"]
    basis = basis_of("x")
    y = truth + 0.2 * rng.normal(size=3000)
    found = smooth_fit(*sums(basis, columns, y), penalties(basis), degrees=2999)
    assert found.effective < 4.0
    fitted = (basis.evaluate(columns) @ found.slopes)[:, 0]
    gap = (fitted - fitted.mean()) - (truth - truth.mean())
    assert np.sqrt(np.mean(gap**2)) < 0.015


def test_every_spline_is_paid_for_once_and_levels_are_free():
    basis = basis_of("x", "z", "g")
    covered = [k for p in penalties(basis) for k in range(p.features.start, p.features.stop)]
    free = set(range(basis.num_features)) - set(covered)
    assert len(covered) == len(set(covered))
    assert [basis.label(k) for k in sorted(free)] == ["g=1"]


def test_cells_without_records_do_not_break_the_fit():
    columns, rng = draw(500)
    columns["z"] = columns["x"] + 0.01 * rng.normal(size=500)
    y = columns["x"] + 0.1 * rng.normal(size=500)
    basis = basis_of("x", "z")
    found = smooth_fit(*sums(basis, columns, y), penalties(basis), degrees=499)
    assert np.isfinite(found.slopes).all()
    assert np.isfinite(found.inverse).all()
    assert 0 < found.effective < 60
