import numpy as np
import pytest

from fedcausal.data.held_out import HeldOut, is_held_out
from fedcausal.data.table import Table
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema((Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 1e6)),))


class Batched:
    """A table in batches of one size."""

    def __init__(self, table, size):
        self.table, self.size, self.schema = table, size, table.schema

    def batches(self):
        return self.table.batches(self.size)


def values(source, is_kept, key="k", share=0.3):
    part = HeldOut(source=source, share=share, key=key, is_kept=is_kept)
    assert part.schema is source.schema
    return np.concatenate([batch.column("x") for batch in part.batches()])


def test_both_parts_are_all_rows_whatever_the_batches():
    table = Table(SCHEMA, np.arange(5000.0)[:, None])
    kept, held = values(table, True), values(table, False)
    assert sorted([*kept, *held]) == list(range(5000))
    for size in (1, 7, 4096):
        np.testing.assert_array_equal(values(Batched(table, size), False), held)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_is_as_wanted_and_follows_the_key(share):
    positions = np.arange(100_000, dtype=np.uint64)
    chosen = is_held_out(positions, share, "a study")
    # the choice is fixed by the key: five standard errors of a share at most
    assert abs(chosen.mean() - share) < 5 * np.sqrt(share * (1 - share) / 100_000)
    other = is_held_out(positions, share, "another study")
    assert abs((chosen & other).mean() - share**2) < 0.01


def test_no_row_or_a_neighbour_tells_of_another():
    chosen = is_held_out(np.arange(100_000, dtype=np.uint64), 0.5, "a").astype(float)
    for lag in (1, 2, 3, 64):
        assert abs(np.corrcoef(chosen[:-lag], chosen[lag:])[0, 1]) < 0.02
