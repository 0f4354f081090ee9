"""Functions of numbers and levels in parts: what the features times the coefficients give."""

import numpy as np
import pytest

from fedcausal.model.family_basis import family_of_degree, family_of_knots
from fedcausal.model.level_splines import level_splines_of
from fedcausal.model.regressions import Regression, regressions_of
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-2.0, 3.0)),
        Variable(name="b", kind=Kind.CONTINUOUS, bounds=(10.0, 90.0)),
        Variable(name="g", kind=Kind.CATEGORICAL, categories=("x", "y", "z", "w")),
        Variable(name="h", kind=Kind.BINARY),
        Variable(name="n", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),
        Variable(name="c", kind=Kind.CATEGORICAL, categories=("k", "l", "m")),
    )
)
KNOTS = {"a": (-0.6, -0.2, 0.1, 0.5, 0.8), "b": (-0.3, 0.0, 0.4)}
PARENTS = (("a", "b", "g", "h"), ("a", "g"), ("g", "h"), ("h",), ("b", "h"), ("a", "b"))


def functions(node, seed=0):
    rng, found = np.random.default_rng(seed), []
    for parents in PARENTS:
        knots = {name: KNOTS[name] for name in parents if name in KNOTS}
        family = family_of_knots(SCHEMA, node, parents, ranges={}, knots=knots)
        size = (1 + family.basis.num_features, max(family.num_levels, 1))
        found.append((family.basis, rng.standard_normal(size)))
    return found


def records(size, seed=1):
    """Some of them beyond the bounds."""
    rng = np.random.default_rng(seed)
    return {
        "a": rng.uniform(-4, 5, size),
        "b": rng.uniform(-20, 120, size),
        "g": rng.integers(4, size=size) * 1.0,
        "h": rng.integers(2, size=size) * 1.0,
    }


@pytest.mark.parametrize("node", ["n", "c"])
def test_together_they_are_the_functions_one_by_one(node):
    columns, names = records(200), ("h", "a", "g", "b")
    fitted = functions(node)
    every = regressions_of(
        [Regression(basis=basis, coefficients=own, curves=None) for basis, own in fitted], names
    )
    found = every.evaluate(np.array([columns[name] for name in names]))
    wanted = [own[0] + basis.evaluate(columns) @ own[1:] for basis, own in fitted]
    np.testing.assert_allclose(found, np.concatenate([w.T for w in wanted]), rtol=0, atol=2e-11)


def test_what_is_missing_harms_nobody_else():
    columns, names = records(3), ("a", "b", "g", "h")
    fitted = functions("n")
    every = regressions_of(
        [Regression(basis=basis, coefficients=own, curves=None) for basis, own in fitted], names
    )
    values = np.array([columns[name] for name in names])
    whole = every.evaluate(values)
    values[:, 1] = np.nan
    holes = every.evaluate(values)
    np.testing.assert_array_equal(holes[:, [0, 2]], whole[:, [0, 2]])


def test_the_parts_are_by_what_they_read():
    basis, own = functions("c")[0]
    parts = level_splines_of(basis, own)
    assert {(part.chooser, part.parent) for part in parts.chosen} == {
        ("g", "a"),
        ("g", "b"),
        ("h", "a"),
        ("h", "b"),
    }
    assert parts.chosen[0].table.shape[0] == 4
    assert not parts.chosen[0].table[0].any()
    assert parts.curves.parents == ("a", "b")
    assert not parts.coefficients[0].any()
    assert all(len(term) <= 2 for term in parts.indicators.terms)
    levels_alone, weights = functions("c")[2]
    assert level_splines_of(levels_alone, weights) is None


def test_polynomials_are_left_as_they_are():
    family = family_of_degree(SCHEMA, "n", ("a", "g"), ranges={}, degree=2)
    weights = np.zeros((1 + family.basis.num_features, 1))
    assert level_splines_of(family.basis, weights) is None
