"""GES on the released covariance, its result made to honour background knowledge."""

from time import monotonic

import numpy as np

from fedcausal.discovery.boss import known_score, order_within
from fedcausal.discovery.causal_learn import ges_marks, parents_along
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import extension, graph_of_pdag, meek_closure
from fedcausal.errors import GraphError, InputError
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.pdag import class_of
from fedcausal.scores.independence import RIDGE
from fedcausal.scores.score import BlockScore

__all__ = ["ges"]

REPAIRED = (
    "ges: the class of highest score contradicts the knowledge; its order of variables was "
    "changed as little as the knowledge asks, and every variable's parents were chosen again "
    "among those before it by the same score"
)


def ges(statistics: BlockCovariance, knowledge: Knowledge, options: DiscoveryOptions) -> Discovery:
    """Greedy equivalence search with the Gaussian BIC of the released covariance.

    causal-learn's search knows no background knowledge and scores every pair. Where its result
    contradicts the knowledge, the graph is made again along an order that honours it, with no
    forbidden family scored, and a note says so.

    Parameters
    ----------
    statistics
        Covariances with one feature per variable.
    knowledge
        About exactly the variables of the statistics.
    options
        Uses `penalty`.

    Raises
    ------
    InputError
        When a variable has several features: causal-learn's GES takes no score of blocks.

    Assumptions: no latent confounding, faithfulness, linear dependence, Gaussian noise.
    Privacy: reads released totals only.

    References
    ----------
    Chickering (2002), Optimal structure identification with greedy search, JMLR 3.
    """
    started = monotonic()
    wide = [name for name in statistics.names if len(statistics.blocks[name]) > 1]
    if wide:
        raise InputError(
            f'discovery.algorithm: "ges" takes one feature per variable, but {wide} have several '
            f'(levels or a polynomial basis); write algorithm = "order-search" or "boss"'
        )
    names = tuple(sorted(statistics.names))
    columns = [statistics.blocks[name][0] for name in names]
    covariance = statistics.covariance[np.ix_(columns, columns)] + RIDGE * np.eye(len(names))
    marks = ges_marks(covariance, statistics.records(names), options.penalty)
    score = BlockScore.from_covariance(statistics, penalty=options.penalty, names=names)
    found = Graph.cpdag(
        names,
        [(names[i], names[j]) for i, j in np.argwhere(marks == 2).tolist()],
        [(names[i], names[j]) for i, j in np.argwhere((marks == 1) & (marks.T == 1)) if i < j],
    )
    honoured = _honoured(found, knowledge)
    repaired = honoured is None
    if honoured is None:
        honoured = _along_order(found, knowledge, score)
    graph = Graph(kind="cpdag", nodes=statistics.names, edges=honoured.edges)
    dag = extension(graph, knowledge)
    place = names.index
    return Discovery(
        graph=graph,
        dag=dag,
        algorithm="ges",
        score=sum(score.local(place(c), [place(p) for p in dag.parents(c)]) for c in names),
        notes=(REPAIRED,) if repaired else (),
        seconds=monotonic() - started,
    )


def _honoured(found: Graph, knowledge: Knowledge) -> Graph | None:
    """The class restricted to the members that honour the knowledge; None when none does."""
    try:
        graph = meek_closure(found, knowledge)
        dag = extension(graph, knowledge)
    except GraphError:
        return None
    broken = knowledge.violations(graph) or knowledge.violations(dag)
    return None if broken else graph


def _along_order(found: Graph, knowledge: Knowledge, score: BlockScore) -> Graph:
    names = score.names
    wanted = [names.index(name) for name in extension(found).topological_order()]
    order = order_within(wanted, knowledge.predecessors(names))
    parents = parents_along(known_score(score, knowledge), order)
    return graph_of_pdag(names, class_of(parents, knowledge.allowed_parents(names)))
