import numpy as np
import pytest

from fedcausal.data.kept_records import COMPLETE
from fedcausal.data.table import Table
from fedcausal.errors import DataError, ProtocolError
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.kind import Request
from fedcausal.statistics.patterns_kind import (
    MAX_LISTED,
    EffectPatternsKind,
    PatternsKind,
    candidate_patterns,
    common_patterns,
    pairs_request,
    patterns_request,
)
from fedcausal.statistics.records import MAX_PATTERNS
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

KIND = PatternsKind()


def study_of(size):
    return Study.model_validate(
        {"variables": {f"v{i:02d}": {"kind": "continuous", "bounds": [0, 1]} for i in range(size)}}
    )


def site(study, counts):
    """Records of which so many have each pattern of missing values."""
    size, rows = len(study.schema()), []
    for pattern, number in counts.items():
        part = np.full((number, size), 0.5)
        part[:, [i for i in range(size) if pattern >> i & 1]] = np.nan
        rows.append(part)
    return Table(study.schema(), np.concatenate(rows))


def released(study, request, sites):
    vectors = [KIND.compute(study, request, one, None) for one in sites]
    return plain_sum(vectors, derive_spec(study, request, len(sites)))


def test_of_few_variables_every_pattern_is_counted():
    study = study_of(3)
    sites = [site(study, {COMPLETE: 10, 1: 2, 6: 1}) for _ in range(3)]
    request = patterns_request(candidate_patterns(study, None))
    total = released(study, request, sites)
    assert total.totals.tolist() == [30, 6, 0, 0, 0, 0, 0, 0, 0]
    assert np.flatnonzero(total.withheld).tolist() == [6]
    assert common_patterns(study, request, total) == (COMPLETE, 1)


def test_where_all_is_complete_no_list_is_needed():
    study = study_of(3)
    request = patterns_request(candidate_patterns(study, None))
    total = released(study, request, [site(study, {COMPLETE: 10})] * 3)
    assert common_patterns(study, request, total) is None


@pytest.mark.parametrize("more", [{1: 1}, {1: 1, 2: 1}])
def test_where_few_are_incomplete_only_they_stay_out(more):
    study = study_of(3)
    request = patterns_request(candidate_patterns(study, None))
    total = released(study, request, [site(study, {COMPLETE: 10, **more})] * 3)
    assert common_patterns(study, request, total) == (COMPLETE,)


def test_where_every_record_is_alone():
    study = study_of(3)
    request = patterns_request(candidate_patterns(study, None))
    total = released(study, request, [site(study, dict.fromkeys(range(1, 7), 1))] * 3)
    with pytest.raises(DataError, match="leave variables out"):
        common_patterns(study, request, total)


def test_of_many_variables_pairs_come_first():
    """A panel that is missing together is one block; what few lack is in no candidate."""
    study = study_of(MAX_LISTED + 4)
    panel, other, rare = 0b111, 1 << 7, 1 << 9
    counts = {COMPLETE: 20, panel: 9, panel | 8: 1, other: 6, panel | other: 3, rare: 1}
    sites = [site(study, counts), *[site(study, {COMPLETE: 20})] * 2]
    assert candidate_patterns(study, None) is None
    first = pairs_request()
    candidates = candidate_patterns(study, (first, released(study, first, sites)))
    assert candidates == [COMPLETE, panel, other, panel | other]
    request = patterns_request(candidates)
    assert common_patterns(study, request, released(study, request, sites)) == (
        COMPLETE,
        panel,
        other,
    )


def test_of_pairs_no_small_count_is_left_by_subtraction():
    """10 lack v00 and 9 of them v01: neither the 9 nor the 1 is released."""
    study = study_of(MAX_LISTED + 1)
    one = site(study, {COMPLETE: 20, 0b11: 9, 0b01: 1})
    sites = [one, *[site(study, {COMPLETE: 20})] * 2]
    total = released(study, pairs_request(), sites)
    size = MAX_LISTED + 1
    both, alone = size, size + size * (size - 1) // 2 + 1
    assert total.totals[0] == 10
    assert total.withheld[both]
    assert total.withheld[alone]


def test_candidates_are_no_more_than_may_be_listed():
    study = study_of(30)
    counts = {COMPLETE: 20, **{1 << i: 5 for i in range(30)}}
    sites = [site(study, counts)] * 3
    first = pairs_request()
    candidates = candidate_patterns(study, (first, released(study, first, sites)))
    assert len(candidates) <= MAX_PATTERNS
    assert {1 << i for i in range(30)} <= set(candidates)
    assert (1 << 3) | (1 << 4) in candidates


@pytest.mark.parametrize(
    "parameters",
    [{"other": 1}, {"candidates": []}, {"candidates": "0"}, {"candidates": ["9"]}],
    ids=str,
)
def test_a_malformed_request(parameters):
    with pytest.raises(ProtocolError):
        KIND.spec(study_of(3), Request(kind="patterns", parameters=parameters), 3)


def test_it_has_no_list_of_records():
    with pytest.raises(ProtocolError):
        KIND.spec(study_of(3), Request(kind="patterns", records=["0"]), 3)


def test_a_site_of_one_row_is_refused():
    study = study_of(3)
    with pytest.raises(DataError, match="expected 2 to"):
        KIND.compute(study, patterns_request([0]), site(study, {COMPLETE: 1}), None)


def test_the_form_that_the_effects_ask_for():
    assert (EffectPatternsKind.name, EffectPatternsKind.part) == ("effect_patterns", "effects")
    assert patterns_request([0], of_effects=True).kind == pairs_request(of_effects=True).kind
    assert KIND.width(study_of(3), patterns_request([0])) == 0
