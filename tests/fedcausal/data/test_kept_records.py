import numpy as np
import pytest

from fedcausal.data.kept_records import COMPLETE, KeptRecords, pattern_counts, patterns_of
from fedcausal.data.table import Table
from fedcausal.schema import Kind, Schema, Variable

NAMES = tuple("abcdefghij")
SCHEMA = Schema(
    tuple(Variable(name=name, kind=Kind.CONTINUOUS, bounds=(-9.0, 9.0)) for name in NAMES)
)


class InPieces:
    """A source of small batches."""

    def __init__(self, table, size):
        self.table, self.size, self.schema = table, size, table.schema

    def batches(self):
        return self.table.batches(self.size)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values = rng.uniform(-9, 9, (200, len(NAMES)))
    values[rng.random(values.shape) < 0.1] = np.nan
    return Table(SCHEMA, values)


def one_by_one(table):
    return [sum(1 << int(i) for i in np.flatnonzero(np.isnan(row))) for row in table.values]


def test_a_pattern_has_a_bit_for_every_missing_value(table):
    found, places = patterns_of(table)
    assert [found[place] for place in places] == one_by_one(table)
    assert len(set(found)) == len(found)


def test_a_complete_table_has_one_pattern(table):
    complete = Table(SCHEMA, np.nan_to_num(table.values))
    assert pattern_counts(complete) == {COMPLETE: 200}
    assert next(iter(KeptRecords(source=complete).batches())).num_rows == 200


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_counts_do_not_depend_on_batches(table, size):
    counts = pattern_counts(InPieces(table, size))
    assert counts == pattern_counts(table)
    assert sum(counts.values()) == 200


@pytest.mark.parametrize("patterns", [{COMPLETE}, {COMPLETE, 1}, {2, 4, 512}, {1023}])
def test_the_records_of_some_patterns_in_their_order(table, patterns):
    kept = KeptRecords(source=InPieces(table, 16), patterns=frozenset(patterns))
    expected = table.take([p in patterns for p in one_by_one(table)])
    found = [batch.values for batch in kept.batches()]
    assert kept.schema == SCHEMA
    both = np.concatenate([np.empty((0, len(NAMES))), *found])
    np.testing.assert_array_equal(both, expected.values)


def test_counts_are_of_all_records_whether_asked_before_or_after_a_pass(table):
    fresh, passed = KeptRecords(source=table), KeptRecords(source=table)
    list(passed.batches())
    list(passed.batches())
    assert dict(fresh.counts()) == dict(passed.counts()) == pattern_counts(table)


def test_more_variables_than_bits_of_a_word():
    names = [f"v{i:03d}" for i in range(100)]
    schema = Schema(
        tuple(Variable(name=name, kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)) for name in names)
    )
    values = np.full((3, 100), 0.5)
    values[1, 99] = np.nan
    assert pattern_counts(Table(schema, values)) == {COMPLETE: 2, 1 << 99: 1}
