"""A coordinator that asks for tables one by one, so that nobody sees them together."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.statistics.tables_kind import tables_request
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "arm": {"kind": "binary"},
            "sex": {"kind": "binary", "categories": ["f", "m"]},
            "pain": {"kind": "categorical", "categories": ["no", "some", "KANARIENVOGEL"]},
        },
        "discovery": {"tests": "tables", "votes": False},
    }
)
FIRST = tables_request([["arm", "pain"]])
OTHER_SETS = [["pain", "sex"]]
ALONE = tables_request(OTHER_SETS)
BESIDE = tables_request(OTHER_SETS, before=[FIRST])


def rows(seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "arm": rng.integers(0, 2, 60),
            "sex": rng.choice(["f", "m"], 60),
            "pain": rng.choice(["no", "some", "KANARIENVOGEL"], 60),
        }
    )


@pytest.fixture
def coordinator(new_coordinator):
    tables = {site: rows(seed) for seed, site in enumerate(("north", "south", "west"))}
    return new_coordinator(STUDY, tables).open()


def releases(coordinator):
    return [len(coordinator.ledger(site)) for site in coordinator.sites]


def refused(coordinator, tools, request):
    """Every site says no, about tables, and nothing is written down as released."""
    before = releases(coordinator)
    replies = coordinator.upload(request)
    assert tools.codes(replies) == {"tables-left-out"}
    assert {reply.header["where"] for reply in replies.values()} == {"tables"}
    assert releases(coordinator) == before
    return True


def test_who_names_all_tables_is_answered(coordinator):
    assert coordinator.total(FIRST).totals[0] == 180
    assert coordinator.total(BESIDE).totals[0] == 180
    assert coordinator.total(FIRST).totals[0] == 180


def test_tables_that_leave_out_earlier_ones_are_refused(coordinator, tools):
    coordinator.total(FIRST)
    assert refused(coordinator, tools, ALONE)


def test_also_in_another_run(coordinator, tools):
    coordinator.total(FIRST)
    coordinator.begin("run2")
    assert refused(coordinator.open(), tools, ALONE)


def test_also_when_the_first_sum_was_never_opened(coordinator, tools):
    """An answer that was sent may be opened later: it counts from then on."""
    assert tools.codes(coordinator.upload(FIRST)) == {None}
    coordinator.begin("run2")
    assert refused(coordinator.open(), tools, ALONE)


def test_other_tables_named_in_their_place_do_not_help(coordinator, tools):
    coordinator.total(FIRST)
    coordinator.begin("run2")
    wrong = tables_request(OTHER_SETS, before=[tables_request([["arm", "sex"]])])
    assert refused(coordinator.open(), tools, wrong)


def test_the_last_of_three_names_both(coordinator, tools):
    coordinator.total(FIRST)
    coordinator.total(BESIDE)
    third = [["arm", "sex"]]
    assert refused(coordinator, tools, tables_request(third, before=[FIRST]))
    coordinator.begin("run2")
    coordinator.open()
    assert coordinator.total(tables_request(third, before=[FIRST, BESIDE])).totals[0] == 180
