"""Histograms of the parents, and the knots that are read from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.families import Families, families_request, requested_families
from fedcausal.model.margins import (
    LEAST_RECORDS,
    LEVELS,
    NUM_BINS,
    Margins,
    choose_knots,
    margins_request,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

KIND = Margins()
STUDY = Study.model_validate(
    {
        "variables": {
            "g": {"kind": "binary"},
            "x": {"kind": "continuous", "bounds": [-10, 10]},
            "y": {"kind": "continuous", "bounds": [-10, 10]},
        }
    }
)
EDGES = [("x", "y"), ("g", "y")]
REQUEST = margins_request(STUDY, EDGES, {}, num_records=None, num_sites=3)


def rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=num_rows)
    return np.column_stack([rng.integers(0, 2, num_rows), x, np.sin(x)])


def knots_of(secure_total, parts):
    tables = [Table(STUDY.schema(), part) for part in parts]
    request = margins_request(STUDY, EDGES, {}, num_records=None, num_sites=len(parts))
    total = secure_total(KIND, STUDY, request, tables)
    return choose_knots(STUDY, request, total, len(parts))


def test_only_numeric_parents_are_counted():
    assert list(REQUEST.parameters["ranges"]) == ["x"]
    num_levels = sum(level <= STUDY.model.knots for level in LEVELS)
    assert KIND.spec(STUDY, REQUEST, 3).length == NUM_BINS + num_levels
    assert margins_request(STUDY, [("g", "y")], {}, num_records=None, num_sites=3) is None


def test_few_records_and_no_wish_for_splines_ask_for_nothing():
    def asked(study, num_records):
        return margins_request(study, EDGES, {}, num_records=num_records, num_sites=3)

    assert asked(STUDY, LEAST_RECORDS - 1) is None
    assert asked(STUDY, LEAST_RECORDS) is not None
    plain = STUDY.model_copy(update={"model": STUDY.model.model_copy(update={"knots": 0})})
    assert asked(plain, None) is None


def test_counts_are_those_of_a_histogram(secure_total):
    tables = [Table(STUDY.schema(), part) for part in np.array_split(rows(5000), 3)]
    total = secure_total(KIND, STUDY, REQUEST, tables)
    expected, _ = np.histogram(rows(5000)[:, 1], bins=NUM_BINS, range=(-10, 10))
    shown = ~total.withheld[:NUM_BINS]
    assert np.array_equal(total.totals[:NUM_BINS][shown], expected[shown])
    assert total.totals[:NUM_BINS][shown & (expected > 0)].min() >= STUDY.privacy.min_cell


def test_missing_values_and_both_ends_of_the_range():
    table = Table(STUDY.schema(), np.array([[0, -10.0, 0], [0, 10.0, 0], [0, np.nan, 0]]))
    counts = KIND.compute(STUDY, REQUEST, table, np.random.default_rng(0))
    counts = counts[:NUM_BINS]
    assert (counts[0], counts[-1], counts.sum()) == (1, 1, 2)


def test_knots_lie_at_quantiles(secure_total):
    knots = knots_of(secure_total, np.array_split(rows(40_000), 4))["x"]
    expected = np.quantile(rows(40_000)[:, 1], np.linspace(0, 1, len(knots) + 2)[1:-1])
    assert len(knots) == STUDY.model.knots
    assert np.abs(np.array(knots) * 10 - expected).max() < 0.05


def test_the_smallest_site_decides(secure_total):
    def number(*ends):
        return len(knots_of(secure_total, np.split(rows(9000), ends)).get("x", ()))

    assert number(3000, 6000) == STUDY.model.knots
    found = [number(4000, end) for end in (8960, 8900, 8800, 6000)]
    assert found == sorted(found)
    assert 0 == found[0] < found[1] < found[-1]


def test_few_records_have_no_knots(secure_total):
    assert knots_of(secure_total, np.array_split(rows(LEAST_RECORDS - 200), 3)) == {}


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.lists(st.integers(0, 5000), min_size=NUM_BINS, max_size=NUM_BINS), st.integers(0, 6))
def test_any_histogram_gives_knots_that_sites_accept(counts, num_levels):
    carried = [3] * num_levels + [2] * (6 - num_levels)
    total = Released(
        totals=np.array([*counts, *carried]), withheld=np.zeros(NUM_BINS + 6, dtype=bool)
    )
    knots = choose_knots(STUDY, REQUEST, total, 3)
    family = requested_families(STUDY, families_request(EDGES, STUDY.schema().names, {}, knots))[
        -1
    ]
    assert bool(family.basis.knots) == bool(knots)
    assert len(knots.get("x", ())) <= ([0, *LEVELS])[num_levels]


def test_one_heavy_bin_has_no_two_knots_in_one_place():
    counts = np.zeros(NUM_BINS + 6, dtype=np.int64)
    counts[100], counts[101] = 10**6, 10
    counts[NUM_BINS:] = 3
    total = Released(totals=counts, withheld=np.zeros(counts.size, dtype=bool))
    (knots,) = choose_knots(STUDY, REQUEST, total, 3).values()
    assert np.diff(knots).min(initial=1.0) > 0


@pytest.mark.parametrize(
    "knots",
    [
        {},
        {"x": [0.1, 0.1]},
        {"x": [0.5, 0.1]},
        {"x": [1.0]},
        {"x": [float("nan")]},
        {"x": ["0.1"]},
        {"x": 0.1},
        {"x": [0.1], "y": [0.1]},
        {"x": [k / 100 for k in range(21)]},
        {"y": [0.1]},
    ],
)
def test_a_site_refuses_other_knots(knots):
    request = families_request(EDGES, STUDY.schema().names, {})
    asked = Request(kind=Families.name, parameters={**request.parameters, "knots": knots})
    with pytest.raises(ProtocolError, match="knots: expected up to 20 increasing numbers"):
        requested_families(STUDY, asked)


@pytest.mark.parametrize(
    "changed",
    [
        {"ranges": {}},
        {"ranges": {"g": [0, 1]}},
        {"ranges": {"q": [0, 1]}},
        {"ranges": {"x": [0]}},
        {"ranges": {"x": [1, 0]}},
        {"ranges": {"x": [-10, float("inf")]}},
        {"ranges": {"x": [-9, 9]}},
        {"ranges": {"x": ["a", "b"]}},
        {"more": 1},
        {"edges": [["x"]]},
        {"edges": [["x", "q"]]},
        {"edges": "x"},
        {"num_sites": 0},
        {"num_sites": 3.0},
    ],
)
def test_a_site_refuses_other_histograms(changed):
    parameters = {**REQUEST.parameters, **changed}
    with pytest.raises(ProtocolError, match="margins: "):
        KIND.spec(STUDY, Request(kind=Margins.name, parameters=parameters), 3)
