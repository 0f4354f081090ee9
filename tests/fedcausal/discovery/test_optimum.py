"""The value at the end of a climb."""

from dataclasses import FrozenInstanceError

import pytest

from fedcausal.discovery.optimum import Optimum


def test_an_optimum_is_a_value():
    one = Optimum(order=(1, 0), parents=(0b10, 0), score=-3.0)
    assert one == Optimum(order=(1, 0), parents=(0b10, 0), score=-3.0)
    with pytest.raises(FrozenInstanceError):
        one.score = 0.0
