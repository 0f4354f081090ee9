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
    NUM_BINS,
    Margins,
    choose_knots,
    decode_margins,
    margins_request,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study

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
REQUEST = margins_request(STUDY, EDGES, {}, None)


def rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=num_rows)
    return np.column_stack([rng.integers(0, 2, num_rows), x, np.sin(x)])


def margins_of(secure_total, parts):
    tables = [Table(STUDY.schema(), part) for part in parts]
    return decode_margins(STUDY, REQUEST, secure_total(KIND, STUDY, REQUEST, tables))


def test_only_numeric_parents_are_counted():
    assert list(REQUEST.parameters["ranges"]) == ["x"]
    assert KIND.spec(STUDY, REQUEST, 3).length == NUM_BINS
    assert margins_request(STUDY, [("g", "y")], {}, None) is None


def test_few_records_and_no_wish_for_splines_ask_for_nothing():
    assert margins_request(STUDY, EDGES, {}, LEAST_RECORDS - 1) is None
    assert margins_request(STUDY, EDGES, {}, LEAST_RECORDS) is not None
    plain = STUDY.model_copy(update={"model": STUDY.model.model_copy(update={"knots": 0})})
    assert margins_request(plain, EDGES, {}, None) is None


def test_counts_are_those_of_a_histogram(secure_total):
    found = margins_of(secure_total, np.array_split(rows(5000), 4))["x"]
    expected, _ = np.histogram(rows(5000)[:, 1], bins=NUM_BINS, range=(-10, 10))
    shown = found > 0
    assert np.array_equal(found[shown], expected[shown])
    assert found[shown].min() >= STUDY.privacy.min_cell
    assert found.sum() > 4900


def test_missing_values_and_both_ends_of_the_range():
    table = Table(STUDY.schema(), np.array([[0, -10.0, 0], [0, 10.0, 0], [0, np.nan, 0]]))
    counts = KIND.compute(STUDY, REQUEST, table, np.random.default_rng(0))
    assert (counts[0], counts[-1], counts.sum()) == (1, 1, 2)


def test_knots_lie_at_quantiles(secure_total):
    margins = margins_of(secure_total, np.array_split(rows(40_000), 4))
    knots = choose_knots(STUDY, EDGES, margins, num_sites=4)["x"]
    expected = np.quantile(rows(40_000)[:, 1], np.linspace(0, 1, len(knots) + 2)[1:-1])
    assert len(knots) == STUDY.model.knots
    assert np.abs(np.array(knots) * 10 - expected).max() < 0.05


def test_fewer_records_or_more_sites_carry_fewer_knots(secure_total):
    def number(num_rows, num_sites):
        margins = margins_of(secure_total, np.array_split(rows(num_rows), 3))
        return len(choose_knots(STUDY, EDGES, margins, num_sites=num_sites).get("x", ()))

    assert number(1500, 3) == 0
    found = [number(3000, 6), number(6000, 6), number(20_000, 6)]
    assert found == sorted(found)
    assert 0 < found[0] < found[-1]
    assert number(4000, 6) < number(4000, 3)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.lists(st.integers(0, 5000), min_size=NUM_BINS, max_size=NUM_BINS), st.integers(1, 9))
def test_any_histogram_gives_knots_that_sites_accept(counts, num_sites):
    margins = {"x": np.array(counts, dtype=float)}
    knots = choose_knots(STUDY, EDGES, margins, num_sites=num_sites)
    request = families_request(EDGES, STUDY.schema().names, {}, knots)
    family = requested_families(STUDY, request)[-1]
    assert bool(family.basis.knots) == bool(knots)
    assert family.width * num_sites <= max(sum(counts) / 20, 32 * num_sites)


def test_one_heavy_bin_has_no_two_knots_in_one_place():
    counts = np.zeros(NUM_BINS)
    counts[100], counts[101] = 1e6, 10
    (knots,) = choose_knots(STUDY, EDGES, {"x": counts}, num_sites=3).values()
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
    "parameters",
    [
        {},
        {"ranges": {}},
        {"ranges": {"g": [0, 1]}},
        {"ranges": {"q": [0, 1]}},
        {"ranges": {"x": [0]}},
        {"ranges": {"x": [1, 0]}},
        {"ranges": {"x": [-10, float("inf")]}},
        {"ranges": {"x": [-9, 9]}},
        {"ranges": {"x": ["a", "b"]}},
        {"ranges": {"x": [-10, 10]}, "more": 1},
    ],
)
def test_a_site_refuses_other_histograms(parameters):
    with pytest.raises(ProtocolError, match="margins: ranges"):
        KIND.spec(STUDY, Request(kind=Margins.name, parameters=parameters), 3)
