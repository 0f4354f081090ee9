"""B-splines against scipy's, their extension beyond the ends, and their roughness against sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from fedcausal.model.bsplines import bumps, num_bumps, roughness

KNOTS = st.lists(st.integers(-500, 500), max_size=8, unique=True).map(
    lambda found: tuple(sorted(k / 512 for k in found))
)


def scipys(knots):
    sites = np.array([-1.0] * 4 + list(knots) + [1.0] * 4)
    return [BSpline(sites, row, 3) for row in np.eye(num_bumps(knots))]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(KNOTS)
def test_values_are_scipys_and_sum_to_one(knots):
    points = np.concatenate([np.linspace(-1, 1, 57)[:-1], knots])
    expected = np.column_stack([spline(points) for spline in scipys(knots)])
    found = bumps(points, knots)
    assert np.allclose(found, expected, atol=1e-12)
    assert np.allclose(found.sum(axis=-1), 1.0)
    assert found.min() >= -1e-15


@settings(deadline=None, derandomize=True, max_examples=40)
@given(KNOTS)
def test_beyond_the_ends_every_spline_is_its_tangent(knots):
    slopes = [np.array([s.derivative()(end) for s in scipys(knots)]) for end in (-1.0, 1.0)]
    for end, slope in zip((-1.0, 1.0), slopes, strict=True):
        step = 0.7 * end
        gap = bumps(np.array([end + step]), knots)[0] - bumps(np.array([end]), knots)[0]
        assert np.allclose(gap, step * slope)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(KNOTS, st.integers(1, 3))
def test_roughness_is_the_integral_of_a_squared_derivative(knots, order):
    edges = np.array([-1.0, *knots, 1.0])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    half = 0.5 * np.diff(edges)
    points = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    weights = (half[:, None] * weights).ravel()
    bends = np.column_stack([s.derivative(order)(points.ravel()) for s in scipys(knots)])
    expected = (bends * weights[:, None]).T @ bends
    found = roughness(knots, order)
    assert np.allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_a_line_has_no_roughness_above_the_first_order():
    knots = (-0.3, 0.1, 0.6)
    sites = np.array([-1.0] * 4 + list(knots) + [1.0] * 4)
    line = np.array([sites[k + 1 : k + 4].mean() for k in range(num_bumps(knots))])  # Greville
    points = np.array([-1.5, -0.2, 0.9, 1.2])
    assert bumps(points, knots) @ line == pytest.approx(points)
    assert line @ roughness(knots, 1) @ line == pytest.approx(2.0)
    for order in (2, 3):
        assert line @ roughness(knots, order) @ line == pytest.approx(0.0, abs=1e-12)
