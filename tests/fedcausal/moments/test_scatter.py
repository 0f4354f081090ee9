"""Exact centring equals the textbook formula, pair by pair; standardising removes the unit."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from fedcausal.data.table import Table
from fedcausal.moments.basis import UNIT, Basis
from fedcausal.moments.gram import Gram
from fedcausal.moments.scatter import SCATTER_UNIT, STANDARD_UNIT, centred, standardized
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="c", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="x", kind=Kind.CONTINUOUS, bounds=(-8.0, 8.0)),
        Variable(name="y", kind=Kind.BINARY),
        Variable(name="z", kind=Kind.CONTINUOUS, bounds=(-20.0, 20.0)),
    )
)
BASIS = Basis.linear(SCHEMA)
BASES = [BASIS, Basis.legendre(SCHEMA, {"x": 3, "z": 2})]
EVERY_BASIS = pytest.mark.parametrize("basis", BASES, ids=["linear", "legendre"])


def _table(num_rows=300, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, num_rows)
    x = (rng.standard_normal(num_rows) + y).clip(-8, 8)
    z = (2 * x + rng.standard_normal(num_rows)).clip(-20, 20)
    values = np.column_stack([rng.integers(0, 3, num_rows), x, y, z])
    values[rng.random(values.shape) < missing] = np.nan
    return Table(SCHEMA, values)


def _features(table, basis=BASIS):
    """Scaled features as floats with NaN for missing: an independent reading of the basis."""
    frame = pd.DataFrame(table.values, columns=list(SCHEMA.names))
    q, _ = basis.encode(table)
    columns = {}
    for i, feature in enumerate(basis.features):
        values = q[:, i] / feature.unit
        columns[i] = np.where(frame[feature.variable].isna(), np.nan, values)
    return pd.DataFrame(columns)


def _naive(features, basis):
    """Centred products and squares over complete pairs, in a loop."""
    p, owners = features.shape[1], basis.owners
    products, squares = np.zeros((p, p)), np.zeros((p, len(SCHEMA)))
    for i in range(p):
        for j in range(p):
            both = features[[i, j]].dropna() if i != j else features[[i]].dropna()
            first, second = both[i], both[j]
            products[i, j] = ((first - first.mean()) * (second - second.mean())).sum()
            squares[i, owners[j]] = ((first - first.mean()) ** 2).sum()
    return products, squares


@EVERY_BASIS
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_pairwise_centring_equals_a_loop_over_pairs(missing, basis):
    table = _table(missing=missing)
    scatter = centred(Gram.from_table(basis, table))
    products, squares = _naive(_features(table, basis), basis)
    np.testing.assert_allclose(scatter.products / SCATTER_UNIT, products, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scatter.squares / SCATTER_UNIT, squares, rtol=1e-9, atol=1e-9)
    observed = (~np.isnan(table.values)).astype(int)
    assert np.array_equal(scatter.counts, observed.T @ observed)


def test_complete_data_give_the_covariance_of_numpy():
    table = _table()
    scatter = centred(Gram.from_table(BASIS, table))
    expected = np.cov(_features(table).to_numpy().T) * (table.num_rows - 1)
    np.testing.assert_allclose(scatter.products / SCATTER_UNIT, expected, rtol=1e-9, atol=1e-10)


def test_a_pair_with_a_constant_variable_adds_nothing_and_counts_nothing():
    values = _table().values.copy()
    values[:, SCHEMA.index("x")] = 3.0
    scatter = centred(Gram.from_table(BASIS, Table(SCHEMA, values)))
    x, z, row = SCHEMA.index("x"), SCHEMA.index("z"), BASIS.block("x")[0]
    assert not scatter.counts[x].any()
    assert not scatter.counts[:, x].any()
    assert not scatter.products[row].any()
    assert not scatter.squares[row].any()
    assert not scatter.squares[BASIS.block("z")[0], x].any()
    assert scatter.counts[z, z] == 300


def test_standardising_gives_n_times_the_correlation_of_numbers():
    table = _table()
    scatter = standardized(Gram.from_table(BASIS, table))
    x, z = BASIS.block("x")[0], BASIS.block("z")[0]
    r = np.corrcoef(table.column("x"), table.column("z"))[0, 1]
    # Both are rounded to the 2^-20 grid: features once, the product once.
    assert scatter.products[x, z] / STANDARD_UNIT == pytest.approx(300 * r, rel=1e-5)
    assert scatter.products[x, x] == scatter.squares[x, 3] == 300 * STANDARD_UNIT


def test_standardising_removes_a_change_of_unit_and_keeps_levels():
    table = _table(missing=0.1)
    scaled = table.values.copy()
    scaled[:, 1] = scaled[:, 1] * 0.5 - 1.0
    first = standardized(Gram.from_table(BASIS, table))
    second = standardized(Gram.from_table(BASIS, Table(SCHEMA, scaled)))
    np.testing.assert_allclose(first.products, second.products, atol=1e-5 * 300 * STANDARD_UNIT)
    levels = BASIS.block("c")
    exact = centred(Gram.from_table(BASIS, table))
    block = np.ix_(levels, levels)
    np.testing.assert_allclose(
        first.products[block] / STANDARD_UNIT, exact.products[block] / SCATTER_UNIT, atol=1e-6
    )


def test_standardising_keeps_polynomials_on_their_scale():
    table, basis = _table(), BASES[1]
    gram = Gram.from_table(basis, table)
    exact, standard = centred(gram), standardized(gram)
    block = np.ix_(basis.block("x")[1:], basis.block("x")[1:])
    np.testing.assert_allclose(
        standard.products[block] / STANDARD_UNIT, exact.products[block] / SCATTER_UNIT, atol=1e-6
    )
    x = basis.block("x")[0]
    assert standard.products[x, x] == 300 * STANDARD_UNIT


def test_no_records_and_one_record_give_zeros():
    for num_rows in (0, 1):
        gram = Gram.from_table(BASIS, _table(num_rows))
        for scatter in (centred(gram), standardized(gram)):
            assert not scatter.products.any()
            assert not scatter.counts.any()


def test_large_offsets_cancel_exactly():
    """Values near a bound: float64 would lose the variance, integers do not."""
    schema = Schema((Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, float(UNIT))),))
    basis = Basis.linear(schema)
    rows = Table(schema, UNIT - (np.arange(10_000) % 2)[:, None].astype(float))
    scatter = centred(Gram.from_table(basis, rows))
    assert scatter.products[0, 0] == 10_000 // 4


def test_the_one_rounding_is_to_the_nearest_integer():
    table = _table(num_rows=7, missing=0.2, seed=4)
    gram = Gram.from_table(BASIS, table)
    scatter = centred(gram)
    lifts, owners = UNIT // BASIS.units, BASIS.owners
    for i in range(BASIS.num_features):
        for j in range(BASIS.num_features):
            v, w = owners[i], owners[j]
            n = Fraction(int(scatter.counts[v, w]))
            if n:
                sums = int(gram.values[i, w]) * int(gram.values[j, v])
                exact = (int(gram.products[i, j]) - sums / n) * int(lifts[i]) * int(lifts[j])
                assert abs(exact - int(scatter.products[i, j])) <= Fraction(1, 2)
