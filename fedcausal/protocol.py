"""A study as pure steps: what to ask of the sites next, given what was released so far.

    ranges or scales -> graph (or tables, level by level) -> replicates -> heterogeneity
        -> families (scales first, under an epsilon) -> residuals -> training -> done

Every step reads released totals only, so that replaying the totals of a journal leads to the
same state. What leaves a site is named by the requests; the statistics are in
`fedcausal.statistics`.
"""

from collections.abc import Mapping
from dataclasses import replace

from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.discovery.heterogeneity import check_enough_sites
from fedcausal.discovery.local import LocalVotes
from fedcausal.discovery.table_search import TableSearch
from fedcausal.errors import FedCausalError
from fedcausal.flow_training import FlowTraining
from fedcausal.gram_totals import GramTotals
from fedcausal.learning import (
    discover_graph,
    given_graph,
    statistics_of,
    tables_graph,
    with_heterogeneity,
    with_replicates,
)
from fedcausal.model.families import families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.noisy_degrees import chosen_degrees
from fedcausal.model.noisy_families import noisy_families_request
from fedcausal.model.noisy_family_gram import decode_noisy_families, fit_noisy_mechanisms
from fedcausal.model.residuals import decode_residuals, residuals_request, with_residual_laws
from fedcausal.private.graph_budget import is_private
from fedcausal.private.noisy_totals import noisy_covariance
from fedcausal.statistics.gram_kind import (
    GramKind,
    compared_effects,
    gram_release,
    gram_request,
)
from fedcausal.statistics.heterogeneity_kind import heterogeneity_release, heterogeneity_request
from fedcausal.statistics.implied import fits_privately, trains_flow
from fedcausal.statistics.kind import Request
from fedcausal.statistics.noisy_gram_kind import noisy_gram_release, noisy_gram_request
from fedcausal.statistics.range_kind import range_release, range_request
from fedcausal.statistics.replicates_kind import (
    most_replicates,
    replicates_release,
    replicates_request,
)
from fedcausal.statistics.scale_kind import ReleasedScales, scale_release, scale_request
from fedcausal.study import Study
from fedcausal.study_state import STEPS, Step, StudyState, check_steps
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.statistic_spec import Released

__all__ = ["start", "step", "with_sites"]

NO_REPLICATES = (
    "There are too few records for one bootstrap of them to be released beside the sums, so edges "
    'have no probability; discovery.resampling = "wishart" needs no further sums'
)


def start(
    study: Study, num_sites: int, seed: int, *, steps: tuple[Step, ...] = STEPS
) -> StudyState:
    """The first request of a study over `num_sites` sites."""
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
    )
    declared = {v.name: v.bounds for v in study.schema() if v.is_numeric and v.bounds is not None}
    state = replace(state, ranges=declared)
    request = range_request(study)
    return _ask_for_graph(state) if request is None else replace(state, requests=(request,))


def with_sites(state: StudyState, num_sites: int) -> StudyState:
    """The state when the totals from here on are over another number of sites: some dropped out.

    Raises
    ------
    StudyError
        Fewer sites than the study allows.
    """
    state.study.check_num_sites(num_sites)
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
    digests = {r.id(): _digest(released[r.id()]) for r in state.requests}
    state = replace(state, digests={**state.digests, **digests})
    return _AFTER[state.phase](state, released)


def _after_ranges(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    found = range_release(state.study, request, released[request.id()])
    return _ask_for_graph(replace(state, ranges={**state.ranges, **found}))


def _ask_for_graph(state: StudyState) -> StudyState:
    study = state.study
    if study.knowledge.graph is not None:
        return _ask_for_families(replace(state, discovery=given_graph(study)))
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
    return _ask_for_families(replace(state, gram=totals, discovery=found))


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
    if state.study.discovery.algorithm == "pc":
        return DiscretePC.begin(state.study)
    return TableSearch.begin(state.study, seed=state.seed)


def _next_tables(state: StudyState) -> StudyState:
    if state.tables is None or state.tables.request is None:
        found = None if state.tables is None else tables_graph(state.study, state.tables)
        return _ask_for_families(replace(state, discovery=found))
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
        return _ask_for_families(state)
    if not isinstance(state.gram, GramTotals):
        return _ask_for_families(state)
    check_enough_sites(state.num_sites)
    request = heterogeneity_request(state.discovery.model_dag(), state.gram, state.ranges)
    if request is None:
        return _ask_for_families(state)
    return replace(state, phase="heterogeneity", requests=(request,))


def _after_heterogeneity(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    if state.discovery is None:
        raise FedCausalError("no graph to compare the sites along")
    tests = heterogeneity_release(state.study, request, released[request.id()])
    found = with_heterogeneity(state.discovery, tests, alpha=state.study.discovery.alpha)
    return _ask_for_families(replace(state, discovery=found))


def _ask_for_families(state: StudyState) -> StudyState:
    if "model" not in state.steps or state.discovery is None:
        return _finished(state)
    if fits_privately(state.study):
        if state.scales is None:
            asked = (scale_request(of_model=True),)
            return replace(state, phase="model_scales", requests=asked)
        return _ask_for_noisy_families(state, state.scales)
    dag = state.discovery.model_dag()
    edges = [(edge.source, edge.target) for edge in dag.edges]
    request = families_request(edges, dag.nodes, state.ranges)
    return replace(state, phase="families", requests=(request,))


def _after_model_scales(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    found = scale_release(state.study, request, released[request.id()], state.num_sites)
    return _ask_for_noisy_families(replace(state, scales=found), found)


def _ask_for_noisy_families(state: StudyState, found: ReleasedScales) -> StudyState:
    if state.discovery is None:
        raise FedCausalError("a model needs a graph first")
    dag = state.discovery.model_dag()
    edges = [(edge.source, edge.target) for edge in dag.edges]
    degrees = chosen_degrees(
        state.study,
        edges,
        dag.nodes,
        scales=found.scales,
        num_records=found.num_records,
        num_sites=state.num_sites,
    )
    request = noisy_families_request(
        edges, dag.nodes, degrees, scales=found.scales, missing=found.missing
    )
    return replace(state, phase="families", requests=(request,))


def _after_families(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    if fits_privately(state.study):
        noisy = decode_noisy_families(
            state.study, request, released[request.id()], state.num_sites
        )
        grams = {node: found.gram for node, found in noisy.items()}
        fitted = replace(state, families=grams, mechanisms=fit_noisy_mechanisms(noisy))
        return _ask_for_training(_with_model(fitted))
    grams = decode_families(state.study, request, released[request.id()], state.num_sites)
    mechanisms = fit_mechanisms(grams)
    state = replace(state, families=grams, mechanisms=mechanisms)
    residuals = residuals_request(request, mechanisms)
    if residuals is None:
        return _ask_for_training(_with_model(state))
    return replace(state, phase="residuals", requests=(residuals,))


def _after_residuals(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    records = {node: gram.num_records for node, gram in state.families.items()}
    laws = decode_residuals(state.study, request, released[request.id()], records)
    mechanisms = with_residual_laws(state.mechanisms, laws)
    return _ask_for_training(_with_model(replace(state, mechanisms=mechanisms)))


def _with_model(state: StudyState) -> StudyState:
    if state.discovery is None:
        raise FedCausalError("a model needs a graph first")
    model = assemble(state.discovery.model_dag(), state.study.schema(), state.mechanisms)
    return replace(state, model=model)


def _ask_for_training(state: StudyState) -> StudyState:
    if not trains_flow(state.study) or state.discovery is None:
        return _finished(state)
    flow = FlowTraining.begin(
        state.study,
        state.discovery.model_dag(),
        state.ranges,
        families=state.families,
        num_sites=state.num_invited,
        seed=state.seed,
    )
    return _next_training_round(replace(state, flow=flow, phase="training"))


def _next_training_round(state: StudyState) -> StudyState:
    if state.flow is None or state.flow.is_finished:
        return _finished(state)
    return replace(state, requests=(state.flow.request(),), blobs=state.flow.blobs())


def _after_training(state: StudyState, released: Mapping[str, Released]) -> StudyState:
    (request,) = state.requests
    if state.flow is None:
        raise FedCausalError("no training is under way")
    return _next_training_round(replace(state, flow=state.flow.take(released[request.id()])))


def _finished(state: StudyState) -> StudyState:
    return replace(state, phase="done", requests=(), blobs={})


def _digest(released: Released) -> str:
    totals = released.totals.astype("<i8").tobytes()
    return sha256_hex(totals + released.withheld.astype("u1").tobytes())


_AFTER = {
    "ranges": _after_ranges,
    "scales": _after_scales,
    "graph": _after_graph,
    "tables": _after_tables,
    "replicates": _after_replicates,
    "heterogeneity": _after_heterogeneity,
    "model_scales": _after_model_scales,
    "families": _after_families,
    "residuals": _after_residuals,
    "training": _after_training,
}
