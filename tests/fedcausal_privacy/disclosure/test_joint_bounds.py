"""Bounds of cells from overlapping tables: valid, sharp in known cases, and rings of sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.disclosure import joint_bounds
from fedcausal_privacy.disclosure.joint_bounds import (
    JointCells,
    joint_cells,
    joint_sets,
    num_joint_cells,
)
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import CountTable

UNKNOWN = 10**6


def pair_tables(sizes):
    """The number of records, then all tables of one and two variables."""
    at, tables = 1, []
    for axes in [(v,) for v in range(len(sizes))] + [
        (v, w) for v in range(len(sizes)) for w in range(v + 1, len(sizes))
    ]:
        shape = tuple(sizes[v] for v in axes)
        cells = tuple(range(at, at + int(np.prod(shape))))
        tables.append(CountTable(cells=cells, shape=shape, axes=axes))
        at += len(cells)
    return at, tables


def totals_of(joint, length, tables):
    totals = np.zeros(length, dtype=np.int64)
    totals[0] = joint.sum()
    for table in tables:
        others = tuple(v for v in range(joint.ndim) if v not in table.axes)
        totals[list(table.cells)] = joint.sum(axis=others).ravel()
    return totals


def bounds(totals, hidden, length, tables):
    cells = joint_cells(length, 0, tables, joint_sets(tables))
    low, high = np.where(hidden, 0, totals), np.where(hidden, UNKNOWN, totals)
    lows, highs = cells.bounds(low, high)
    return cells, lows, highs


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_every_table_lies_within_its_bounds(seed):
    rng = np.random.default_rng(seed)
    joint = rng.poisson(rng.choice([0.3, 2.0]), rng.integers(1, 4, size=3))
    length, tables = pair_tables(joint.shape)
    totals = totals_of(joint, length, tables)
    _, lows, highs = bounds(totals, rng.random(length) < 0.5, length, tables)
    assert (lows[:length] <= totals).all()
    assert (totals <= highs[:length]).all()


def test_a_table_below_its_margins_has_the_bounds_of_frechet():
    joint = np.array([[7, 3], [2, 8]])
    length, tables = pair_tables(joint.shape)
    totals = totals_of(joint, length, tables)
    hidden = np.zeros(length, dtype=bool)
    hidden[list(tables[-1].cells)] = True
    _, lows, highs = bounds(totals, hidden, length, tables)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    least = np.maximum(rows[:, None] + columns[None] - joint.sum(), 0)
    most = np.minimum(rows[:, None], columns[None])
    np.testing.assert_array_equal(lows[list(tables[-1].cells)], least.ravel())
    np.testing.assert_array_equal(highs[list(tables[-1].cells)], most.ravel())


def test_a_group_gives_its_parts_away_through_a_third_variable():
    """c = 2 is d = 1; the table of (b, d) tells what that of (b, c) withholds."""
    joint = np.zeros((2, 3, 2), dtype=int)
    joint[0, :, 0], joint[1, :, 0] = [20, 30, 0], [4, 20, 0]
    joint[:, 2, 1] = [9, 6]
    length, tables = pair_tables(joint.shape)
    totals = totals_of(joint, length, tables)
    hidden = np.zeros(length, dtype=bool)
    table = next(t for t in tables if t.axes == (0, 1))
    hidden[np.array(table.cells).reshape(2, 3)[:, [0, 2]]] = True
    small = table.cells[3]
    assert totals[small] == 4
    _, lows, highs = bounds(totals, hidden, length, tables)
    assert lows[small] == highs[small] == 4


def test_a_ring_of_sums_is_found_by_equations_and_not_by_bounds():
    """x + y, y + z and z + x are known: so are x, y and z, but no single sum says so."""
    margins, cells = np.array([0, 1, 2]), np.array([[3, 4], [4, 5], [5, 3]])
    ring = JointCells(
        num_cells=6,
        sums=tuple((margins[[k]].astype(np.int32), cells[[k]].astype(np.int32)) for k in range(3)),
    )
    low, high = np.array([5, 5, 5, 0, 0, 0]), np.array([5, 5, 5, 9, 9, 9])
    lows, highs = ring.bounds(low, high)
    assert (lows[3:] < highs[3:]).all()
    assert ring.fixed_by_equations(highs > lows).all()
    chain = JointCells(num_cells=6, sums=ring.sums[:2])
    lows, highs = chain.bounds(low, high)
    assert not chain.fixed_by_equations(highs > lows)[3:].any()


def test_beyond_the_limit_only_bounds_count(monkeypatch):
    monkeypatch.setattr(joint_bounds, "EQUATION_CELLS", 3)
    cells = JointCells(num_cells=4, sums=())
    free = np.array([True, False, True, True])
    assert cells.fixed_by_equations(free).tolist() == [False, True, False, False]


def test_few_variables_are_examined_together_and_many_by_three(monkeypatch):
    _, tables = pair_tables((2, 2, 2, 2))
    assert joint_sets(tables)[-1] == (0, 1, 2, 3)
    monkeypatch.setattr(joint_bounds, "WHOLE_CELLS", 10)
    monkeypatch.setattr(joint_bounds, "UNION_CELLS", 10)
    assert max(map(len, joint_sets(tables))) == 3
    triples = [CountTable(cells=tuple(range(8)), shape=(2, 2, 2), axes=(0, 1, v)) for v in (2, 3)]
    monkeypatch.setattr(joint_bounds, "UNION_CELLS", 1000)
    assert joint_sets([*tables, *triples])[-1] == (0, 1, 2, 3)


def test_too_many_variables_are_refused(monkeypatch):
    assert num_joint_cells([2, 3, 4]) == 24
    monkeypatch.setattr(joint_bounds, "MAX_JOINT_CELLS", 7)
    with pytest.raises(ProtocolError, match="too many variables"):
        joint_sets(pair_tables((2, 2, 2))[1])
