import math

import pytest

from fedcausal.private.clipping import clipping_effect


def test_rows_in_a_large_ball_are_not_bent():
    assert clipping_effect(6, 60.0) == pytest.approx((0.0, 1.0), abs=1e-12)


def test_a_smaller_ball_bends_more_and_keeps_less():
    small, large = (clipping_effect(6, ratio * math.sqrt(6)) for ratio in (1.25, 1.75))
    assert small[0] > large[0] > 0
    assert small[1] < large[1] < 1


def test_one_feature_has_no_correlation():
    assert clipping_effect(1, 1.0) == (0.0, 1.0)
