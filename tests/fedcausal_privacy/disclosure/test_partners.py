"""Partners in one table; `test_disclosure` has the properties of the whole rule."""

import numpy as np

from fedcausal_privacy.disclosure.partners import give_another_partner, protect_table
from fedcausal_privacy.statistic_spec import CountTable

COUNTS = np.array([3, 40, 50, 30, 20, 60])


def table(*, axes=()):
    return CountTable(cells=tuple(range(6)), shape=(2, 3), axes=axes)


def test_a_withheld_cell_gets_a_box_and_then_another_one():
    withheld = COUNTS < 5
    protect_table(COUNTS, withheld, table())
    assert withheld.tolist() == [True, True, False, True, True, False]
    assert give_another_partner(COUNTS, withheld, table(), 0)
    assert withheld.all()
    assert not give_another_partner(COUNTS, withheld, table(), 0)


def test_counts_of_zero_are_no_help():
    counts = np.array([3, 9, 0, 9, 9, 0])
    withheld = np.array([True, True, False, True, True, False])
    assert not give_another_partner(counts, withheld, table(), 0)
    assert not withheld[[2, 5]].any()


def test_a_level_that_does_not_occur_hides_nothing_where_tables_overlap():
    counts = np.array([3, 0, 9, 0])
    one = CountTable(cells=(0, 1, 2, 3), shape=(2, 2), axes=(0, 1))
    withheld = counts == 3
    protect_table(counts, withheld, one)
    assert withheld.tolist() == [True, False, True, False]


def test_a_table_of_one_cell_has_no_partner():
    one = CountTable(cells=(0,), shape=(1,), axes=(0,))
    assert not give_another_partner(np.array([3]), np.array([True]), one, 0)
