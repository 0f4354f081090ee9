"""The oracle is nothing but a sum with checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.statistic_spec import StatisticSpec

SPEC = StatisticSpec(name="s", length=2, bound=2**40)


@given(st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 2), min_size=1, max_size=9))
def test_the_total_is_the_sum_of_python_integers(rows):
    released = plain_sum([np.array(row) for row in rows], SPEC)
    assert released.totals.tolist() == [sum(column) for column in zip(*rows, strict=True)]
    assert not released.withheld.any()


def test_checks_are_those_of_the_protocol():
    with pytest.raises(ProtocolError, match="bound"):
        plain_sum([np.array([0, 2**40 + 1])], SPEC)
    with pytest.raises(ProtocolError, match="63 bits"):
        plain_sum([np.zeros(2, dtype=np.int64)] * (2**23), SPEC)
    with pytest.raises(ProtocolError, match="at least one"):
        plain_sum([], SPEC)
