"""From released totals to a graph with edge probabilities and the sites' disagreements."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.discovery.heterogeneity import Heterogeneity, differing
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.local import decode_votes
from fedcausal.discovery.merge import Disagreement, merge, vote_prior
from fedcausal.discovery.options import Algorithm, DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.discovery.site_effects import compare_site_effects
from fedcausal.discovery.stability import EdgeProbabilities, edge_probabilities
from fedcausal.discovery.table_search import TableSearch
from fedcausal.discovery.votes import Votes
from fedcausal.equivalence import extension
from fedcausal.errors import DataError, StudyError
from fedcausal.formats.reading import read_graph
from fedcausal.graph import Graph
from fedcausal.moments.basis_choice import with_needed_degrees
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import GramTotals, block_covariance
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

Matrix = NDArray[np.float64]

__all__ = [
    "NO_MODEL",
    "LearntGraph",
    "discover_graph",
    "given_graph",
    "options_of",
    "statistics_of",
    "tables_graph",
    "votes_weigh",
    "with_heterogeneity",
    "with_replicates",
]

NO_MODEL = (
    'discovery.algorithm: "fci" finds a PAG, which has no single model DAG; run the step '
    'discovery alone (--steps discovery), or write algorithm = "order-search"'
)

NO_RESAMPLES = (
    "Edges found from contingency tables have no probabilities: tables are not resampled, and the "
    "sites are not asked for votes"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearntGraph:
    """The graph of a study and the model DAG that extends it.

    Attributes
    ----------
    graph
        The equivalence class, each edge with its probability.
    dag
        Its deterministic, knowledge-respecting extension; None for a PAG.
    objective
        In words, what the graph is the best of.
    score
        Its value (0 for a given graph).
    votes, disagreements
        The sites' ballots and the pairs on which they differ from the pooled graph.
    dropped
        Features that were left out, with the reason.
    by_nonlinearity
        (parent, child) of the edges that only nonlinearity directs.
    heterogeneity
        Tests of equal slopes and residual variances over sites, where they were asked for.
    notes
        What a reader must know.
    """

    graph: Graph
    dag: Graph | None
    objective: str
    score: float = 0.0
    votes: Votes | None = None
    disagreements: tuple[Disagreement, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    by_nonlinearity: tuple[tuple[str, str], ...] = ()
    heterogeneity: tuple[Heterogeneity, ...] = ()
    notes: tuple[str, ...] = ()

    def model_dag(self) -> Graph:
        """The graph of the model; a PAG has none, and asking for it is a `StudyError`."""
        if self.dag is None:
            raise StudyError(NO_MODEL)
        return self.dag


def options_of(study: Study, seed: int) -> DiscoveryOptions:
    """The discovery options of a study."""
    section = study.discovery
    return DiscoveryOptions(
        algorithm=cast(Algorithm, section.algorithm),
        alpha=section.alpha,
        penalty=section.penalty,
        restarts=section.restarts,
        time_limit_seconds=section.time_limit_seconds,
        bootstrap=section.bootstrap if section.resampling == "wishart" else 0,
        vote_weight=section.vote_weight if votes_weigh(study) else 0.0,
        seed=seed,
    )


def votes_weigh(study: Study) -> bool:
    """Whether the sites' votes enter the objective, or are only reported.

    A constraint-based search has no score to add them to. In `pool` mode the study says that it
    does not matter who holds a row: then it must not matter for the graph either. The sites'
    tests are linear: where polynomials are collected, their silence about an edge means nothing.
    """
    section = study.discovery
    is_linear = max(study.degrees().values(), default=1) == 1
    return section.algorithm == "order-search" and section.site_effects != "pool" and is_linear


def statistics_of(study: Study, totals: GramTotals) -> BlockCovariance:
    """The block covariance of released totals, each variable with the basis that it needs."""
    names = [name for name in study.degrees() if study.basis_of(name) == "auto"]
    statistics = block_covariance(totals)
    return with_needed_degrees(statistics, names, penalty=study.discovery.penalty)


def discover_graph(
    study: Study,
    statistics: BlockCovariance,
    *,
    ballots: Sequence[tuple[Request, Released]],
    num_sites: int,
    seed: int,
    compared: BlockCovariance | None = None,
) -> LearntGraph:
    """Learn the graph from the pooled statistics and the votes, where there are any.

    `compared` are the statistics under the other treatment of site effects: a note says where
    their graph, both without votes, is another one.

    Privacy: reads released totals only.
    """
    options, knowledge = options_of(study, seed), study.knowledge_base()
    votes = [decode_votes(study, request, total, num_sites) for request, total in ballots]
    if not votes:
        found = discover(statistics, knowledge, options)
        graph = _stable(statistics, knowledge, options, None, study).annotate(found.graph)
        notes = _notes(study, statistics, found, found, compared, options)
        return LearntGraph(
            graph=graph,
            dag=found.dag,
            objective=_objective(options, statistics, with_votes=False),
            score=found.score,
            dropped=statistics.dropped,
            by_nonlinearity=found.by_nonlinearity,
            notes=notes,
        )
    merged = merge(statistics, votes[0], knowledge, options)
    prior = None
    if options.vote_weight > 0.0:
        prior = options.vote_weight * vote_prior(votes[0], statistics.names)
    graph = _stable(statistics, knowledge, options, prior, study).annotate(merged.graph)
    return LearntGraph(
        graph=graph,
        dag=merged.dag,
        objective=_objective(options, statistics, with_votes=options.vote_weight > 0.0),
        score=merged.merged.score,
        votes=votes[0],
        disagreements=merged.disagreements,
        dropped=statistics.dropped,
        by_nonlinearity=merged.merged.by_nonlinearity,
        notes=_notes(study, statistics, merged.merged, merged.pooled, compared, options),
    )


def with_heterogeneity(
    found: LearntGraph, tests: tuple[Heterogeneity, ...], *, alpha: float
) -> LearntGraph:
    """The graph with the sites' differences along it, each a note."""
    notes = tuple(
        f"Sites differ in {h.label}: Cochran's Q = {h.q:.4g} over {h.num_sites} sites, "
        f"I^2 = {h.i_squared:.0%}; one mechanism for all is an average"
        for h in differing(tests, alpha=alpha)
    )
    return replace(found, heterogeneity=tests, notes=(*found.notes, *notes))


def with_replicates(
    study: Study,
    found: LearntGraph,
    statistics: BlockCovariance,
    replicates: Iterable[GramTotals],
    *,
    seed: int,
) -> LearntGraph:
    """The graph with the shares of the bootstrap graphs that hold each edge."""
    options, prior, drawn = options_of(study, seed), None, list[BlockCovariance]()
    for totals in replicates:
        with suppress(DataError):
            drawn.append(statistics_of(study, totals))
    if found.votes is not None and options.vote_weight > 0.0:
        prior = options.vote_weight * vote_prior(found.votes, statistics.names)
    sure = edge_probabilities(
        statistics, study.knowledge_base(), options, edge_prior=prior, replicates=drawn
    )
    note = (
        f"Edge probabilities are shares of {sure.num_resamples} bootstraps of the sites' rows"
        + (
            f" ({study.discovery.bootstrap} were wanted; more sums than that could be solved for "
            "records)"
            if sure.num_resamples < study.discovery.bootstrap
            else ""
        )
    )
    return replace(found, graph=sure.annotate(found.graph), notes=(*found.notes, note))


def tables_graph(study: Study, search: DiscretePC | TableSearch) -> LearntGraph:
    """What a finished search on contingency tables has found."""
    found, section = search.discovery(), study.discovery
    objective = f"PC on contingency tables, G2 tests at level {section.alpha:g}"
    if isinstance(search, TableSearch):
        score = "BDeu" if section.score == "bdeu" else "BIC"
        objective = f"{score} of contingency tables (penalty x {section.penalty:g})"
    return LearntGraph(
        graph=found.graph,
        dag=found.dag,
        objective=objective,
        score=found.score,
        notes=(*found.notes, NO_RESAMPLES),
    )


def given_graph(study: Study) -> LearntGraph:
    """The graph that the study fixes; nothing is learnt about it."""
    if study.knowledge.graph is None:
        raise StudyError("knowledge.graph: expected the text of a graph, got nothing")
    graph, knowledge = read_graph(study.knowledge.graph), study.knowledge_base()
    unknown = sorted(set(graph.nodes) - set(study.schema().names))
    if unknown:
        raise StudyError(f"knowledge.graph: {unknown[0]!r} is no variable of the study")
    if graph.kind == "pag":
        raise StudyError("knowledge.graph: expected a dag or a cpdag, got a pag")
    broken = knowledge.restrict(graph.nodes).violations(graph)
    if broken:
        raise StudyError(f"knowledge.graph: contradicts the study's knowledge: {broken[0]}")
    dag = graph if graph.kind == "dag" else extension(graph, knowledge.restrict(graph.nodes))
    return LearntGraph(graph=graph, dag=dag, objective="the graph was given with the study")


def _stable(
    statistics: BlockCovariance,
    knowledge: Knowledge,
    options: DiscoveryOptions,
    prior: Matrix | None,
    study: Study,
) -> EdgeProbabilities:
    return edge_probabilities(
        statistics, knowledge, options, edge_prior=prior, schema=study.schema()
    )


def _notes(
    study: Study,
    statistics: BlockCovariance,
    found: Discovery,
    pooled: Discovery,
    compared: BlockCovariance | None,
    options: DiscoveryOptions,
) -> tuple[str, ...]:
    """What the sums, the search and the other treatment of site effects have to say."""
    declared = study.discovery.site_effects
    if compared is None or declared == "pool":
        return (*statistics.notes, *found.notes)
    other = discover(compared, study.knowledge_base(), options).graph
    warned = compare_site_effects(declared, pooled.graph, other)
    return (*statistics.notes, *found.notes, *warned)


def _objective(options: DiscoveryOptions, statistics: BlockCovariance, *, with_votes: bool) -> str:
    if options.algorithm in ("pc", "fci"):
        name = options.algorithm.upper()
        return f"{name} on the pooled sums, tests at level {options.alpha:g}"
    if statistics.noise is not None:
        return (
            f"block BIC of the noisy sums (penalty x {options.penalty:g}), each family paying for "
            "the noise that it fits"
        )
    score = f"block BIC of the pooled sums (penalty x {options.penalty:g})"
    if options.algorithm == "order-search" and not statistics.is_linear:
        return f"the sparser of the best graphs by {score} and by BIC of additive regressions"
    if with_votes:
        return f"{score} plus {options.vote_weight:g} x the log-odds of the sites' votes"
    return score
