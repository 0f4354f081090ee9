"""A table is read-only and its batches are its rows."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import DataError
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(tuple(Variable(name=n, kind=Kind.CONTINUOUS) for n in "xy"))


def test_values_are_copied_and_frozen():
    values = np.arange(6.0).reshape(3, 2)
    table = Table(SCHEMA, values)
    values[0, 0] = 99.0
    assert table.values[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 1.0


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_batches_join_to_the_table(size):
    table = Table(SCHEMA, np.arange(14.0).reshape(7, 2))
    batches = list(table.batches(size))
    assert max(b.num_rows for b in batches) <= size
    assert np.array_equal(Table.concatenate(batches).values, table.values)


def test_columns_and_rows_by_name_and_position():
    table = Table(SCHEMA, np.arange(6.0).reshape(3, 2))
    assert table.column("y").tolist() == [1.0, 3.0, 5.0]
    assert table.take([2, 0]).column("x").tolist() == [4.0, 0.0]
    assert table.take(np.array([True, False, True])).num_rows == 2


def test_shapes_and_schemas_are_checked():
    with pytest.raises(DataError, match="2 columns"):
        Table(SCHEMA, np.zeros((3, 3)))
    with pytest.raises(DataError, match="one and the same schema"):
        Table.concatenate([])
