"""From released totals to a correlation-like matrix: what is kept, dropped, repaired."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import DataError
from fedcausal.moments.basis import UNIT, Basis
from fedcausal.moments.gram import Gram
from fedcausal.moments.gram_totals import (
    GramTotals,
    block_covariance,
    matrix_findings,
    nearest_correlation,
)
from fedcausal.moments.scatter import SCATTER_UNIT, centred
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="c", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="x", kind=Kind.CONTINUOUS, bounds=(-8.0, 8.0)),
        Variable(name="y", kind=Kind.BINARY),
        Variable(name="z", kind=Kind.CONTINUOUS, bounds=(-8.0, 8.0)),
    )
)
BASIS = Basis.linear(SCHEMA)


def _values(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    z = 0.6 * x + rng.standard_normal(n)
    return np.column_stack([rng.integers(0, 3, n), x, rng.integers(0, 2, n), z]).clip(-8, 8)


def _totals(values, **changes):
    gram = Gram.from_table(BASIS, Table(SCHEMA, values))
    scatter = centred(gram)
    p = BASIS.num_features
    parts = {
        "basis": BASIS,
        "num_sites": 1,
        "num_rows": gram.num_rows,
        "observed": np.diag(gram.counts),
        "counts": scatter.counts,
        "num_means": (scatter.counts > 0).astype(np.int64),
        "sums": gram.values[np.arange(p), BASIS.owners],
        "products": scatter.products / SCATTER_UNIT,
        "squares": scatter.squares / SCATTER_UNIT,
        "withheld_features": np.zeros(p, dtype=bool),
        "withheld_products": np.zeros((p, p), dtype=bool),
    }
    return GramTotals(**{**parts, **changes})


def _withhold(features):
    p = BASIS.num_features
    withheld = np.isin(np.arange(p), features)
    return {
        "withheld_features": withheld,
        "withheld_products": withheld[:, None] | withheld[None, :],
    }


def test_complete_data_give_the_correlation_matrix():
    values = _values()
    statistics = block_covariance(_totals(values))
    columns = np.column_stack(
        [values[:, 0] == 1, values[:, 0] == 2, values[:, 1], values[:, 2], values[:, 3]]
    )
    assert statistics.names == ("c", "x", "y", "z")
    assert statistics.blocks == {"c": (0, 1), "x": (2,), "y": (3,), "z": (4,)}
    np.testing.assert_allclose(statistics.covariance, np.corrcoef(columns.T), atol=1e-6)
    assert np.all(statistics.num_records == 399)
    assert statistics.dropped == (("c=u", "reference level"), ("y=0", "reference level"))


def test_means_are_in_scaled_units():
    values = _values()
    means = _totals(values).means()
    np.testing.assert_allclose(means[:3], np.bincount(values[:, 0].astype(int)) / 400)
    np.testing.assert_allclose(means[3], values[:, 1].mean() / 16, atol=1 / UNIT)
    assert np.isnan(_totals(values, **_withhold([0])).means()[0])


def test_levels_that_never_occur_or_are_withheld_are_dropped():
    values = _values()
    values[values[:, 0] == 2, 0] = 1
    absent = block_covariance(_totals(values))
    assert absent.dropped[:2] == (
        ("c=u", "reference level"),
        ("c=w", "constant at every site"),
    )
    assert len(absent.blocks["c"]) == 1
    withheld = block_covariance(_totals(_values(), **_withhold([0, 1])))
    assert [label for label, why in withheld.dropped if why.startswith("withheld")] == [
        "c=u",
        "c=v",
    ]
    assert len(withheld.blocks["c"]) == 1
    gone = block_covariance(_totals(_values(), **_withhold([0, 1, 2])))
    assert gone.names == ("x", "y", "z")


def test_constant_everywhere_and_nowhere_are_errors():
    values = _values()
    values[:, 3] = 1.0
    with pytest.raises(
        DataError, match=r"z: it is constant at every site, .*; remove variables.z"
    ):
        block_covariance(_totals(values))
    values[:, 3] = np.nan
    with pytest.raises(DataError, match="z: no site has it"):
        block_covariance(_totals(values))


def test_variables_that_never_meet_are_not_kept_together():
    values = _values()
    values[:390, 1] = np.nan
    values[390:, 3] = np.nan
    statistics = block_covariance(_totals(values))
    assert statistics.names == ("c", "y", "z")
    assert ("x", "too few records together with z") in statistics.dropped
    assert (statistics.num_records > 0).all()


def test_missing_values_lower_the_counts_and_keep_the_matrix_positive():
    rng = np.random.default_rng(3)
    values = _values(40)
    values[rng.random(values.shape) < 0.5] = np.nan
    statistics = block_covariance(_totals(values))
    assert np.linalg.eigvalsh(statistics.covariance)[0] > 0
    np.testing.assert_array_equal(np.diag(statistics.covariance), 1.0)
    both = int((~np.isnan(values[:, 1]) & ~np.isnan(values[:, 3])).sum())
    assert statistics.records(["x", "z"]) <= both - 1


def test_equal_columns_stay_usable():
    values = _values()
    values[:, 3] = values[:, 1]
    statistics = block_covariance(_totals(values))
    np.linalg.cholesky(statistics.covariance)
    assert statistics.covariance[2, 4] == pytest.approx(1.0, abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_repair_gives_a_correlation_matrix_and_leaves_good_ones_alone(seed, p):
    rng = np.random.default_rng(seed)
    bad = np.clip(rng.uniform(-1.2, 1.2, (p, p)), -1, 1)
    bad = np.triu(bad, 1) + np.triu(bad, 1).T + np.eye(p)
    repaired = nearest_correlation(bad)
    np.testing.assert_array_equal(np.diag(repaired), 1.0)
    np.testing.assert_array_equal(repaired, repaired.T)
    assert np.linalg.eigvalsh(repaired)[0] >= 1e-8 * 0.99
    np.linalg.cholesky(repaired)
    assert np.abs(repaired).max() <= 1 + 1e-12
    good = np.corrcoef(rng.standard_normal((p, 50)) + rng.standard_normal(50)).reshape(p, p)
    assert nearest_correlation(good) is good


def test_repairing_nothing_gives_nothing():
    assert nearest_correlation(np.zeros((0, 0))).shape == (0, 0)


def test_collinear_columns_are_named():
    values = _values()
    values[:, 3] = -0.5 * values[:, 1]
    (note,) = block_covariance(_totals(values)).notes
    assert note.startswith("x and z are collinear")
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((100, 3))
    rows = np.column_stack([rows, rows[:, 0] + rows[:, 1]])
    (note,) = matrix_findings(np.corrcoef(rows.T), ["a", "b", "c", "d"])
    assert note.startswith("a, b and d are collinear")


def test_a_repair_of_indefinite_sums_is_reported():
    assert block_covariance(_totals(_values())).notes == ()
    matrix = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    (note,) = matrix_findings(matrix, ["a", "b", "c"])
    assert "smallest eigenvalue -0.8" in note
    assert note.startswith("The pairs' sums of a, b and c rest on different records")
    assert note.endswith("remove the one that is missing most often")


def test_no_more_records_than_features_is_an_error():
    with pytest.raises(DataError, match=r"expected more records than features, got 5 .* for 5"):
        block_covariance(_totals(_values(6)))


def test_a_variable_that_varies_at_some_sites_only_is_named():
    totals = _totals(_values())
    means = np.full((4, 4), 3)
    means[1] = means[:, 1] = 2
    statistics = block_covariance(_totals(_values(), num_sites=3, num_means=means))
    assert statistics.notes == (
        "x is constant or missing at 1 of 3 sites, which add nothing to its pairs",
    )
    assert totals.num_sites == 1


def test_polynomials_of_few_values_are_left_out():
    schema = Schema(
        (
            Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-1.0, 1.0)),
            Variable(name="b", kind=Kind.CONTINUOUS, bounds=(-8.0, 8.0)),
        )
    )
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.integers(-1, 2, 200), rng.standard_normal(200)])
    basis = Basis.legendre(schema, {"a": 3, "b": 2})
    gram = Gram.from_table(basis, Table(schema, values))
    scatter = centred(gram)
    totals = GramTotals(
        basis=basis,
        num_sites=1,
        num_rows=200,
        observed=np.diag(gram.counts),
        counts=scatter.counts,
        num_means=np.ones((2, 2), dtype=np.int64),
        sums=gram.values[np.arange(5), basis.owners],
        products=scatter.products / SCATTER_UNIT,
        squares=scatter.squares / SCATTER_UNIT,
        withheld_features=np.zeros(5, dtype=bool),
        withheld_products=np.zeros((5, 5), dtype=bool),
    )
    statistics = block_covariance(totals)
    assert statistics.dropped == (("P3(a)", "determined by lower degrees of a"),)
    assert statistics.blocks == {"a": (0, 1), "b": (2, 3)}
    assert statistics.responses == {"a": (0,), "b": (2,)}
    assert statistics.notes == ()
