"""Bootstrap covariances of rows, against pandas and explicit resampling."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.data.table import Table
from fedcausal.discovery.resampled_covariance import bootstrap_covariances
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="x", kind=Kind.CONTINUOUS),
        Variable(name="y", kind=Kind.CONTINUOUS),
        Variable(name="g", kind=Kind.CATEGORICAL, categories=("a", "b", "c")),
    )
)


class FixedDraws:
    """A generator that resamples every row once: the covariances are then those of the rows."""

    def multinomial(self, total, shares, size):
        return np.tile(np.rint(np.asarray(shares) * total).astype(int), (size, 1))

    def integers(self, bound, size):
        return np.arange(size) % bound


class Batched:
    """A table in small pieces."""

    def __init__(self, table, size):
        self.schema, self.table, self.size = table.schema, table, size

    def batches(self):
        return self.table.batches(self.size)


def rows(seed=0, num_rows=300):
    rng = np.random.default_rng(seed)
    x = 1e6 + 50.0 * rng.standard_normal(num_rows)
    y = 1e-3 * (0.01 * x + rng.standard_normal(num_rows))
    return np.column_stack([x, y, rng.integers(0, 3, num_rows)])


def expand(values):
    frame = pd.DataFrame({"x": values[:, 0], "y": values[:, 1]})
    for level in (1, 2):
        indicator = (values[:, 2] == level).astype(float)
        frame[f"g{level}"] = np.where(np.isnan(values[:, 2]), np.nan, indicator)
    return frame


@pytest.mark.parametrize("size", [37, 300, 1000])
def test_once_each_is_the_correlation_of_the_rows_in_any_batches(size):
    values = rows()
    source = Batched(Table(SCHEMA, values), size)
    (found,) = bootstrap_covariances(source, 1, FixedDraws())
    assert found.blocks == {"x": (0,), "y": (1,), "g": (2, 3)}
    np.testing.assert_allclose(found.covariance, expand(values).corr(), atol=1e-9)
    assert np.all(found.num_records == 299)


def test_a_bootstrap_spreads_like_sampling():
    # The bootstrap standard deviation of a correlation r is about (1 - r^2) / sqrt(n).
    values = rows(num_rows=400)
    drawn = bootstrap_covariances(Table(SCHEMA, values), 600, np.random.default_rng(0))
    correlations = np.array([found.covariance[0, 1] for found in drawn])
    r = np.corrcoef(values[:, 0], values[:, 1])[0, 1]
    assert correlations.std() == pytest.approx((1 - r**2) / np.sqrt(400), rel=0.15)


def test_missing_values_are_deleted_pairwise_and_repaired():
    values = rows()
    values[:100, 0] = np.nan
    values[50:200, 2] = np.nan
    (found,) = bootstrap_covariances(Table(SCHEMA, values), 1, FixedDraws())
    np.testing.assert_array_equal(
        found.num_records, [[199, 199, 99], [199, 299, 149], [99, 149, 149]]
    )
    assert np.linalg.eigvalsh(found.covariance)[0] > 0
    observed = pd.DataFrame(values).corr().loc[0, 1]
    # Pairwise moments take each variance over all records of its variable.
    assert found.covariance[0, 1] == pytest.approx(observed, abs=0.1)


def test_what_does_not_vary_is_left_out():
    values = rows()
    values[:, 1] = 7.0
    values[:, 2] = np.where(values[:, 2] == 0, 1, values[:, 2])
    (found,) = bootstrap_covariances(Table(SCHEMA, values), 1, FixedDraws())
    assert found.names == ("x", "g")
    assert found.blocks["g"] == (1,)


def test_no_rows_and_constant_rows_give_none():
    empty = Table(SCHEMA, np.empty((0, 3)))
    constant = Table(SCHEMA, np.ones((20, 3)))
    for table in (empty, constant):
        assert list(bootstrap_covariances(table, 2, np.random.default_rng(0))) == [None, None]
