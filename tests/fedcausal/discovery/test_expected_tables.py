"""Expected tables of a discrete network: its dependence, and no cell ruled out."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.discovery.expected_tables import ExpectedTables
from fedcausal.graph import Graph
from fedcausal.scores.completed_tables import CompletedTables
from fedcausal.study import Study

COUNTS = np.array([[300.0, 100.0, 0.0], [50.0, 50.0, 500.0]])


def tables_of(counts, num_missing=0.0):
    """Tables of a (two levels) and b (three), the last level of a for missing values."""
    variables = {
        name: {"kind": "categorical", "categories": [f"l{k}" for k in range(size)]}
        for name, size in (("a", 2), ("b", 3))
    }
    if num_missing:
        counts = np.vstack([counts, num_missing * counts.sum(axis=0) / counts.sum()])
    released = {(0, 1): counts, (0,): counts.sum(axis=1), (1,): counts.sum(axis=0)}
    return CompletedTables(
        schema=Study.model_validate({"variables": variables}).schema(),
        missing=frozenset([0] if num_missing else []),
        num_records=round(counts.sum()),
        released=released,
    )


@pytest.mark.parametrize("edge", [("a", "b"), ("b", "a")])
def test_a_family_is_expected_as_it_was_seen(edge):
    tables = tables_of(COUNTS)
    expected = ExpectedTables.sampled(tables, Graph.dag(("a", "b"), [edge]))
    np.testing.assert_allclose(expected((0, 1)), COUNTS, atol=12.0)
    assert (expected((0, 1)) > 0).all()


def test_without_an_edge_independence_is_expected():
    expected = ExpectedTables.sampled(tables_of(COUNTS), Graph.dag(("a", "b"), []))
    product = np.outer(COUNTS.sum(axis=1), COUNTS.sum(axis=0)) / 1000.0
    np.testing.assert_allclose(expected((0, 1)), product, atol=12.0)


def test_values_are_expected_to_be_missing_as_often_as_they_were():
    tables = tables_of(COUNTS, num_missing=250.0)
    expected = ExpectedTables.sampled(tables, Graph.dag(("a", "b"), [("a", "b")]))
    np.testing.assert_allclose(expected((0, 1)), tables.released[0, 1], atol=15.0)


def test_the_misfit_is_small_for_the_network_seen_and_reads_no_withheld_cell():
    tables = tables_of(COUNTS)
    seen = ExpectedTables.sampled(tables, Graph.dag(("a", "b"), [("a", "b")]))
    without = ExpectedTables.sampled(tables, Graph.dag(("a", "b"), []))
    assert 0 <= seen.misfit(tables) < 20 < 400 < without.misfit(tables)
    gaps = np.zeros((2, 3), dtype=bool)
    gaps[0, 0] = gaps[1, 2] = True
    misfits = []
    for number in (0.0, 4.0):
        shown = np.where(gaps, number, COUNTS)
        misfits.append(without.misfit(replace(tables, gaps={(0, 1): (shown, gaps)})))
    assert misfits[0] == misfits[1] < without.misfit(tables)


def chain_tables(names):
    """Tables of a chain a - b - c over 1000 records, that of a and c withheld; and that one."""
    follow = np.array([[0.9, 0.1], [0.1, 0.9]])
    axes = [names.index(name) for name in ("a", "b", "c")]
    joint = 500.0 * np.einsum("ab,bc->abc", follow, follow)
    joint = np.moveaxis(joint, (0, 1, 2), axes)
    released = {(k,): joint.sum(axis=tuple({0, 1, 2} - {k})) for k in range(3)}
    released |= {(i, j): joint.sum(axis=3 - i - j) for i, j in ((0, 1), (0, 2), (1, 2))}
    hidden = tuple(sorted((axes[0], axes[2])))
    gaps = {hidden: (np.zeros((2, 2)), np.ones((2, 2), dtype=bool))}
    released[hidden] = np.full((2, 2), 250.0)
    variables = {name: {"kind": "categorical", "categories": ["x", "y"]} for name in names}
    tables = CompletedTables(
        schema=Study.model_validate({"variables": variables}).schema(),
        missing=frozenset(),
        num_records=1000,
        released=released,
        gaps=gaps,
    )
    return tables, hidden, joint.sum(axis=axes[1])


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a", "b")])
def test_raked_rows_agree_with_released_cells_and_show_what_follows_from_them(names):
    tables, hidden, true = chain_tables(names)
    # Without any edge nothing depends on anything; the two released tables make a depend on c.
    expected = ExpectedTables.sampled(tables, Graph.dag(names, []))
    np.testing.assert_allclose(expected(hidden), np.full((2, 2), 250.0), atol=10.0)
    raked = expected.raked(tables)
    for places in tables.released:
        if len(places) == 2 and places != hidden:
            np.testing.assert_allclose(raked(places), tables.released[places], atol=5.0)
    np.testing.assert_allclose(raked(hidden), true, atol=10.0)
    np.testing.assert_allclose(tables.around(raked).table(hidden), true, atol=10.0)
    assert raked.weights.sum() == pytest.approx(1000.0)


def test_raking_to_partly_withheld_tables_keeps_the_records_of_what_is_withheld():
    tables = tables_of(COUNTS)
    gaps = np.zeros((2, 3), dtype=bool)
    gaps[:, 1:] = True
    tables = replace(tables, gaps={(0, 1): (np.where(gaps, 0.0, COUNTS), gaps)})
    raked = ExpectedTables.sampled(tables, Graph.dag(("a", "b"), [])).raked(tables)((0, 1))
    np.testing.assert_allclose(raked[:, 0], COUNTS[:, 0], atol=5.0)
    assert raked[gaps].sum() == pytest.approx(650.0, abs=10.0)
