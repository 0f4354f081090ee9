"""Released ranges cover the data, are not much wider, and do not depend on the partition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import DataError, ProtocolError, SchemaError
from fedcausal.statistics.kind import Request
from fedcausal.statistics.range_kind import (
    NUM_BUCKETS,
    RangeKind,
    bucket_of,
    range_release,
    range_request,
    unbounded,
)
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

KIND = RangeKind()
STUDY = Study.model_validate(
    {
        "variables": {
            "a": {"kind": "continuous"},
            "b": {"kind": "continuous", "bounds": [0, 1]},
            "c": {"kind": "binary"},
            "d": {"kind": "ordinal"},
        }
    }
)


def _ranges(parts):
    request = range_request(STUDY)
    spec = KIND.spec(STUDY, request, len(parts))
    rng = np.random.default_rng(0)
    vectors = [KIND.compute(STUDY, request, Table(STUDY.schema(), part), rng) for part in parts]
    assert all(np.abs(v).max() <= spec.bound for v in vectors)
    return range_release(STUDY, request, apply_cell_rule(np.sum(vectors, axis=0), spec))


def _rows(a, d=None):
    rows = np.full((len(a), 4), np.nan)
    rows[:, 0] = a
    rows[:, 3] = a if d is None else d
    return rows


numbers = st.lists(
    st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=6, max_size=60
)


@settings(deadline=None)
@given(numbers, st.randoms(use_true_random=False))
def test_ranges_cover_the_data_for_any_partition(values, random):
    values = np.array(values)
    whole = _ranges([_rows(values)])
    lo, hi = whole["a"]
    assert lo <= values.min() <= values.max() <= hi
    cuts = sorted(random.randrange(len(values) + 1) for _ in range(2))
    random.shuffle(order := list(range(len(values))))
    parts = [_rows(part) for part in np.split(values[order], cuts)]
    assert _ranges(parts) == whole


def test_ranges_are_within_a_quarter_of_the_data():
    values = np.linspace(-3.0, 100.0, 500)
    lo, hi = _ranges([_rows(values)])["a"]
    assert -3.0 * 1.25 <= lo <= -3.0
    assert 100.0 <= hi <= 125.0


def test_only_numbers_without_bounds_are_asked_for():
    assert unbounded(STUDY) == ("a", "d")
    bounded = Study.model_validate(
        {"variables": {"b": {"kind": "continuous", "bounds": [0, 1]}, "c": {"kind": "binary"}}}
    )
    assert range_request(bounded) is None
    assert KIND.width(STUDY, range_request(STUDY)) == 0


def test_buckets_have_their_edges_and_both_signs():
    values = np.array([0.0, 2.0**-50, 1.0, 1.24, 1.25, 1.999, 2.0, 2.0**40 * 0.999])
    buckets = bucket_of(values)
    middle = NUM_BUCKETS // 2
    assert buckets[:2].tolist() == [middle, middle]
    assert np.diff(buckets[2:7]).tolist() == [0, 1, 2, 1]
    assert buckets[-1] == NUM_BUCKETS - 1
    assert np.array_equal(bucket_of(-values) - middle, middle - buckets)


@pytest.mark.parametrize("value", [1e308, np.inf, -(2.0**40), 2.0**40])
def test_numbers_off_the_scale_are_refused(value):
    with pytest.raises(DataError, match="x: a value is infinite or beyond"):
        bucket_of(np.array([1.0, value]), "x")


def test_a_few_extreme_records_widen_the_range_without_a_count():
    values = np.concatenate([np.linspace(1, 10, 100), [900.0]])
    request = range_request(STUDY)
    spec = KIND.spec(STUDY, request, 1)
    vector = KIND.compute(STUDY, request, Table(STUDY.schema(), _rows(values)), None)
    released = apply_cell_rule(vector, spec)
    assert released.withheld[bucket_of(np.array([900.0]))[0]]
    assert range_release(STUDY, request, released)["a"][1] >= 900.0


def test_a_variable_listed_twice_is_refused_before_memory_is_taken():
    """A header has room for millions of names, of 641 numbers each."""
    request = Request(kind="range", parameters={"variables": ["a", "a"]})
    with pytest.raises(ProtocolError, match="twice"):
        KIND.spec(STUDY, request, 3)


def test_faults_are_explained():
    with pytest.raises(DataError, match=r"a: no site has it; remove variables.a"):
        _ranges([_rows(np.full(9, np.nan))])
    with pytest.raises(SchemaError, match="no numeric variable"):
        KIND.spec(STUDY, Request(kind="range", parameters={"variables": ["c"]}), 3)
    for parameters in ({}, {"variables": []}, {"variables": "a"}):
        with pytest.raises(ProtocolError):
            KIND.spec(STUDY, Request(kind="range", parameters=parameters), 3)
