"""Regressions: functions of many nodes together equal each by itself."""

import numpy as np
import pytest

from fedcausal.model.curves import curves_of
from fedcausal.model.family_basis import family_of_degree, family_of_knots
from fedcausal.model.regressions import Regression, regressions_of
from fedcausal.schema import Kind, Schema, Variable

KNOTS = {"a": (-0.7, -0.4, -0.1, 0.0, 0.3), "b": (-0.5, 0.0, 0.2, 0.5), "c": (-0.9, 0.1, 0.8)}
NAMES = ("a", "b", "c", "g", "y")
SCHEMA = Schema(
    (
        Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-3.0, 5.0)),
        Variable(name="b", kind=Kind.CONTINUOUS, bounds=(0.0, 100.0)),
        Variable(name="c", kind=Kind.CONTINUOUS, bounds=(-1.0, 1.0)),
        Variable(name="g", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="y", kind=Kind.CONTINUOUS, bounds=(-2.0, 2.0)),
    )
)


def bases():
    """Splines, splines with levels, polynomials, levels alone, and no parents."""
    for parents in (("a",), ("a", "b", "c"), ("b", "g"), ("c", "a")):
        knots = {n: KNOTS[n] for n in parents if n in KNOTS}
        yield family_of_knots(SCHEMA, "y", parents, ranges={}, knots=knots).basis
    for parents, degree in ((("a", "b", "g"), 3), (("g",), 2), (("c",), 4), ((), 3)):
        yield family_of_degree(SCHEMA, "y", parents, ranges={}, degree=degree).basis


def functions(rng):
    found = []
    for basis in bases():
        for outputs in (1, 3):
            coefficients = rng.standard_normal((1 + basis.num_features, outputs))
            curves = curves_of(basis, coefficients)
            found.append(Regression(basis=basis, coefficients=coefficients, curves=curves))
    return found


def records(rng, size):
    drawn = [rng.uniform(-5, 7, size), rng.uniform(-20, 130, size), rng.uniform(-2, 2, size)]
    return np.array([*drawn, rng.integers(0, 3, size), rng.uniform(-2, 2, size)])


@pytest.mark.parametrize("size", [1, 5])
def test_functions_together_are_the_functions_by_themselves(size):
    rng = np.random.default_rng(0)
    asked, values = functions(rng), records(rng, size)
    columns = dict(zip(NAMES, values, strict=True))
    found = regressions_of(asked, NAMES).evaluate(values)
    expected = [
        np.broadcast_to(
            f.coefficients[0] + f.basis.evaluate(columns) @ f.coefficients[1:],
            (size, f.coefficients.shape[1]),
        ).T
        for f in asked
    ]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-9, atol=1e-9)


def test_the_order_of_the_variables_is_told():
    rng = np.random.default_rng(1)
    asked, values = functions(rng), records(rng, 2)
    turned = regressions_of(asked, NAMES[::-1]).evaluate(values[::-1])
    np.testing.assert_array_equal(turned, regressions_of(asked, NAMES).evaluate(values))


def test_nothing_has_no_outputs():
    assert regressions_of([], NAMES).evaluate(np.zeros((5, 2))).shape == (0, 2)
