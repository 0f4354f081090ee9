"""From released totals to a graph with edge probabilities and the sites' disagreements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.local import decode_votes
from fedcausal.discovery.merge import Disagreement, merge, vote_prior
from fedcausal.discovery.options import Algorithm, DiscoveryOptions
from fedcausal.discovery.stability import EdgeProbabilities, edge_probabilities
from fedcausal.discovery.votes import Votes
from fedcausal.equivalence import extension
from fedcausal.errors import StudyError
from fedcausal.formats.reading import read_graph
from fedcausal.graph import Graph
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

Matrix = NDArray[np.float64]

__all__ = ["LearntGraph", "discover_graph", "given_graph", "options_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearntGraph:
    """The graph of a study and the model DAG that extends it.

    Attributes
    ----------
    graph
        The equivalence class, each edge with its probability.
    dag
        Its deterministic, knowledge-respecting extension.
    objective
        In words, what the graph is the best of.
    score
        Its value (0 for a given graph).
    votes, disagreements
        The sites' ballots and the pairs on which they differ from the pooled graph.
    dropped
        Features that were left out, with the reason.
    notes
        What a reader must know.
    """

    graph: Graph
    dag: Graph
    objective: str
    score: float = 0.0
    votes: Votes | None = None
    disagreements: tuple[Disagreement, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def options_of(study: Study, seed: int) -> DiscoveryOptions:
    """The discovery options of a study."""
    section = study.discovery
    return DiscoveryOptions(
        algorithm=cast(Algorithm, section.algorithm),
        alpha=section.alpha,
        penalty=section.penalty,
        restarts=section.restarts,
        bootstrap=section.bootstrap,
        vote_weight=section.vote_weight if votes_weigh(study) else 0.0,
        seed=seed,
    )


def votes_weigh(study: Study) -> bool:
    """Whether the sites' votes enter the objective, or are only reported.

    A constraint-based search has no score to add them to. In `pool` mode the study says that it
    does not matter who holds a row: then it must not matter for the graph either.
    """
    section = study.discovery
    return section.algorithm == "order-search" and section.site_effects != "pool"


def discover_graph(
    study: Study,
    statistics: BlockCovariance,
    *,
    ballots: Sequence[tuple[Request, Released]],
    num_sites: int,
    seed: int,
) -> LearntGraph:
    """Learn the graph from the pooled statistics and the votes, where there are any.

    Privacy: reads released totals only.
    """
    options, knowledge = options_of(study, seed), study.knowledge_base()
    votes = [decode_votes(study, request, total, num_sites) for request, total in ballots]
    if not votes:
        found = discover(statistics, knowledge, options)
        graph = _stable(statistics, knowledge, options, None, study).annotate(found.graph)
        return LearntGraph(
            graph=graph,
            dag=found.dag,
            objective=_objective(options, with_votes=False),
            score=found.score,
            dropped=statistics.dropped,
            notes=found.notes,
        )
    merged = merge(statistics, votes[0], knowledge, options)
    prior = None
    if options.vote_weight > 0.0:
        prior = options.vote_weight * vote_prior(votes[0], statistics.names)
    graph = _stable(statistics, knowledge, options, prior, study).annotate(merged.graph)
    return LearntGraph(
        graph=graph,
        dag=merged.dag,
        objective=_objective(options, with_votes=options.vote_weight > 0.0),
        score=merged.merged.score,
        votes=votes[0],
        disagreements=merged.disagreements,
        dropped=statistics.dropped,
        notes=merged.merged.notes,
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


def _objective(options: DiscoveryOptions, *, with_votes: bool) -> str:
    if options.algorithm == "pc":
        return f"PC on the pooled sums, tests at level {options.alpha:g}"
    score = f"block BIC of the pooled sums (penalty x {options.penalty:g})"
    if with_votes:
        return f"{score} plus {options.vote_weight:g} x the log-odds of the sites' votes"
    return score
