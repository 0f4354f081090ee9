"""A coordinator that asks for sums over incomplete records of its choice, over the wire."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.statistics.gram_kind import gram_request
from fedcausal.statistics.patterns_kind import (
    candidate_patterns,
    common_patterns,
    patterns_request,
)
from fedcausal.statistics.records import split_counts, with_list
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [0, 128]},
            "dose": {"kind": "continuous", "bounds": [0, 16]},
            "pain": {"kind": "continuous", "bounds": [0, 10]},
        },
        "discovery": {"site_effects": "pool", "votes": False},
    }
)
LACKS_AGE, LACKS_DOSE, LACKS_PAIN, COMPLETE = 1, 2, 4, 0
GRAM = gram_request()


def rows(seed, lacking):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 90, 60),
            "dose": rng.uniform(0, 16, 60),
            "pain": rng.uniform(0, 10, 60),
        }
    )
    start = 0
    for column, number in lacking.items():
        frame.loc[start : start + number - 1, column] = np.nan
        start += number
    return frame


@pytest.fixture
def tables():
    """One record lacks its age, seven at one site their dose, thirty in all their pain."""
    return {
        "north": rows(0, {"age": 1, "dose": 7, "pain": 10}),
        "south": rows(1, {"pain": 10}),
        "west": rows(2, {"pain": 10}),
    }


def test_an_honest_run_learns_which_patterns_are_common(new_coordinator, tables):
    coordinator = new_coordinator(STUDY, tables).open()
    request = patterns_request(candidate_patterns(STUDY, None))
    total = coordinator.total(request)
    assert common_patterns(STUDY, request, total) == (COMPLETE, LACKS_DOSE, LACKS_PAIN)
    assert total.withheld[LACKS_AGE]
    listed = with_list(GRAM, [COMPLETE, LACKS_DOSE, LACKS_PAIN])
    own, left_out = split_counts(STUDY, listed, coordinator.total(listed))
    assert own.totals[0] == 179
    assert (left_out.number, left_out.is_few) == (0, True)


def test_a_list_with_the_rare_pattern_is_withheld_by_the_steward(new_coordinator, tables):
    coordinator = new_coordinator(STUDY, tables).open()
    total = coordinator.total(with_list(GRAM, [COMPLETE, LACKS_AGE, LACKS_DOSE, LACKS_PAIN]))
    assert total.withheld.all()
    assert not total.totals.any()


def test_without_a_list_no_incomplete_record_is_in_a_sum(new_coordinator, tables):
    assert new_coordinator(STUDY, tables).open().total(GRAM).totals[0] == 180 - 1 - 7 - 30


def test_two_lists_that_differ_by_few_records_are_refused_by_the_site(
    new_coordinator, tables, tools
):
    """Seven are enough for the cell rule, and fewer than min_rows."""
    coordinator = new_coordinator(STUDY, tables).open()
    coordinator.total(with_list(GRAM, [COMPLETE, LACKS_DOSE, LACKS_PAIN]))
    replies = coordinator.upload(with_list(GRAM, [COMPLETE, LACKS_PAIN]))
    assert tools.code(replies["north"]) == "rows-changed-little"
    assert tools.code(replies["south"]) is None


@pytest.mark.parametrize("records", [[], ["1", "0"], ["8"], ["zz"]], ids=str)
def test_a_malformed_list_is_refused(new_coordinator, tables, tools, records):
    coordinator = new_coordinator(STUDY, tables).open()
    request = type(GRAM)(kind="gram", parameters=GRAM.parameters, records=records)
    (north, *_) = coordinator.all(coordinator.forge(request)).values()
    assert tools.code(north) == "protocol"


def test_one_round_is_about_the_same_records(new_coordinator, tables, tools):
    coordinator = new_coordinator(STUDY, tables).open()
    both = coordinator.upload(GRAM, with_list(GRAM, [COMPLETE, LACKS_PAIN]))
    assert tools.codes(both) == {"protocol"}
