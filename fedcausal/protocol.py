"""A study as pure steps: what to ask of the sites next, given what was released so far.

    what records lack -> ranges or scales -> graph (or tables, level by level)
        -> replicates -> heterogeneity
        -> the model and its effects (`fedcausal.steps.model`) -> done

Every step reads released totals only, so that replaying the totals of a journal leads to the
same state. What leaves a site is named by the requests; the statistics are in
`fedcausal.statistics`.
"""

from collections.abc import Mapping
from dataclasses import replace

from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.discovery.heterogeneity import check_enough_sites
from fedcausal.discovery.local import LocalVotes
from fedcausal.discovery.noisy_table_pc import NoisyTablePC
from fedcausal.discovery.table_search import TableSearch
from fedcausal.errors import FedCausalError
from fedcausal.moments.gram_totals import GramTotals
from fedcausal.private.graph_budget import is_private
from fedcausal.private.noisy_totals import noisy_covariance
from fedcausal.robust.bounds import check_totals
from fedcausal.statistics.gram_kind import (
    GramKind,
    compared_effects,
    gram_release,
    gram_request,
)
from fedcausal.statistics.heterogeneity_kind import heterogeneity_release, heterogeneity_request
from fedcausal.statistics.implied import counts_patterns_for_graph
from fedcausal.statistics.kind import Request
from fedcausal.statistics.noisy_gram_kind import noisy_gram_release, noisy_gram_request
from fedcausal.statistics.range_kind import range_release, range_request
from fedcausal.statistics.replicates_kind import (
    most_replicates,
    replicates_release,
    replicates_request,
)
from fedcausal.statistics.scale_kind import scale_release, scale_request
from fedcausal.steps.graph import (
    discover_graph,
    given_graph,
    statistics_of,
    tables_graph,
    with_heterogeneity,
    with_replicates,
)
from fedcausal.steps.model import MODEL_STEPS, ask_for_model
from fedcausal.steps.records import (
    about_records,
    ask_for_patterns,
    own_totals,
    take_pairs,
    take_patterns,
)
from fedcausal.steps.state import STEPS, Step, StudyState, check_steps
from fedcausal.steps.training import ServerStep
from fedcausal.study import Study
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.statistic_spec import Released

__all__ = ["start", "step", "with_sites"]

NO_REPLICATES = (
    "There are too few records for one bootstrap of them to be released beside the sums, so edges "
    'have no probability; discovery.resampling = "wishart" needs no further sums'
)


def start(
    study: Study,
    num_sites: int,
    seed: int,
    *,
    steps: tuple[Step, ...] = STEPS,
    server_step: ServerStep | None = None,
) -> StudyState:
    """The first request of a study over `num_sites` sites.

    `server_step` makes the next weights of a neural model from the sites' mean; their mean itself
    when left out.
    """
    study.check_num_sites(num_sites)
    check_steps(study, steps)
    if study.discovery.heterogeneity:
        check_enough_sites(num_sites)
    state = StudyState(
        study=study,
        num_sites=num_sites,
        num_invited=num_sites,
        seed=seed,
        steps=steps,
        phase="ranges",
        server_step=server_step,
    )
    declared = {v.name: v.bounds for v in study.schema() if v.is_numeric and v.bounds is not None}
    state = replace(state, ranges=declared)
    if counts_patterns_for_graph(study):
        return ask_for_patterns(state)
    return _ask_for_ranges(state)


def with_sites(state: StudyState, num_sites: int) -> StudyState:
    """The state when the totals from here on are over another number of sites: some dropped out.

    Raises
    ------
    StudyError
        Fewer sites than the study allows.
    """
    state.study.check_present(num_sites)
    return replace(state, num_sites=num_sites)


def step(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    """Take the totals of the requests of `state`, keyed by `Request.id()`, and move on.

    Raises
    ------
    FedCausalError
        The totals do not allow the next step; the message says which and why.
    """
    if state.done:
        raise FedCausalError("the study is done; it takes no further totals")
    missing = [r.id() for r in state.requests if r.id() not in released]
    if missing:
        raise FedCausalError(f"the round released no total of {', '.join(missing)}")
    check_totals(state.study, state.requests, released, state.num_invited)
    digests = {r.id(): _digest(released[r.id()]) for r in state.requests}
    state = replace(state, digests={**state.digests, **digests})
    state, own = own_totals(state, released)
    return about_records(_AFTER[state.phase](state, own))


def _after_patterns(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    """The ranges or the graph come next; the model, where these are known or have an epsilon."""
    taken = take_patterns(state, released)
    is_first = state.discovery is None
    return _ask_for_ranges(taken) if is_first else ask_for_model(taken)


def _ask_for_ranges(state: StudyState) -> StudyState:
    request = range_request(state.study)
    if request is None:
        return _ask_for_graph(state)
    return replace(state, phase="ranges", requests=(request,))


def _after_ranges(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    found = range_release(state.study, request, released[request.id()])
    return _ask_for_graph(replace(state, ranges={**state.ranges, **found}))


def _ask_for_graph(state: StudyState) -> StudyState:
    study = state.study
    if study.knowledge.graph is not None:
        return _ask_for_heterogeneity(replace(state, discovery=given_graph(study)))
    if study.discovery.tests == "tables":
        return _next_tables(replace(state, tables=_search_on_tables(state), phase="tables"))
    if is_private(study):
        return replace(state, phase="scales", requests=(scale_request(),))
    found = {v.name: state.ranges[v.name] for v in study.schema() if v.is_numeric and not v.bounds}
    requests = [gram_request(found)]
    if study.discovery.votes:
        requests.append(Request(kind=LocalVotes.name))
    other = compared_effects(study)
    if other is not None:
        requests.append(gram_request(found, site_effects=other))
    return replace(state, phase="graph", requests=tuple(requests))


def _after_scales(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    found = scale_release(state.study, request, released[request.id()], state.num_sites)
    request = noisy_gram_request(state.study, found, state.num_sites)
    return replace(state, phase="graph", requests=(request,), scales=found)


def _after_noisy_graph(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    totals = noisy_gram_release(state.study, request, released[request.id()], state.num_sites)
    found = discover_graph(
        state.study,
        noisy_covariance(totals),
        ballots=(),
        num_sites=state.num_sites,
        seed=state.seed,
    )
    return ask_for_model(replace(state, gram=totals, discovery=found))


def _after_graph(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    study = state.study
    if is_private(study):
        return _after_noisy_graph(state, released)
    grams = [
        gram_release(study, request, released[request.id()], state.num_sites)
        for request in state.requests
        if request.kind == GramKind.name
    ]
    votes = [r for r in state.requests if r.kind == LocalVotes.name]
    statistics = [statistics_of(study, totals) for totals in grams]
    found = discover_graph(
        study,
        statistics[0],
        ballots=[(r, released[r.id()]) for r in votes],
        num_sites=state.num_sites,
        seed=state.seed,
        compared=statistics[1] if len(statistics) > 1 else None,
    )
    return _ask_for_replicates(replace(state, gram=grams[0], discovery=found))


def _search_on_tables(state: StudyState) -> DiscretePC | TableSearch:
    if is_private(state.study):
        return NoisyTablePC.begin_private(state.study, state.num_invited)
    if state.study.discovery.algorithm == "pc":
        return DiscretePC.begin(state.study)
    return TableSearch.begin(state.study, seed=state.seed)


def _next_tables(state: StudyState) -> StudyState:
    if state.tables is None or state.tables.request is None:
        found = None if state.tables is None else tables_graph(state.study, state.tables)
        return ask_for_model(replace(state, discovery=found))
    return replace(state, requests=(state.tables.request,))


def _after_tables(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    if state.tables is None:
        raise FedCausalError("no search on tables is under way")
    return _next_tables(replace(state, tables=state.tables.take(released[request.id()])))


def _ask_for_replicates(state: StudyState) -> StudyState:
    section, gram, found = state.study.discovery, state.gram, state.discovery
    if section.resampling != "poisson" or found is None or not section.bootstrap:
        return _ask_for_heterogeneity(state)
    if not isinstance(gram, GramTotals):
        return _ask_for_heterogeneity(state)
    most = most_replicates(state.study, state.requests[0], gram.num_rows, state.num_sites)
    if most < 1:
        noted = replace(found, notes=(*found.notes, NO_REPLICATES))
        return _ask_for_heterogeneity(replace(state, discovery=noted))
    asked = min(section.bootstrap, most)
    request = replicates_request(state.requests[0], asked, gram.num_rows)
    return replace(state, phase="replicates", requests=(request,))


def _after_replicates(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    if state.discovery is None or not isinstance(state.gram, GramTotals):
        raise FedCausalError("no graph to find the replicates of")
    found = with_replicates(
        state.study,
        state.discovery,
        statistics_of(state.study, state.gram),
        replicates_release(state.study, request, released[request.id()], state.num_sites),
        seed=state.seed,
    )
    return _ask_for_heterogeneity(replace(state, discovery=found))


def _ask_for_heterogeneity(state: StudyState) -> StudyState:
    if not state.study.discovery.heterogeneity or state.discovery is None:
        return ask_for_model(state)
    if not isinstance(state.gram, GramTotals | None):
        return ask_for_model(state)
    check_enough_sites(state.num_sites)
    request = heterogeneity_request(
        state.discovery.model_dag(), state.gram, state.ranges, state.study.schema()
    )
    if request is None:
        return ask_for_model(state)
    return replace(state, phase="heterogeneity", requests=(request,))


def _after_heterogeneity(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    if state.discovery is None:
        raise FedCausalError("no graph to compare the sites along")
    tests = heterogeneity_release(state.study, request, released[request.id()])
    found = with_heterogeneity(state.discovery, tests, alpha=state.study.discovery.alpha)
    return ask_for_model(replace(state, discovery=found))


def _digest(released: Released) -> str:
    totals = released.totals.astype("<i8").tobytes()
    return sha256_hex(totals + released.withheld.astype("u1").tobytes())


_AFTER = {
    "pairs": take_pairs,
    "patterns": _after_patterns,
    "ranges": _after_ranges,
    "scales": _after_scales,
    "graph": _after_graph,
    "tables": _after_tables,
    "replicates": _after_replicates,
    "heterogeneity": _after_heterogeneity,
    **MODEL_STEPS,
}
