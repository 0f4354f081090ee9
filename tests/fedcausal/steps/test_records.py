"""Which incomplete records a study takes in, from its first request to its last."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.protocol import start, step
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

GRAPH = {"graph": "digraph { a -> b; b -> c }"}


def study_of(names="abc", **sections):
    return Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-9, 9]} for n in names},
            "discovery": {"bootstrap": 0, "votes": False},
            "model": {"knots": 0},
            **sections,
        }
    )


def sites_of(study, lacking, num_rows=80):
    rng, tables = np.random.default_rng(0), []
    for _ in range(3):
        rows = np.cumsum(rng.normal(size=(num_rows, len(study.schema()))), axis=1).clip(-9, 9)
        tables.append(rows)
    start_row = 0
    for pattern, number in lacking.items():
        places = [i for i in range(len(study.schema())) if pattern >> i & 1]
        tables[0][start_row : start_row + number, places] = np.nan
        start_row += number
    return [Table(study.schema(), rows) for rows in tables]


def asked(states):
    return [tuple(request.kind for request in state.requests) for state in states]


def test_complete_records_are_counted_and_nothing_else_changes(walk):
    study = study_of()
    states = walk(study, sites_of(study, {}))
    assert asked(states)[:2] == [("patterns",), ("gram", "gram")]
    assert all(r.records is None for state in states for r in state.requests)
    assert states[-1].records is states[-1].left_out is None


def test_all_exact_sums_name_the_same_common_patterns(walk):
    study = study_of()
    states = walk(study, sites_of(study, {1: 20, 2: 1, 4: 3}))
    lists = {request.records for state in states[1:] for request in state.requests}
    assert lists == {("0", "1")}
    assert states[-1].gram.num_rows == 236
    assert (states[-1].left_out.number, states[-1].left_out.is_few) == (0, True)


def test_more_left_out_than_a_small_cell_are_counted(walk):
    study = study_of()
    states = walk(study, sites_of(study, {1: 20, 2: 4, 4: 3}))
    assert (states[-1].left_out.number, states[-1].left_out.is_few) == (7, False)


def test_a_study_that_drops_incomplete_records_asks_nothing(walk):
    study = study_of(privacy={"incomplete": "drop"})
    states = walk(study, sites_of(study, {1: 20, 2: 1}))
    assert asked(states)[0] == ("gram", "gram")
    assert states[-1].gram.num_rows == 219


@pytest.mark.parametrize(
    ("sections", "first"),
    [
        ({"knowledge": GRAPH}, "effect_patterns"),
        ({"privacy": {"graph": {"epsilon": 3.0}}}, "scale"),
        ({"knowledge": GRAPH, "privacy": {"model": {"epsilon": 3.0}}}, "model_scale"),
    ],
)
def test_who_asks_first(sections, first):
    assert start(study_of(**sections), 3, 0).requests[0].kind == first


def test_a_given_graph_without_a_model_asks_nothing():
    assert start(study_of(knowledge=GRAPH), 3, 0, steps=("discovery",)).done


def test_families_of_a_given_graph_have_their_own_round(walk):
    study = study_of(knowledge=GRAPH)
    states = walk(study, sites_of(study, {1: 20, 2: 1}))
    assert asked(states) == [("effect_patterns",), ("families",), ("residuals",), ()]
    assert states[1].requests[0].records == ("0", "1")


def test_many_variables_take_two_rounds(walk):
    study = study_of("abcdefghijkl", knowledge={"tiers": [list("abcdefghijkl")]})
    sites = sites_of(study, {0b11: 30, 0b100: 1})
    states = walk(study, sites, steps=("discovery",))
    assert asked(states)[:3] == [("patterns",), ("patterns",), ("gram", "gram")]
    assert states[2].requests[0].records == ("0", "3")


def test_a_pattern_that_became_rare_ends_the_run():
    study = study_of()
    state = start(study, 3, 0)
    (request,) = state.requests
    counts = np.zeros(9, dtype=np.int64)
    counts[:2] = 50, 6
    total = Released(totals=counts, withheld=np.zeros(9, dtype=bool))
    state = step(state, {request.id(): total})
    withheld = {
        r.id(): Released(totals=np.zeros(99, dtype=np.int64), withheld=np.ones(99, dtype=bool))
        for r in state.requests
    }
    with pytest.raises(Exception, match="nothing was released, start a new run"):
        step(state, withheld)
