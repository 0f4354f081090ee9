import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.data.units import Conversion
from fedcausal.schema import Schema, Variable
from fedcausal_clients.data.survey import survey
from fedcausal_privacy.disclosure.row_sketch import column_key

SCHEMA = Schema(
    (
        Variable(name="age", kind="continuous"),
        Variable(name="sex", kind="categorical", categories=("f", "m", "x")),
    )
)
RNG = np.random.default_rng(1)
ROWS = np.column_stack([RNG.normal(50, 10, 400), RNG.integers(0, 3, 400)])
SECRET = bytes(32)


def look(rows, batch=100, schema=SCHEMA, columns=None):
    table = Table(schema, rows)

    class Source:
        def __init__(self):
            self.schema = schema

        def batches(self):
            return table.batches(batch)

    return survey(Source(), columns or {}, SECRET)


def test_a_survey_counts_rows_and_ignores_batches():
    first, second = look(ROWS), look(ROWS, batch=37)
    assert first.num_rows == second.num_rows == 400
    assert first.shares["age"] == pytest.approx(second.shares["age"])
    assert set(first.shares) == {"age"}


def test_the_share_is_that_of_the_most_distant_record():
    column = ROWS[:, 0]
    squares = (column - column.mean()) ** 2
    assert look(ROWS).shares["age"] == pytest.approx(squares.max() / squares.sum())
    extreme = ROWS.copy()
    extreme[7, 0] = 1e6
    name, share = look(extreme).dominated
    assert name == "age"
    assert share > 0.99


def test_a_constant_and_a_column_without_values_are_not_dominated():
    assert look(np.column_stack([np.full(50, 3.0), np.zeros(50)])).dominated[1] == 0.0
    assert look(np.column_stack([np.full(50, np.nan), np.zeros(50)])).dominated[1] == 0.0


def test_columns_are_the_sites_own_and_know_their_coding():
    renamed = look(ROWS, columns={"age": "Alter"})
    assert {name.partition(":")[0] for name in renamed.columns} == {"Alter", "sex"}
    other = Schema((SCHEMA["age"], Variable(name="sex", kind="categorical", categories="mfx")))
    assert len(look(ROWS).columns.keys() & look(ROWS, schema=other).columns.keys()) == 1


def test_without_the_secret_rows_are_counted_and_not_sketched():
    class Source:
        schema = SCHEMA

        def batches(self):
            return Table(SCHEMA, ROWS).batches(100)

    seen = survey(Source(), {}, None)
    assert (seen.num_rows, dict(seen.columns)) == (400, {})
    assert seen.shares == look(ROWS).shares


@pytest.mark.parametrize("values", [RNG.normal(200, 40, 400).round(2), RNG.normal(0, 1, 400)])
def test_two_studies_with_different_units_are_seen_to_read_the_same_rows(values):
    """One changed record must not hide behind a conversion."""
    schema = Schema((Variable(name="chol", kind="continuous"),))

    def sketch(column, conversion):
        table = Table(schema, conversion.apply(column)[:, None])
        found = survey(table, {}, SECRET, {"chol": conversion})
        ((name, one),) = found.columns.items()
        return name, one

    own = Conversion(factor=1.0)
    others = [Conversion(factor=10 / 386.65), Conversion(factor=5 / 9, offset=-160 / 9)]
    changed = values.copy()
    changed[7] += 1.0
    name, first = sketch(values, own)
    for other in others:
        again, second = sketch(values, other)
        key = column_key(SECRET, name)
        assert again == name
        assert first.num_changes(second, key) == 0
        assert 0 < first.num_changes(sketch(changed, other)[1], key) < 5
