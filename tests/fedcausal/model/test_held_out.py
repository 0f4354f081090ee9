import numpy as np
import pytest

from fedcausal.model.held_out import is_held_out

ROWS = np.random.default_rng(0).normal(size=(4000, 3))
ROWS[::7, 1] = np.nan


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_about_the_share_is_held_out(share):
    assert is_held_out(ROWS, share).mean() == pytest.approx(share, abs=0.03)


def test_a_rows_side_depends_on_its_own_values_alone():
    whole = is_held_out(ROWS, 0.2)
    order = np.random.default_rng(1).permutation(len(ROWS))[:500]
    assert np.array_equal(is_held_out(ROWS[order], 0.2), whole[order])
    zeros = np.array([[0.0, 1.0], [-0.0, 1.0]])
    assert len(set(is_held_out(zeros, 0.5))) == 1


def test_nothing_is_held_out_of_nothing():
    assert not is_held_out(ROWS, 0.0).any()
    assert is_held_out(ROWS[:0], 0.2).shape == (0,)
