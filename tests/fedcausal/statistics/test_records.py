from itertools import combinations

import numpy as np
import pytest

from fedcausal.data.kept_records import COMPLETE
from fedcausal.data.table import Table
from fedcausal.errors import DataError, ProtocolError
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.gram_kind import GramKind, gram_request
from fedcausal.statistics.kind import Request
from fedcausal.statistics.records import (
    MAX_PATTERNS,
    LeftOut,
    kept_records,
    left_out_note,
    pattern_list,
    split_counts,
    takes_all,
    with_counts,
    with_list,
)
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum


def study_of(names="xyz", **sections):
    return Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-8, 8]} for n in names},
            **sections,
        }
    )


STUDY = study_of()


def table_of(counts, seed=0):
    """Records of which so many have each pattern of missing values."""
    rng, rows = np.random.default_rng(seed), []
    for pattern, number in counts.items():
        part = rng.normal(size=(number, 3)).clip(-8, 8)
        part[:, [i for i in range(3) if pattern >> i & 1]] = np.nan
        rows.append(part)
    return Table(STUDY.schema(), np.concatenate(rows))


def total(sites, request):
    vectors, rng = [], np.random.default_rng(0)
    for site in sites:
        kept = kept_records(STUDY, request, site)
        vectors.append(
            with_counts(GramKind().compute(STUDY, request, kept, rng), STUDY, request, kept)
        )
    return plain_sum(vectors, derive_spec(STUDY, request, len(sites)))


def test_without_a_list_a_sum_is_about_complete_records():
    sites = [table_of({COMPLETE: 20, 1: 30}) for _ in range(3)]
    assert pattern_list(STUDY, gram_request()) == (COMPLETE,)
    own, left_out = split_counts(STUDY, gram_request(), total(sites, gram_request()))
    assert (own.totals[0], left_out) == (60, None)


def test_with_a_list_the_counts_stand_behind():
    sites = [table_of({COMPLETE: 20, 1: 2, 2: 1, 4: 3}) for _ in range(3)]
    request = with_list(gram_request(), [4, COMPLETE, 1])
    released = total(sites, request)
    assert released.totals[-4:].tolist() == [60, 6, 9, 0]
    assert released.withheld[-1]
    own, left_out = split_counts(STUDY, request, released)
    assert own.totals[0] == 75
    assert left_out == LeftOut(0, is_few=True)
    assert len(own.totals) == derive_spec(STUDY, gram_request(), 3).length


@pytest.mark.parametrize("number", [1, 4])
def test_a_rare_pattern_withholds_everything(number):
    sites = [table_of({COMPLETE: 20, 1: number}), *(table_of({COMPLETE: 20}) for _ in range(2))]
    request = with_list(gram_request(), [COMPLETE, 1])
    released = total(sites, request)
    assert released.withheld.all()
    assert not released.totals.any()
    with pytest.raises(DataError, match="nothing was released"):
        split_counts(STUDY, request, released)


def test_every_combination_of_released_sums_is_about_whole_patterns():
    """Whatever lists are asked for: each record of a pattern has the same weight in every sum."""
    counts = {COMPLETE: 9, 1: 6, 2: 7, 4: 4, 3: 5}
    sites = [table_of(counts), table_of({COMPLETE: 20}), table_of({COMPLETE: 20})]
    shown = []
    for size in range(1, 6):
        for patterns in combinations(counts, size):
            released = total(sites, with_list(gram_request(), patterns)) if 0 in patterns else None
            if released is not None and not released.withheld.all():
                shown.append(set(patterns))
    assert shown
    assert not any(4 in patterns for patterns in shown)


@pytest.mark.parametrize(
    "records",
    [[], ["0", "0"], ["1", "0"], ["8"], ["-1"], ["A"], ["01"], ["g"], [1], [None], [""]],
    ids=str,
)
def test_a_malformed_list(records):
    request = Request(kind="gram", parameters={"ranges": {}}, records=records)
    with pytest.raises(ProtocolError):
        derive_spec(STUDY, request, 3)


def test_a_list_that_is_too_long():
    wide = study_of([f"v{i:02d}" for i in range(20)])
    request = with_list(gram_request(), range(MAX_PATTERNS + 1))
    with pytest.raises(ProtocolError, match="malformed"):
        pattern_list(wide, request)


@pytest.mark.parametrize("kind", ["patterns", "noisy_gram", "scale", "update"])
def test_what_is_about_all_records_takes_no_list(kind):
    private = study_of(privacy={"graph": {"epsilon": 1.0}, "model": {"epsilon": 1.0}})
    assert takes_all(private, kind_of(Request(kind=kind)))
    with pytest.raises(ProtocolError, match="about all records"):
        derive_spec(private, Request(kind=kind, records=["0"]), 3)


def test_a_list_is_part_of_the_name():
    plain = gram_request()
    listed = with_list(plain, [COMPLETE])
    assert plain.id() != listed.id() != with_list(plain, [COMPLETE, 1]).id()
    assert Request.from_json(listed.to_json()) == listed
    wrapped = Request(kind="gram", parameters={"parameters": {}, "records": ["0"]})
    assert wrapped.id() != Request(kind="gram", records=["0"]).id()


def test_the_note_says_how_many():
    assert left_out_note(None, 5) == left_out_note(LeftOut(0, is_few=False), 5) == ""
    assert left_out_note(LeftOut(0, is_few=True), 5).startswith("Fewer than 5 records")
    assert left_out_note(LeftOut(12, is_few=False), 5).startswith("12 records")
