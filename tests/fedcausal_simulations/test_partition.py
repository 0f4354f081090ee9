import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.errors import InputError
from fedcausal_simulations.partition import partition_rows


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 40), st.integers(0, 200), st.integers(0, 2**32))
def test_every_row_goes_to_one_site_and_sizes_are_nearly_equal(num_sites, extra, seed):
    num_rows = num_sites + extra
    parts = partition_rows(num_rows, num_sites, seed=seed)
    assert len(parts) == num_sites
    assert list(parts) == sorted(parts)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(num_rows))
    sizes = [len(rows) for rows in parts.values()]
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides():
    first, again, other = (partition_rows(50, 3, seed=s) for s in (1, 1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


@pytest.mark.parametrize(("num_rows", "num_sites"), [(2, 3), (5, 0), (0, 1)])
def test_more_sites_than_rows_is_refused(num_rows, num_sites):
    with pytest.raises(InputError, match="at least one row"):
        partition_rows(num_rows, num_sites, seed=0)
