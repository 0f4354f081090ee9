import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import legendre

from fedcausal.errors import DataError, InputError
from fedcausal.model.family_basis import (
    UNIT,
    family_basis,
    family_of_degree,
    family_ranges,
    scale,
    unscale,
)
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 10.0)),
        Variable(name="z", kind=Kind.CONTINUOUS, bounds=(-1.0, 1.0)),
        Variable(name="g", kind=Kind.CATEGORICAL, categories=("a", "b", "c")),
        Variable(name="y", kind=Kind.CONTINUOUS, bounds=(-5.0, 5.0)),
        Variable(name="free", kind=Kind.CONTINUOUS),
    )
)


def labels(family):
    return [family.basis.label(i) for i in range(family.basis.num_features)]


def test_features_are_the_tensor_products_of_total_degree():
    family = family_of_degree(SCHEMA, "y", ["x", "g"], ranges={}, degree=2)
    assert set(labels(family)) == {"g=1", "g=2", "x", "x * g=1", "x * g=2", "P2(x)"}
    assert family.num_columns == 7
    assert family.width == 8


def test_evaluation_is_the_product_of_legendre_polynomials_and_indicators():
    family = family_of_degree(SCHEMA, "y", ["x", "z", "g"], ranges={}, degree=3)
    rng = np.random.default_rng(0)
    parents = {
        "x": rng.uniform(0, 10, 50),
        "z": rng.uniform(-1, 1, 50),
        "g": rng.integers(0, 3, 50).astype(float),
    }
    found = family.basis.evaluate(parents)
    scaled = {"x": parents["x"] / 5 - 1, "z": parents["z"]}
    for k, term in enumerate(family.basis.terms):
        expected = np.ones(50)
        for factor in term:
            if factor.level is not None:
                expected *= parents["g"] == factor.level
            else:
                basis = legendre.Legendre.basis(factor.degree)
                expected *= basis(scaled[factor.variable])
        np.testing.assert_allclose(found[:, k], expected, atol=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=20), st.integers(1, 5))
def test_quantised_features_are_bounded_and_close(values, degree):
    family = family_of_degree(SCHEMA, "y", ["x"], ranges={}, degree=degree)
    parents = {"x": np.array(values)}
    quantised = family.basis.quantise(parents)
    assert np.abs(quantised).max() <= UNIT
    np.testing.assert_allclose(quantised / UNIT, family.basis.evaluate(parents), atol=1 / UNIT)


def test_the_degree_is_lowered_until_the_width_fits():
    wide = family_basis(SCHEMA, "y", ["x", "z", "g"], ranges={}, degree=3, max_width=100)
    narrow = family_basis(SCHEMA, "y", ["x", "z", "g"], ranges={}, degree=3, max_width=15)
    least = family_basis(SCHEMA, "y", ["x", "z", "g"], ranges={}, degree=3, max_width=2)
    assert (wide.basis.degree, narrow.basis.degree, least.basis.degree) == (3, 2, 1)
    assert narrow.num_columns <= 15


def test_beyond_the_bounds_only_the_linear_factor_continues():
    family = family_of_degree(SCHEMA, "y", ["z"], ranges={}, degree=2)
    found = family.basis.evaluate({"z": np.array([1.0, 3.0])})
    np.testing.assert_allclose(found, [[1.0, 1.0], [3.0, 1.0]])


@given(st.floats(-1e6, 1e6))
def test_scale_and_unscale_are_inverse(value):
    interval = (-1e6, 2e6)
    again = unscale(scale(np.array([value]), interval), interval)
    np.testing.assert_allclose(again, [value], atol=1e-8)


def test_rows_outside_the_public_range_are_refused_without_their_values():
    family = family_of_degree(SCHEMA, "free", ["z"], ranges={"free": (0.0, 1.0)}, degree=1)
    with pytest.raises(DataError, match=r"free: 1 rows lie outside the range \[0, 1\]") as error:
        family.quantise({"free": np.array([0.5, 7.25]), "z": np.zeros(2)})
    assert "7.25" not in str(error.value)


def test_a_variable_without_any_range_is_named():
    with pytest.raises(InputError, match=r"variables\.free: .*write bounds"):
        family_ranges(SCHEMA, {}, ["free"])
