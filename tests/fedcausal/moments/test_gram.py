"""The Gram is an additive monoid of exact integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import DataError, SchemaError
from fedcausal.moments.basis import UNIT, Basis
from fedcausal.moments.gram import MAX_RECORDS, Gram
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="c", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
        Variable(name="x", kind=Kind.CONTINUOUS, bounds=(-3.0, 9.0)),
        Variable(name="y", kind=Kind.BINARY),
        Variable(name="z", kind=Kind.CONTINUOUS, bounds=(0.0, 1e-3)),
    )
)
BASES = [Basis.linear(SCHEMA), Basis.legendre(SCHEMA, {"x": 3, "z": 2})]
EVERY_BASIS = pytest.mark.parametrize("basis", BASES, ids=["linear", "legendre"])


def random_table(rng, num_rows, missing=0.2):
    values = np.column_stack(
        [
            rng.integers(0, 3, num_rows),
            rng.uniform(-3, 9, num_rows),
            rng.integers(0, 2, num_rows),
            rng.uniform(0, 1e-3, num_rows),
        ]
    )
    values[rng.random(values.shape) < missing] = np.nan
    return Table(SCHEMA, values)


tables = st.builds(
    lambda seed, n, missing: random_table(np.random.default_rng(seed), n, missing),
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.sampled_from([0.0, 0.2, 0.9, 1.0]),
)


def _oracle(basis, table):
    """Sums record by record in Python integers."""
    q, observed = basis.encode(table)
    p, d = basis.num_features, len(SCHEMA)
    sums = {k: np.zeros(s, dtype=object) for k, s in _shapes(p, d).items()}
    for row, seen in zip(q.tolist(), observed.tolist(), strict=True):
        for v in range(d):
            for w in range(d):
                sums["counts"][v, w] += seen[v] and seen[w]
        for i in range(p):
            for w in range(d):
                sums["values"][i, w] += row[i] * seen[w]
                sums["squares"][i, w] += row[i] ** 2 * seen[w]
            for j in range(p):
                sums["products"][i, j] += row[i] * row[j]
    return sums


def _shapes(p, d):
    return {"counts": (d, d), "values": (p, d), "squares": (p, d), "products": (p, p)}


@EVERY_BASIS
@settings(max_examples=15, deadline=None)
@given(table=tables)
def test_sums_equal_a_loop_over_records(basis, table):
    gram, oracle = Gram.from_table(basis, table), _oracle(basis, table)
    assert gram.num_rows == table.num_rows
    for name, expected in oracle.items():
        assert np.array_equal(getattr(gram, name), expected.astype(np.int64)), name


@EVERY_BASIS
@settings(max_examples=40, deadline=None)
@given(a=tables, b=tables, c=tables)
def test_monoid(basis, a, b, c):
    zero, x, y, z = Gram.zero(basis), *(Gram.from_table(basis, table) for table in (a, b, c))
    assert zero + x == x == x + zero
    assert (x + y) + z == x + (y + z) == Gram.sum(basis, [z, y, x])
    assert Gram.from_table(basis, Table.concatenate([a, b])) == x + y


@EVERY_BASIS
@settings(max_examples=40, deadline=None)
@given(table=tables, random=st.randoms(use_true_random=False), size=st.integers(1, 70))
def test_order_and_batches_change_nothing(basis, table, random, size):
    order = list(range(table.num_rows))
    random.shuffle(order)
    whole = Gram.from_table(basis, table)
    assert Gram.from_table(basis, table.take(np.array(order, dtype=int))) == whole
    batches = (Gram.from_table(basis, batch) for batch in table.batches(size))
    assert Gram.sum(basis, batches) == whole
    assert Gram.from_source(basis, table) == whole


@EVERY_BASIS
def test_streaming_over_chunk_borders_equals_one_matrix(basis):
    table = random_table(np.random.default_rng(0), 40_000, missing=0.1)
    q, observed = basis.encode(table)
    gram = Gram.from_source(basis, table)
    assert np.array_equal(gram.products, q.T @ q)
    assert np.array_equal(gram.squares, (q * q).T @ observed.astype(np.int64))
    assert np.array_equal(gram.values, q.T @ observed.astype(np.int64))


def test_the_largest_sums_stay_in_63_bits():
    schema = Schema((Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),))
    basis = Basis.legendre(schema, {"x": 3})
    gram = Gram.from_table(basis, Table(schema, np.ones((2**14, 1))))
    assert (gram.products == 2**14 * (UNIT // 2) ** 2).all()
    assert gram.products[0, 0] == 2**52
    total = gram
    for _ in range(10):
        total = total + total
    assert total.num_rows == 2**24
    assert total.products[0, 0] == 2**62
    with pytest.raises(DataError, match=f"at most {MAX_RECORDS} rows"):
        total + total


def test_different_bases_do_not_add():
    other = Basis.linear(Schema((SCHEMA["x"],)))
    with pytest.raises(SchemaError, match="different bases"):
        Gram.zero(BASES[0]) + Gram.zero(other)


def test_a_gram_is_frozen():
    with pytest.raises(ValueError, match="read-only"):
        Gram.zero(BASES[0]).counts[0, 0] = 1
