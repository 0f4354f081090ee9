from dataclasses import replace

import numpy as np
import pytest

from fedcausal.model.own_sums import OwnSums
from fedcausal.refusals import RefusalCode
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import GramKind, gram_request
from fedcausal.statistics.kind import Request
from fedcausal.statistics.range_kind import RangeKind
from fedcausal.statistics.tables_kind import TablesKind, tables_request
from fedcausal.study import Study
from fedcausal_clients.data.survey import Survey
from fedcausal_clients.policy.release_memory import Memory, ReleaseNote
from fedcausal_clients.policy.rules import (
    Asked,
    RefusalError,
    check_allowed,
    check_changed_rows,
    check_dominance,
    check_numbers,
    check_own_cells,
    check_study,
    check_tables,
    not_approved,
    numbers_of,
)
from fedcausal_clients.site_config import Policy
from fedcausal_privacy.disclosure.row_sketch import ColumnSketch, column_key
from fedcausal_privacy.dp.events import GaussianRelease

SECRET = bytes(32)
ROSTER = ("a", "b", "c")
ROWS = np.random.default_rng(5).normal(size=1000)
NOTE = ReleaseNote(study="s", statistic="gram-1", roster=ROSTER, numbers=9)


def look(values, share=0.0):
    sketch = ColumnSketch.empty().add(np.asarray(values), column_key(SECRET, "age:0"))
    return Survey(num_rows=len(values), shares={"age": share}, columns={"age:0": sketch})


def after(values, *notes):
    memory = Memory(secret=SECRET)
    for note in notes or (NOTE,):
        memory = memory.with_release(look(values), note)
    return memory


def asked(study, request=None, kind=None, event=None):
    request = request or gram_request()
    return Asked(
        request=request,
        kind=kind or GramKind(),
        spec=derive_spec(study, request, 3),
        event=event,
    )


def refused(*arguments):
    with pytest.raises(RefusalError) as caught:
        check_changed_rows(*arguments)
    assert caught.value.where == ""
    assert caught.value.reason
    return caught.value.code


def changed(num_changed):
    rows = ROWS.copy()
    rows[:num_changed] += 100.0
    return rows


@pytest.mark.parametrize(
    "rows", [ROWS[1:], ROWS[19:], np.append(ROWS, 1.0), changed(1), changed(5)]
)
def test_few_changed_rows_could_be_read_from_a_difference(rows):
    code = refused(Policy(), after(ROWS), look(rows))
    assert code is RefusalCode.ROWS_CHANGED_LITTLE


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1], ROWS[60:], changed(60), ROWS + 500.0])
def test_the_same_rows_or_many_changed_ones_may_leave(rows):
    assert check_changed_rows(Policy(), after(ROWS), look(rows)) == ""


def test_a_robust_study_needs_a_policy_that_allows_the_site_alone(new_study):
    study = new_study(
        discovery={"votes": False},
        privacy={"incomplete": "drop"},
        model={"knots": 0},
        federation={"robust": 1},
    )
    approved = frozenset({study.hash()})
    check_study(study, Policy(release_alone=True), approved)
    with pytest.raises(RefusalError) as caught:
        check_study(study, Policy(), approved)
    assert caught.value.code is RefusalCode.NOT_ALONE


def test_a_mechanism_runs_only_where_the_policy_names_it(new_study):
    own = {"dose": {"name": "log-linear", "version": "1"}}
    study = new_study(model={"mechanisms": own})
    node = {"name": "log-linear", "version": "1", "parents": ["age"], "features": 2}
    request = Request(kind="own_sums", parameters={"nodes": {"dose": node}, "ranges": {}})
    one = asked(study, request, OwnSums())
    check_allowed(study, Policy(mechanisms=("another", "log-linear")), [one])
    assert not_approved(study, Policy(mechanisms=("another",))) == ["log-linear"]
    with pytest.raises(RefusalError) as caught:
        check_allowed(study, Policy(mechanisms=("another",)), [one])
    assert caught.value.code is RefusalCode.MECHANISM_NOT_APPROVED
    with pytest.raises(RefusalError) as caught:
        check_allowed(new_study(), Policy(mechanisms=("log-linear",)), [one])
    assert caught.value.code is RefusalCode.NOT_IN_STUDY


def test_small_cells_of_one_site_are_hidden_by_no_total(study):
    one = asked(study)
    vector = np.full(one.spec.length, 5)
    check_own_cells(study, one, vector)
    vector[0] = 4
    with pytest.raises(RefusalError) as caught:
        check_own_cells(study, one, vector)
    assert caught.value.code is RefusalCode.SMALL_CELLS
    vector[0] = 0
    check_own_cells(study, one, vector)


def test_a_detour_over_many_rows_does_not_help():
    memory = after(ROWS).with_release(look(ROWS[100:]), NOTE)
    code = refused(Policy(), memory, look(ROWS[2:]))
    assert code is RefusalCode.ROWS_CHANGED_LITTLE


def test_a_policy_may_warn_instead():
    policy = Policy(differencing="warn")
    warning = check_changed_rows(policy, after(ROWS), look(ROWS[3:]))
    assert "3 rows more or fewer" in warning


def test_numbers_are_sums_of_values_and_not_counts(study, new_study):
    request = Request(kind="range", parameters={"variables": ["age"]})
    assert numbers_of(new_study(), asked(study, request, RangeKind())) == 0
    # Two means, three products about them, and the squares of each over each one's records.
    assert numbers_of(study, asked(study)) == 2 + 3 + 4


def test_all_releases_of_the_same_rows_add_up(study):
    policy = Policy(max_numbers_per_value=0.009)
    notes = [replace(NOTE, statistic=f"gram-{i}") for i in range(4)]
    check_numbers(policy, after(ROWS, *notes[:2]), look(ROWS), notes[:3])
    with pytest.raises(RefusalError) as caught:
        check_numbers(policy, after(ROWS, *notes[:3]), look(ROWS), notes[3:])
    assert caught.value.code is RefusalCode.TOO_MANY_NUMBERS
    assert caught.value.where == "gram"
    check_numbers(policy, after(ROWS + 1.0, *notes[:3]), look(ROWS), notes[3:])


@pytest.mark.parametrize(("share", "limit", "is_refused"), [(0.95, 0.9, True), (0.85, 0.9, False)])
def test_a_sum_that_one_record_dominates(study, share, limit, is_refused):
    policy = Policy(max_dominance=limit)
    if not is_refused:
        check_dominance(study, policy, asked(study), look(ROWS, share))
        return
    with pytest.raises(RefusalError) as caught:
        check_dominance(study, policy, asked(study), look(ROWS, share))
    assert (caught.value.code, caught.value.where) == (RefusalCode.DOMINATED, "gram")
    assert "'age'" in caught.value.reason
    assert "age" not in str(caught.value)


def test_counts_are_not_dominated(study):
    request = Request(kind="range", parameters={"variables": ["age"]})
    check_dominance(study, Policy(), asked(study, request, RangeKind()), look(ROWS, 0.99))


def test_noise_is_told_from_none(study):
    noise = GaussianRelease(sensitivity=1.0, noise_multiplier=1.0, name="gram")
    assert asked(study, event=noise).is_noised
    assert not asked(study).is_noised


PAIRS = tables_request([["a", "b"]])
THREE = tables_request([["a", "b", "c"]], before=[PAIRS])
OTHER = tables_request([["b", "c"]], before=[PAIRS])
BOTH = tables_request([["b", "c"]], before=[PAIRS, THREE])
TABLES = Study.model_validate(
    {
        "variables": {name: {"kind": "binary"} for name in "abc"},
        "discovery": {"tests": "tables"},
    }
)


def table_note(request, study="s", roster=ROSTER):
    return ReleaseNote(study=study, statistic=request.id(), roster=roster, numbers=0)


def check(request, *answered, rows=ROWS):
    memory = after(ROWS, *answered) if answered else Memory(secret=SECRET)
    kind = GramKind() if request.kind == "gram" else TablesKind()
    one = asked(TABLES, request, kind)
    check_tables(memory, look(rows), [table_note(request)], one)


@pytest.mark.parametrize("alone", [tables_request([["b", "c"]]), OTHER])
def test_tables_that_leave_out_an_answered_request_are_refused(alone):
    with pytest.raises(RefusalError) as caught:
        check(alone, table_note(PAIRS), table_note(THREE))
    assert caught.value.code is RefusalCode.TABLES_LEFT_OUT


def test_tables_that_name_all_answered_requests_or_repeat_one_may_leave():
    answered = table_note(PAIRS), table_note(THREE)
    check(PAIRS)
    check(THREE, answered[0])
    check(BOTH, *answered)
    check(PAIRS, *answered)


def test_tables_of_other_rows_rosters_and_studies_are_apart():
    check(OTHER, table_note(PAIRS), table_note(THREE, study="t"))
    check(OTHER, table_note(PAIRS), table_note(THREE, roster=("a", "b")))
    check(OTHER, table_note(PAIRS), table_note(THREE), rows=ROWS[60:])
    check(gram_request(), table_note(PAIRS))
