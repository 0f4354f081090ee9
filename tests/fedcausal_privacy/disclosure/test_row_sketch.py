import json

import numpy as np
import pytest

from fedcausal_privacy.disclosure.row_sketch import (
    MOST_LEVELS,
    RELATIVE_ERROR,
    ColumnSketch,
    column_key,
)
from fedcausal_privacy.errors import InputError, ProtocolError

KEY = column_key(bytes(32), "age")
RNG = np.random.default_rng(7)
MANY = RNG.normal(size=5000)
FEW = RNG.integers(0, 3, size=5000).astype(float)


def sketch(*parts):
    total = ColumnSketch.empty()
    for part in parts:
        total = total.add(np.asarray(part, dtype=float), KEY)
    return total


def changes(first, second):
    return sketch(first).num_changes(sketch(second), KEY)


@pytest.mark.parametrize("column", [MANY, FEW, MANY[:300]])
def test_the_order_and_the_batches_of_the_rows_do_not_matter(column):
    shuffled = RNG.permutation(column)
    assert sketch(column).num_changes(sketch(shuffled[:100], shuffled[100:]), KEY) == 0.0


@pytest.mark.parametrize("num_changed", [1, 3, 20, 400])
def test_changes_of_many_different_values_are_estimated(num_changed):
    changed = MANY.copy()
    changed[:num_changed] += 1.0
    found = changes(MANY, changed)
    assert abs(found - 2 * num_changed) < 5 * RELATIVE_ERROR * 2 * num_changed
    assert abs(changes(MANY, MANY[num_changed:]) - num_changed) < 5 * RELATIVE_ERROR * num_changed


def test_changes_of_few_different_values_are_exact():
    changed = FEW.copy()
    changed[np.flatnonzero(FEW == 0)[:6]] = 1.0
    assert changes(FEW, changed) == 12.0
    assert changes(FEW, FEW[4:]) == 4.0


def test_a_column_that_grows_out_of_its_levels_is_compared_with_its_past():
    few, more = np.arange(MOST_LEVELS - 2.0), np.arange(MOST_LEVELS + 3.0)
    assert sketch(few).levels is not None
    assert sketch(more).levels is None
    assert abs(changes(few, more) - 5) < 5 * RELATIVE_ERROR * 5


def test_missing_values_and_zeros_have_one_form():
    assert changes([np.nan, -np.nan, 0.0], [np.nan, np.nan, -0.0]) == 0.0
    assert changes([np.nan], [0.0]) == 2.0


@pytest.mark.parametrize("column", [MANY, FEW])
def test_a_sketch_survives_a_restart_and_holds_no_value(column):
    text = json.dumps(sketch(column).to_json())
    again = ColumnSketch.from_json(json.loads(text))
    assert again.num_changes(sketch(column), KEY) == 0.0
    assert f"{column[0]:.6g}" not in text or column is FEW


def test_another_key_makes_another_sketch():
    other = ColumnSketch.empty().add(FEW, column_key(bytes(32), "dose"))
    assert set(other.levels) != set(sketch(FEW).levels)


@pytest.mark.parametrize("stored", [{}, {"levels": None, "signs": [1]}, {"levels": 3, "signs": 0}])
def test_an_unreadable_sketch(stored):
    with pytest.raises(ProtocolError):
        ColumnSketch.from_json(stored)


def test_a_secret_has_32_bytes():
    with pytest.raises(InputError):
        column_key(b"short", "age")
