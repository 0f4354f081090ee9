"""Marks of small cells: an attacker who solves for the counts, with all classes known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.disclosure.small_counts import shown_to_be_small
from fedcausal_privacy.statistic_spec import CountTable, Guard, StatisticSpec

MIN_CELL = 5


def table_spec(shape, **more):
    size = int(np.prod(shape))
    table = CountTable(cells=tuple(range(size)), shape=shape)
    options = {"min_cell": MIN_CELL, "shows_small": True, **more}
    return StatisticSpec(name="t", length=size, bound=10**6, tables=(table,), **options)


def margins(shape):
    """One row for each sum over one axis, one column for each cell."""
    grid = np.arange(int(np.prod(shape))).reshape(shape)
    lines = [
        line
        for axis in range(len(shape))
        for line in np.moveaxis(grid, axis, -1).reshape(-1, shape[axis])
    ]
    return np.array([np.isin(np.arange(grid.size), line) for line in lines], dtype=float)


def attack(totals, hidden, cell, system):
    """Least and largest value of a hidden cell, with the class of every hidden cell known."""
    bounds = [
        (0, 0) if n == 0 else (1, MIN_CELL - 1) if n < MIN_CELL else (MIN_CELL, None)
        for n in totals[hidden]
    ]
    objective = (hidden == cell).astype(float)
    known = system[:, hidden] @ totals[hidden]
    low = linprog(objective, A_eq=system[:, hidden], b_eq=known, bounds=bounds).fun
    high = -linprog(-objective, A_eq=system[:, hidden], b_eq=known, bounds=bounds).fun
    return low, high


@pytest.mark.parametrize("shape", [(5,), (3, 3), (3, 4), (2, 3, 3)])
def test_no_marked_count_is_determined_even_where_all_classes_are_known(shape):
    rng, num_marked = np.random.default_rng(0), 0
    for _ in range(25):
        totals = rng.poisson(rng.choice([2.0, 6.0, 12.0], int(np.prod(shape))))
        released = apply_cell_rule(totals, table_spec(shape))
        hidden = np.flatnonzero(released.withheld)
        for cell in np.flatnonzero(released.withheld & (released.totals > 0)):
            low, high = attack(totals, hidden, cell, margins(shape))
            assert high - low > 1 - 1e-6
            num_marked += 1
    assert num_marked > 20


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 12), min_size=12, max_size=12))
def test_marks_are_on_withheld_small_cells_and_change_nothing_else(values):
    totals = np.array(values)
    plain = apply_cell_rule(totals, table_spec((3, 4), shows_small=False))
    shown = apply_cell_rule(totals, table_spec((3, 4)))
    np.testing.assert_array_equal(plain.withheld, shown.withheld)
    np.testing.assert_array_equal(plain.totals[~plain.withheld], shown.totals[~plain.withheld])
    assert not plain.totals[plain.withheld].any()
    marked = shown.withheld & (shown.totals > 0)
    assert set(shown.totals[marked]) <= {MIN_CELL - 1}
    assert ((totals[marked] > 0) & (totals[marked] < MIN_CELL)).all()


def test_two_small_counts_that_add_up_to_two_are_not_marked():
    # Both would be one: the pair has no other table of two small counts.
    released = apply_cell_rule(np.array([1, 1, 90]), table_spec((3,)))
    assert released.withheld.tolist() == [True, True, False]
    assert not released.totals[:2].any()
    assert apply_cell_rule(np.array([1, 2, 90]), table_spec((3,))).totals[:2].tolist() == [4, 4]


def test_below_a_withheld_margin_nothing_is_marked():
    # Four marks below a margin of at most four would say that it is four.
    coarse = CountTable(cells=(0, 1), shape=(2,))
    fine = CountTable(cells=tuple(range(2, 10)), shape=(2, 4))
    spec = StatisticSpec(
        name="m",
        length=10,
        bound=1000,
        min_cell=MIN_CELL,
        tables=(coarse, fine),
        guards=(Guard(count=0, dependents=(2, 3, 4, 5)), Guard(count=1, dependents=(6, 7, 8, 9))),
        shows_small=True,
    )
    released = apply_cell_rule(np.array([4, 80, 1, 1, 1, 1, 20, 20, 20, 20]), spec)
    assert released.withheld.all()
    assert np.flatnonzero(released.totals).tolist() == [0]


def test_one_possible_value_is_never_marked():
    withheld = np.array([True, True, False])
    spec = table_spec((3,), min_cell=2)
    assert not shown_to_be_small(np.array([1, 7, 9]), withheld, spec).any()
