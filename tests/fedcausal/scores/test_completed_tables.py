"""Completed tables: what was released stays, what was not comes from the margins."""

from itertools import combinations

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import InputError
from fedcausal.scores.completed_tables import CompletedTables, margins_of
from fedcausal.statistics.tables_kind import TablesKind, tables_release, tables_request
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

LEVELS = {"a": 2, "b": 3, "c": 2}
RNG = np.random.default_rng(0)


def study_of(min_cell, **more):
    variables = {
        name: {"kind": "categorical", "categories": [f"l{k}" for k in range(size)]}
        for name, size in LEVELS.items()
    }
    return Study.model_validate(
        {"variables": {**variables, **more}, "privacy": {"min_cell": min_cell}}
    )


def rows(study, num_rows, seed=1):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 2, num_rows)
    b = np.minimum(rng.poisson(0.4 + a), 2)
    c = rng.random(num_rows) < 0.1 + 0.3 * (b > 0)
    return Table(study.schema(), np.column_stack([a, b, c]).astype(float))


def taken(study, table, sets, tables=None):
    tables = tables or CompletedTables.begin(study.schema())
    request = tables_request(sets, tables.missing_names)
    total = plain_sum([TablesKind().compute(study, request, table, RNG)], spec(study, request))
    return tables.take(tables_release(study, request, total))


def spec(study, request):
    return TablesKind().spec(study, request, 3)


def test_released_tables_are_the_counts_in_any_order_of_the_axes():
    study = study_of(1)
    table = rows(study, 500)
    tables = taken(study, table, [["a", "b", "c"]])
    assert tables.num_records == 500
    assert tables.missing == frozenset()
    expected = np.zeros((3, 2, 2))
    np.add.at(expected, tuple(table.values[:, k].astype(int) for k in (1, 2, 0)), 1)
    np.testing.assert_array_equal(tables.table((1, 2, 0)), expected)


def test_tables_completed_around_a_model_keep_what_was_released():
    study = study_of(30)
    tables = taken(study, rows(study, 500), [["a", "b", "c"]])
    assert tables.gaps
    around = tables.around(
        lambda places: np.arange(1.0, 1.0 + tables.released[places].size).reshape(
            tables.released[places].shape
        )
    )
    for places, counts in tables.released.items():
        shown, gaps = tables.gaps.get(places, (counts, np.zeros(counts.shape, dtype=bool)))
        np.testing.assert_array_equal(around.released[places][~gaps], shown[~gaps])
        assert around.released[places].sum() == pytest.approx(500, abs=1.0)


def test_a_set_that_was_not_asked_for_agrees_with_its_margins():
    study = study_of(1)
    tables = taken(study, rows(study, 800), list(combinations("abc", 2)))
    whole = tables.table((0, 1, 2))
    for axis, places in enumerate(margins_of((0, 1, 2))):
        np.testing.assert_allclose(whole.sum(axis=axis), tables.table(places), atol=0.05)


def test_small_marks_bring_the_completion_near_the_truth():
    # Rows in which a is rare and goes with b: without the marks, the margins look like chance.
    study = study_of(5)
    values = np.zeros((1000, 3))
    values[:60, 0] = 1
    values[:57, 1] = 1
    values[57:60, 1] = [0, 0, 2]
    values[60:600, 1] = 2
    values[600:640, 1] = 1
    tables = taken(study, Table(study.schema(), values), [["a", "b"]])
    assert tables.withheld[0, 1] > 0
    found = tables.table((0, 1))
    assert abs(found[1, 1] - 57) <= 8
    np.testing.assert_allclose(found.sum(), 1000, atol=1)


def test_missing_values_are_a_level_that_tables_leave_out():
    study = study_of(1)
    values = rows(study, 600).values.copy()
    values[:100, 2] = np.nan
    table = Table(study.schema(), values)
    tables = taken(study, table, [["a", "c"], ["b", "c"], ["a", "b"]])
    assert tables.missing_names == ("c",)
    assert tables.sizes == (2, 3, 3)
    assert tables.table((0, 2)).sum() == 500
    again = taken(study, table, [["a", "b", "c"]], tables)
    assert again.table((0, 1, 2)).sum() == 500


def test_numbers_and_a_handful_of_records_are_refused():
    study = study_of(5, n={"kind": "continuous", "bounds": [0, 1]})
    with pytest.raises(InputError, match="'n' has no levels"):
        CompletedTables.begin(study.schema())
    with pytest.raises(InputError, match="fewer records than"):
        taken(study_of(5), rows(study_of(5), 3), [["a", "b"]])
