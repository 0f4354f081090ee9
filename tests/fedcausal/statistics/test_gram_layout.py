"""Sections cover the vector once; guards and tables reach every entry of a small group."""

import numpy as np
import pytest

from fedcausal.moments.basis import Basis
from fedcausal.schema import Kind, Schema, Variable
from fedcausal.statistics.gram_layout import CentredLayout, PooledLayout

BASIS = Basis.linear(
    Schema(
        (
            Variable(name="c", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
            Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),
            Variable(name="y", kind=Kind.BINARY),
        )
    )
)
CURVED = Basis.legendre(BASIS.schema, {"x": 3})
LEVELS = [0, 1, 2, 4, 5]


def test_the_centred_sections_cover_the_vector_once():
    layout = CentredLayout(BASIS)
    upper, pairs = np.triu_indices(6), np.triu_indices(3)
    entries = [
        [0],
        layout.observed,
        layout.counts[pairs],
        layout.sites[pairs],
        layout.sums,
        layout.products[upper],
        layout.squares.ravel(),
    ]
    assert np.concatenate(entries).tolist() == list(range(layout.length))
    assert np.array_equal(layout.products, layout.products.T)


def test_the_pooled_sections_cover_the_vector_once():
    layout = PooledLayout(BASIS)
    products = layout.products[np.triu_indices(6)]
    entries = [
        [0],
        layout.counts[np.triu_indices(3)],
        layout.values.ravel(),
        layout.squares[[3]].ravel(),
        products[products >= 0],
    ]
    assert np.concatenate(entries).tolist() == list(range(layout.length))
    assert np.array_equal(layout.squares[LEVELS], layout.values[LEVELS])
    assert (layout.products[np.ix_([0, 1, 2], [0, 1, 2])] == -1).all()
    assert layout.products[3, 3] >= 0


@pytest.mark.parametrize("kind", [CentredLayout, PooledLayout])
def test_polynomials_are_withheld_with_their_number(kind):
    layout = kind(CURVED)
    polynomials = CURVED.block("x")
    reach = _reach(layout)
    own = layout.observed[1] if kind is CentredLayout else layout.counts[1, 1]
    sums = layout.sums if kind is CentredLayout else layout.values[:, 1]
    hidden = set().union(*(reach[c] for c in {int(own), int(layout.counts[1, 1])}))
    assert {int(sums[i]) for i in polynomials} <= hidden
    assert set(layout.products[np.ix_(polynomials, polynomials)].ravel().tolist()) <= hidden


@pytest.mark.parametrize("kind", [CentredLayout, PooledLayout])
def test_a_withheld_pair_reaches_all_its_sums(kind):
    layout = kind(BASIS)
    reach = _reach(layout)
    hidden = reach[int(layout.counts[0, 1])]
    assert set(layout.products[np.ix_([0, 1, 2], [3])].ravel().tolist()) <= hidden
    assert {*layout.squares[[0, 1, 2], 1].tolist(), int(layout.squares[3, 0])} <= hidden


def test_a_withheld_level_reaches_everything_it_takes_part_in():
    centred, pooled = CentredLayout(BASIS), PooledLayout(BASIS)
    for level in LEVELS:
        reach = _reach(centred)[int(centred.sums[level])]
        assert {*centred.products[level].tolist(), *centred.squares[level].tolist()} <= reach
        own = pooled.values[level, BASIS.owners[level]]
        reach = _reach(pooled)[int(own)]
        products = pooled.products[level]
        assert {*products[products >= 0].tolist(), *pooled.values[level].tolist()} <= reach


def test_counts_are_the_sums_of_levels_and_pairs():
    centred, pooled = CentredLayout(BASIS), PooledLayout(BASIS)
    assert set(centred.sums[LEVELS].tolist()) <= set(centred.count_entries())
    assert int(centred.sums[3]) not in centred.count_entries()
    assert [table.shape for table in centred.tables()] == [(3,), (2,)]
    assert int(pooled.products[0, 4]) in pooled.count_entries()
    assert int(pooled.products[0, 3]) not in pooled.count_entries()
    assert [table.shape for table in pooled.tables()] == [(3,)] * 3 + [(2,)] * 3 + [(3, 2)]


def _reach(layout):
    reach = {}
    for guard in layout.guards():
        reach.setdefault(guard.count, set()).update(guard.dependents)
    return reach
