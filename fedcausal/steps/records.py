"""The first steps of a study with exact sums: which incomplete records take part in them."""

from collections.abc import Mapping
from dataclasses import replace

from fedcausal.statistics.derive import kind_of
from fedcausal.statistics.kind import Request
from fedcausal.statistics.patterns_kind import (
    candidate_patterns,
    common_patterns,
    pairs_request,
    patterns_request,
)
from fedcausal.statistics.records import split_counts, takes_all, takes_complete, with_list
from fedcausal.steps.state import StudyState
from fedcausal_privacy.statistic_spec import Released

__all__ = ["about_records", "ask_for_patterns", "own_totals", "take_pairs", "take_patterns"]


def ask_for_patterns(state: StudyState, *, of_effects: bool = False) -> StudyState:
    """Ask what records lack; for many variables in two rounds."""
    candidates = candidate_patterns(state.study, None)
    if candidates is None:
        return replace(state, phase="pairs", requests=(pairs_request(of_effects=of_effects),))
    request = patterns_request(candidates, of_effects=of_effects)
    return replace(state, phase="patterns", requests=(request,))


def take_pairs(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    """Ask for the patterns that the counts of pairs make likely."""
    (request,) = state.requests
    candidates = candidate_patterns(state.study, (request, released[request.id()]))
    asked = patterns_request(candidates or (), of_effects=request.kind == "effect_patterns")
    return replace(state, phase="patterns", requests=(asked,))


def take_patterns(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    """The state with the patterns that exact sums take in."""
    (request,) = state.requests
    return replace(state, records=common_patterns(state.study, request, released[request.id()]))


def about_records(state: StudyState) -> StudyState:
    """The state whose exact requests name the patterns of records that they are about."""
    if state.records is None:
        return state
    return replace(state, requests=tuple(_listed(state, r) for r in state.requests))


def own_totals(
    state: StudyState, released: Mapping[str, Released]
) -> tuple[StudyState, dict[str, Released]]:
    """The totals without the counts that vouch for them; the state knows who was left out.

    Raises
    ------
    DataError
        A total was withheld because a pattern has become rare.
    """
    own = dict[str, Released]()
    for request in state.requests:
        total, left_out = split_counts(state.study, request, released[request.id()])
        own[request.id()] = total
        state = state if left_out is None else replace(state, left_out=left_out)
    return state, own


def _listed(state: StudyState, request: Request) -> Request:
    kind = kind_of(request)
    if state.records is None or takes_all(state.study, kind) or takes_complete(kind):
        return request
    return with_list(request, state.records)
