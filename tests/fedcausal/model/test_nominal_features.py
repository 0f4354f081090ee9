from dataclasses import replace

import numpy as np
import pytest

from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.nominal_features import (
    LEVEL_UNIT,
    NODE_LIMIT,
    NominalFeatures,
    node_limit,
)
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "a": {"kind": "continuous", "bounds": [-4, 4]},
            "b": {"kind": "continuous", "bounds": [0, 40]},
            "k": {"kind": "categorical", "categories": ["r", "s", "t"]},
            "y": {"kind": "continuous", "bounds": [-6, 6]},
        }
    }
)
SCALES = {"a": (0.02, 0.1), "b": (-0.3, 0.01), "k": (0.5, 0.3, 0.2), "y": (0.1, 0.05)}


def features(node="y", parents=("a", "b", "k"), degree=3):
    family = family_of_degree(STUDY.schema(), node, list(parents), ranges={}, degree=degree)
    return NominalFeatures(family, SCALES)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_they_span_what_the_family_spans(degree):
    """Own features = matrix @ orthonormal ones + mean, on any records."""
    nominal = features(degree=degree)
    columns = nominal.nominal_columns(300, 1)
    found = nominal.values(columns) @ nominal.matrix.T + nominal.mean
    np.testing.assert_allclose(nominal.family.basis.evaluate(columns), found, atol=1e-12)
    assert np.all(nominal.matrix.diagonal() > 0)


def test_they_are_orthonormal_under_the_nominal_law():
    nominal = features()
    count = 100_000
    values = nominal.values(nominal.nominal_columns(count, 2))
    # Entries of degree 6 have heavy tails: 6 standard errors of each, from the sample itself.
    products = values[:, :, None] * values[:, None, :]
    error = products.std(axis=0) / np.sqrt(count)
    gap = np.abs(products.mean(axis=0) - np.eye(values.shape[1]))
    assert np.all(gap <= 6 * error + 1e-9)
    assert np.all(np.abs(values.mean(axis=0)) <= 6 * values.std(axis=0) / np.sqrt(count))


def test_a_narrow_law_in_wide_bounds_is_told_apart():
    """b has a spread of a hundredth of its bounds; its features still have the unit size."""
    nominal = features(parents=("b",), degree=3)
    values = nominal.values(nominal.nominal_columns(20_000, 3))
    np.testing.assert_allclose(values.std(axis=0), 1.0, atol=0.1)


def test_a_number_is_centred_and_held():
    nominal = features()
    centre, spread = nominal.node_line
    column = np.array([0.1 * 12, 0.15 * 12, -6.0, 6.0])
    found = nominal.node_values(column)[:, 0]
    np.testing.assert_allclose(found, [0.0, 1.0, -NODE_LIMIT, NODE_LIMIT], atol=1e-12)
    assert (centre, spread) == (0.2, 0.1)
    assert nominal.node_bound == NODE_LIMIT**2


def test_a_level_has_one_column_each():
    nominal = features("k", ("a",))
    found = nominal.node_values(np.array([0.0, 2.0]))
    assert found.tolist() == [[LEVEL_UNIT, 0.0, 0.0], [0.0, 0.0, LEVEL_UNIT]]
    assert nominal.node_bound == LEVEL_UNIT**2


def test_a_node_without_parents():
    nominal = features("a", ())
    assert nominal.values({"a": np.zeros(4)}).shape == (4, 0)
    assert nominal.mean.shape == (0,)
    assert nominal.matrix.shape == (0, 0)


def test_a_level_that_nobody_has_is_no_division_by_zero():
    family = family_of_degree(STUDY.schema(), "y", ["k"], ranges={}, degree=2)
    nominal = NominalFeatures(family, {**SCALES, "k": (1.0, 0.0, 0.0)})
    assert np.isfinite(nominal.values({"k": np.arange(3.0), "y": np.zeros(3)})).all()


@pytest.mark.parametrize(
    ("multiplier", "limit"), [(3.7, 4.0), (1.01, 4.0), (1.0, 5.0), (0.6, 5.0)]
)
def test_a_node_is_held_less_where_noise_is_small(multiplier, limit):
    assert node_limit(multiplier) == limit
    nominal = replace(features(), limit=limit)
    assert nominal.node_bound == limit**2
