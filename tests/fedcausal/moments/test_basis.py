"""Features are public, bounded and exact integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import legendre

from fedcausal.data.table import Table
from fedcausal.errors import DataError, SchemaError
from fedcausal.moments.basis import MAX_DEGREE, TAIL_SCALE, UNIT, Basis
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="c", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 10.0)),
        Variable(name="s", kind=Kind.ORDINAL, categories=("I", "II", "III")),
        Variable(name="y", kind=Kind.BINARY),
    )
)


def test_every_level_has_a_feature_and_every_number_one():
    basis = Basis.linear(SCHEMA)
    assert [f.label for f in basis.features] == ["c=u", "c=v", "c=w", "x", "s", "y=0", "y=1"]
    assert basis.block("c") == [0, 1, 2]
    assert basis.block("x") == [3]
    assert basis.owners.tolist() == [0, 0, 0, 1, 2, 3, 3]
    assert basis.units.tolist() == [1, 1, 1, UNIT, UNIT, 1, 1]
    with pytest.raises(SchemaError, match="unknown variable 'z'"):
        basis.block("z")


def test_integers_of_a_row():
    table = Table(SCHEMA, np.array([[2, 0.0, 0, 1], [0, 7.5, 2, np.nan], [np.nan, 5.0, 1, 0.0]]))
    q, observed = Basis.linear(SCHEMA).encode(table)
    assert q.tolist() == [
        [0, 0, 1, -UNIT // 2, -UNIT // 2, 0, 1],
        [1, 0, 0, UNIT // 4, UNIT // 2, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
    ]
    assert observed.tolist() == (~np.isnan(table.values)).tolist()


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-6, 1e6),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_integers_are_bounded_and_accurate(lo, width, shares):
    hi = lo + width
    schema = Schema((Variable(name="x", kind=Kind.CONTINUOUS),))
    values = np.clip(lo + np.array(shares) * (hi - lo), lo, hi)
    basis = Basis.linear(schema, {"x": (lo, hi)})
    q, _ = basis.encode(Table(schema, values[:, None]))
    assert np.abs(q).max() <= basis.features[0].bound == UNIT // 2
    back = (q[:, 0] / UNIT + 0.5) * (hi - lo) + lo
    np.testing.assert_allclose(back, values, atol=(hi - lo) * 2.0**-20 + abs(lo) * 1e-15)


def test_ranges_are_needed_and_declared_bounds_win():
    schema = Schema((Variable(name="x", kind=Kind.CONTINUOUS),))
    with pytest.raises(SchemaError, match=r"write variables.x.bounds = \[lo, hi\]"):
        Basis.linear(schema)
    with pytest.raises(SchemaError, match="lo < hi"):
        Basis.linear(schema, {"x": (1.0, 1.0)})
    assert Basis.linear(SCHEMA, {"x": (3.0, 4.0)}).ranges["x"] == (0.0, 10.0)
    assert Basis.linear(schema, {"x": (3, 4)}) == Basis.linear(schema, {"x": (3.0, 4.0)})


def test_rows_outside_the_basis_are_refused():
    basis = Basis.linear(SCHEMA)
    with pytest.raises(DataError, match=r"x: 1 rows lie outside the range \[0, 10\]"):
        basis.encode(Table(SCHEMA, np.array([[0, 11.0, 0, 0], [0, 1.0, 0, 0]])))
    for code in (3.0, -1.0, 0.5):
        with pytest.raises(DataError, match="c: 1 rows hold no code of its 3 levels"):
            basis.encode(Table(SCHEMA, np.array([[code, 1.0, 0, 0]])))
    with pytest.raises(SchemaError, match="different schemas"):
        basis.encode(Table(Schema((SCHEMA["x"],)), np.zeros((2, 1))))


@given(
    st.integers(2, MAX_DEGREE),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.sampled_from([None, (0.1, 0.05), (-0.2, 2.0)]),
)
def test_polynomials_are_those_of_numpy_within_the_same_bound(degree, shares, scale):
    values = np.array(shares)[:, None] * 10.0
    schema = Schema((SCHEMA["x"],))
    basis = Basis.legendre(schema, {"x": degree})
    if scale is not None:
        basis = basis.with_scales({"x": scale})
    q, _ = basis.encode(Table(schema, values))
    linear, _ = Basis.linear(schema).encode(Table(schema, values))
    assert np.array_equal(q[:, :1], linear)
    middle, spread = scale or (0.0, 0.5)
    t = np.clip((linear[:, 0] / UNIT - middle) / spread, -1, 1)
    for k in range(1, degree):
        expected = legendre.legval(t, [0.0] * (k + 1) + [1.0]) * UNIT / 2
        np.testing.assert_allclose(q[:, k], expected, atol=0.5 + 1e-6)
        assert np.abs(q[:, k]).max() <= basis.features[k].bound == UNIT // 2


def test_missing_numbers_have_no_polynomial():
    schema = Schema((SCHEMA["x"],))
    basis = Basis.legendre(schema, {"x": 3})
    q, observed = basis.encode(Table(schema, np.array([[np.nan], [5.0]])))
    assert [f.label for f in basis.features] == ["x", "P2(x)", "P3(x)"]
    assert q.tolist() == [[0, 0, 0], [0, -UNIT // 4, 0]]
    assert observed.tolist() == [[False], [True]]
    assert not basis.is_linear
    assert Basis.legendre(schema, {"x": 1}) == Basis.linear(schema)


@pytest.mark.parametrize(("name", "degree"), [("x", 0), ("x", MAX_DEGREE + 1), ("c", 2)])
def test_a_degree_that_cannot_be_names_its_variable(name, degree):
    with pytest.raises(SchemaError, match=f"correct variables.{name}.basis"):
        Basis.legendre(SCHEMA, {name: degree})


@given(
    st.integers(1, MAX_DEGREE),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.integers(0, 20),
)
def test_heavy_tails_are_drawn_in_on_the_same_grid_row_by_row(degree, shares, cut):
    values = np.array(shares)[:, None] * 10.0
    schema = Schema((SCHEMA["x"],))
    basis = Basis.legendre(schema, {"x": degree}, heavy=["x"])
    q, _ = basis.encode(Table(schema, values))
    linear, _ = Basis.linear(schema).encode(Table(schema, values))
    expected = np.arcsinh(TAIL_SCALE * 2 * linear[:, 0] / UNIT) / np.arcsinh(TAIL_SCALE) / 2
    np.testing.assert_allclose(q[:, 0] / UNIT, expected, atol=0.51 / UNIT)
    for k in range(1, degree):
        polynomial = legendre.legval(2 * q[:, 0] / UNIT, [0.0] * (k + 1) + [1.0]) * UNIT / 2
        np.testing.assert_allclose(q[:, k], polynomial, atol=0.5 + 1e-6)
    assert np.abs(q).max() <= UNIT // 2
    parts = [basis.encode(Table(schema, part))[0] for part in (values[:cut], values[cut:])]
    assert np.array_equal(np.concatenate(parts), q)


def test_the_moved_number_is_odd_and_grows_from_one_end_of_the_range_to_the_other():
    schema = Schema((SCHEMA["x"],))
    values = np.linspace(0.0, 10.0, 2001)[:, None]
    basis = Basis.legendre(schema, {"x": 2}, heavy=["x", "c"])
    q, _ = basis.encode(Table(schema, values))
    assert [f.label for f in basis.features] == ["asinh(x)", "P2(asinh(x))"]
    assert basis.heavy == {"x"}
    assert (q[0, 0], q[1000, 0], q[-1, 0]) == (-UNIT // 2, 0, UNIT // 2)
    assert np.array_equal(q[:, 0], -q[::-1, 0])
    assert np.diff(q[:, 0]).min() > 0


def test_the_lines_of_a_basis_keep_what_is_moved():
    schema = Schema((SCHEMA["x"],))
    lines = Basis.legendre(schema, {"x": 3}, heavy=["x"]).with_scales({"x": (0.1, 0.2)}).lines()
    assert lines == Basis.legendre(schema, {"x": 1}, heavy=["x"])
    assert Basis.legendre(schema, {"x": 3}).lines() == Basis.linear(schema)
