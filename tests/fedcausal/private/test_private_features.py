"""Features lie in the ball that the sensitivity is computed from, for any row and any scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import SchemaError
from fedcausal.private.private_features import GRID, MIN_SPREAD, PrivateFeatures, contrasts
from fedcausal.schema import Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="age", kind="continuous", bounds=(0.0, 100.0)),
        Variable(name="dead", kind="binary"),
        Variable(name="group", kind="categorical", categories=("a", "b", "c")),
    )
)
SCALES = {"age": (0.1, 0.2), "dead": (0.9, 0.1), "group": (0.2, 0.3, 0.5)}


def _features(degree=1, radius=2.0, scales=SCALES):
    return PrivateFeatures(SCHEMA, {"age": degree}, scales, radius)


def _rows(num_rows, rng):
    return Table(
        SCHEMA,
        np.column_stack(
            [
                rng.uniform(-50, 150, num_rows),
                rng.integers(0, 2, num_rows),
                rng.integers(0, 3, num_rows),
            ]
        ),
    )


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-0.5, 0.5),
    st.floats(MIN_SPREAD, 1.0),
    st.integers(1, 3),
    st.floats(0.1, 64.0),
    st.integers(0, 2**32),
)
def test_no_row_leaves_the_ball(centre, spread, degree, radius, seed):
    scales = {**SCALES, "age": (centre, spread)}
    features = _features(degree, radius, scales)
    values = features.values(_rows(300, np.random.default_rng(seed)))
    assert np.linalg.norm(values, axis=1).max() <= features.largest_norm * (1 + 1e-12)
    grid = features.clipped(values)
    assert (grid**2).sum(axis=1).max() <= features.grid_radius**2


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_largest_norm_is_reached_by_a_row(degree):
    features = _features(degree)
    ages = np.repeat(np.linspace(0, 100, 5001), 6)
    levels = np.tile(np.array([(d, g) for d in (0.0, 1.0) for g in (0.0, 1.0, 2.0)]), (5001, 1))
    values = features.values(Table(SCHEMA, np.column_stack([ages, levels])))
    assert np.linalg.norm(values, axis=1).max() == pytest.approx(features.largest_norm, rel=1e-4)


def test_a_basis_that_cannot_leave_its_own_ball_needs_no_larger_one():
    assert _features(radius=60.0).grid_radius == np.ceil(_features().largest_norm * GRID)


def test_numbers_and_levels_have_one_spread():
    rng = np.random.default_rng(0)
    rows = np.column_stack(
        [
            60 + 20 * rng.standard_normal(20_000).clip(-3, 2),
            rng.random(20_000) < 0.1,
            rng.choice(3, 20_000, p=SCALES["group"]),
        ]
    )
    values = _features(3).values(Table(SCHEMA, rows))
    assert np.allclose(np.abs(values.mean(axis=0)), 0.0, atol=0.08)
    assert values.var(axis=0)[:4] == pytest.approx([0.97, 0.8, 0.75, 1.0], abs=0.25)


def test_short_rows_are_not_changed_beyond_the_grid():
    features = _features(radius=50.0)
    values = features.values(_rows(50, np.random.default_rng(1)))
    assert np.abs(features.clipped(values) / GRID - values).max() < 1 / GRID


def test_incomplete_rows_are_left_out():
    rows = np.array([[50.0, 1.0, 2.0], [np.nan, 1.0, 0.0], [30.0, np.nan, 1.0]])
    assert _features().values(Table(SCHEMA, rows)).shape == (1, 4)


def test_contrasts_are_orthonormal_and_ignore_a_constant():
    for size in (2, 3, 7):
        rows = contrasts(size)
        assert np.allclose(rows @ rows.T, np.eye(size - 1))
        assert np.allclose(rows.sum(axis=1), 0)


def test_blocks_and_responses_name_the_features():
    features = _features(3)
    assert features.blocks == {"age": (0, 1, 2), "dead": (3,), "group": (4, 5)}
    assert features.responses == {"age": (0,), "dead": (3,), "group": (4, 5)}


@pytest.mark.parametrize(
    ("change", "radius"),
    [
        ({"age": (0.9, 0.2)}, 2.0),
        ({"age": (0.0, 0.0)}, 2.0),
        ({"group": (0.5, 0.5)}, 2.0),
        ({"dead": (1.5, -0.5)}, 2.0),
        ({}, float("nan")),
        ({}, 100.0),
    ],
)
def test_scales_that_fit_no_variable_are_refused(change, radius):
    with pytest.raises(SchemaError):
        _features(scales={**SCALES, **change}, radius=radius)


def test_a_number_without_bounds_is_refused():
    schema = Schema((Variable(name="x", kind="continuous"),))
    with pytest.raises(SchemaError, match=r"write variables\.x\.bounds"):
        PrivateFeatures(schema, {}, {"x": (0.0, 0.1)}, 2.0)
