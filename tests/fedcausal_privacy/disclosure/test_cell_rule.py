"""The cell rule: nothing small is shown, and nothing shown determines what is withheld."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from fedcausal_privacy.disclosure import partners
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import CountTable, Guard, RecordGroups, StatisticSpec

MIN_CELL = 5
SMALL = settings(max_examples=150, deadline=None, derandomize=True)
COUNTS = st.one_of(st.integers(0, 6), st.integers(0, 60))


def table_spec(shape, **more):
    size = int(np.prod(shape))
    cells = tuple(range(size))
    return StatisticSpec(
        name="t",
        length=size,
        bound=10**6,
        min_cell=MIN_CELL,
        tables=(CountTable(cells=cells, shape=shape),),
        **more,
    )


def margins(shape):
    """Rows: one for each sum over one axis (1-D: the total); columns: cells."""
    grid = np.arange(int(np.prod(shape))).reshape(shape)
    rows = []
    for axis in range(len(shape)):
        moved = np.moveaxis(grid, axis, -1).reshape(-1, shape[axis])
        for line in moved:
            rows.append(np.isin(np.arange(grid.size), line).astype(float))
    return np.array(rows)


def is_determined(system, cell):
    unit = np.zeros(system.shape[1])
    unit[cell] = 1
    return np.linalg.matrix_rank(np.vstack([system, unit])) == np.linalg.matrix_rank(system)


def shaped(shapes):
    return st.sampled_from(shapes).flatmap(
        lambda shape: st.tuples(
            st.just(shape),
            st.lists(COUNTS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))),
        )
    )


@SMALL
@given(shaped([(2,), (5,), (2, 2), (2, 4), (3, 3), (4, 5), (2, 2, 3)]))
def test_no_small_count_is_shown_and_the_rest_is_right(case):
    shape, values = case
    totals = np.array(values)
    released = apply_cell_rule(totals, table_spec(shape))
    shown = ~released.withheld
    assert not ((totals[shown] > 0) & (totals[shown] < MIN_CELL)).any()
    assert (released.totals[shown] == totals[shown]).all()
    assert not released.totals[released.withheld].any()


@SMALL
@given(shaped([(2,), (5,), (2, 2), (2, 4), (3, 3), (4, 5), (2, 2, 3)]))
def test_no_withheld_cell_is_determined_by_released_cells_and_margins(case):
    shape, values = case
    released = apply_cell_rule(np.array(values), table_spec(shape))
    hidden = np.flatnonzero(released.withheld)
    system = margins(shape)[:, hidden]
    assert not any(is_determined(system, i) for i in range(hidden.size))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shaped([(3,), (2, 3), (3, 3), (4, 4)]))
def test_small_counts_stay_open_also_to_one_who_knows_that_counts_are_not_negative(case):
    shape, values = case
    totals = np.array(values)
    small = np.flatnonzero((totals > 0) & (totals < MIN_CELL))
    # Margins alone fix a table whose records all lie in one row or column.
    assume(len(shape) == 1 or (np.linalg.matrix_rank(totals.reshape(shape)) > 1 and totals.all()))
    hidden = np.flatnonzero(apply_cell_rule(totals, table_spec(shape)).withheld)
    system = margins(shape)[:, hidden]
    known = system @ totals[hidden]
    for cell in np.searchsorted(hidden, small):
        objective = (np.arange(hidden.size) == cell).astype(float)
        low = linprog(objective, A_eq=system, b_eq=known).fun
        high = -linprog(-objective, A_eq=system, b_eq=known).fun
        assert high - low > 0.5


def test_one_dimension_takes_the_smallest_other_cell_and_zero_only_at_last():
    hide = lambda values: apply_cell_rule(np.array(values), table_spec((4,))).withheld.tolist()  # noqa: E731
    assert hide([3, 90, 0, 20]) == [True, False, False, True]
    assert hide([3, 2, 0, 20]) == [True, True, False, False]
    assert hide([0, 3, 0, 0]) == [True, True, False, False]
    assert hide([9, 9, 0, 5]) == [False] * 4


def test_two_cycles_joined_by_one_cell_do_not_give_that_cell_away():
    # Every row and column has two withheld cells, and yet the joining cell would be determined.
    values = np.full((4, 4), 50)
    values[:2, :2] = 1
    values[2:, 2:] = 1
    values[1, 2] = 1
    released = apply_cell_rule(values.ravel(), table_spec((4, 4)))
    hidden = np.flatnonzero(released.withheld)
    system = margins((4, 4))[:, hidden]
    assert not any(is_determined(system, i) for i in range(hidden.size))
    assert hidden.size > 9


def test_guards_withhold_their_dependents_and_dependents_that_are_cells_go_on():
    spec = StatisticSpec(
        name="g",
        length=8,
        bound=100,
        min_cell=MIN_CELL,
        counts=(0,),
        tables=(CountTable(cells=(2, 3, 4), shape=(3,)),),
        guards=(Guard(count=4, dependents=(6,)), Guard(count=0, dependents=(1, 2))),
    )
    released = apply_cell_rule(np.array([2, 77, 30, 40, 20, 55, 66, 77]), spec)
    assert np.flatnonzero(released.withheld).tolist() == [0, 1, 2, 4, 6]


@pytest.mark.parametrize("min_cell", [0, 1])
def test_without_a_minimum_nothing_is_withheld(min_cell):
    spec = StatisticSpec(name="s", length=3, bound=9, min_cell=min_cell, counts=(0, 1, 2))
    assert not apply_cell_rule(np.array([0, 1, 2]), spec).withheld.any()


def test_entries_that_are_not_counts_are_left_alone():
    spec = StatisticSpec(name="s", length=3, bound=9, min_cell=5, counts=(1,))
    released = apply_cell_rule(np.array([1, 2, -3]), spec)
    assert released.totals.tolist() == [1, 0, -3]


def test_a_table_of_one_cell_or_one_line_is_no_obstacle():
    for shape in [(1,), (1, 1), (1, 3), (3, 1, 1)]:
        totals = np.array([2] + [9] * (int(np.prod(shape)) - 1))
        withheld = apply_cell_rule(totals, table_spec(shape)).withheld
        assert withheld.sum() == min(2, totals.size)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(COUNTS, min_size=12, max_size=12))
def test_overlapping_tables_are_both_protected(values):
    first = CountTable(cells=(0, 1, 2, 3, 4, 5, 6, 7), shape=(2, 4))
    second = CountTable(cells=(4, 5, 6, 7, 8, 9, 10, 11), shape=(2, 4))
    spec = StatisticSpec(name="o", length=12, bound=100, min_cell=MIN_CELL, tables=(first, second))
    withheld = apply_cell_rule(np.array(values), spec).withheld
    for table in (first, second):
        inside = np.flatnonzero(withheld[list(table.cells)])
        system = margins(table.shape)[:, inside]
        assert not any(is_determined(system, i) for i in range(inside.size))


def test_a_large_vector_of_many_tables_is_quick():
    tables = tuple(
        CountTable(cells=tuple(range(s, s + 16)), shape=(4, 4)) for s in range(0, 16_000, 16)
    )
    spec = StatisticSpec(name="l", length=16_000, bound=10**6, min_cell=5, tables=tables)
    totals = np.random.default_rng(0).integers(0, 60, 16_000)
    released = apply_cell_rule(totals, spec)
    assert 0 < released.withheld.sum() < 16_000


def test_the_box_rule_holds_for_every_single_small_cell_of_a_cube():
    for place in product(range(2), range(3), range(2)):
        cube = np.full((2, 3, 2), 40)
        cube[place] = 1
        withheld = apply_cell_rule(cube.ravel(), table_spec((2, 3, 2))).withheld
        assert withheld.sum() == 8


def test_a_sum_of_one_site_alone_is_withheld():
    spec = StatisticSpec(
        name="few",
        length=4,
        bound=100,
        min_cell=5,
        presence=(0, 1),
        guards=(Guard(count=0, dependents=(2,)), Guard(count=1, dependents=(3,))),
    )
    released = apply_cell_rule(np.array([1, 2, 40, 50]), spec)
    assert released.withheld.tolist() == [True, False, True, False]
    assert released.totals.tolist() == [0, 2, 0, 50]
    nobody = apply_cell_rule(np.array([0, 0, 0, 0]), spec)
    assert not nobody.withheld.any()


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True, max_examples=80)
def test_passing_over_protected_cells_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, size=rng.integers(1, 5)))
    size = int(np.prod(shape))
    spec = StatisticSpec(
        name="t",
        length=size,
        bound=10**6,
        min_cell=5,
        tables=(CountTable(cells=tuple(range(size)), shape=tuple(map(int, shape))),),
    )
    totals = rng.poisson(rng.choice([0.5, 3.0, 8.0, 20.0]), size)
    fast = apply_cell_rule(totals, spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partners, "_has_box", lambda *a: np.zeros(len(a[-1]), dtype=bool))
        slow = apply_cell_rule(totals, spec)
    np.testing.assert_array_equal(fast.withheld, slow.withheld)


GROUPS = StatisticSpec(
    name="g",
    length=6,
    bound=100,
    groups=RecordGroups(min_records=5, listed=(3, 4), others=5),
)


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((50, 7, 0), [9, -9, 1, 50, 7, 0]),
        ((50, 0, 7), [9, -9, 1, 50, 0, 7]),
        ((50, 5, 4), [9, -9, 1, 50, 5, 0]),
        ((50, 4, 0), [0] * 6),
        ((50, 1, 9), [0] * 6),
        ((4, 50, 9), [0] * 6),
    ],
)
def test_a_small_group_in_the_sums_withholds_all_and_one_outside_itself(counts, shown):
    released = apply_cell_rule(np.array([9, -9, 1, *counts]), GROUPS)
    assert released.totals.tolist() == shown
    assert released.withheld.all() == (not any(shown))
    assert released.withheld[5] == (0 < counts[2] < 5 or not any(shown))


def test_groups_are_part_of_the_description():
    again = StatisticSpec.from_json(GROUPS.to_json())
    assert again == GROUPS
    assert again.digest() != StatisticSpec(name="g", length=6, bound=100).digest()
    with pytest.raises(ProtocolError, match="outside"):
        StatisticSpec(name="g", length=5, bound=1, groups=GROUPS.groups)
