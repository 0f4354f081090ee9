"""The graph that a plan is made for: the one given, or a nominal one."""

import itertools
from dataclasses import dataclass

from fedcausal.study import Study
from fedcausal.study_file.sections import EffectQuery

__all__ = ["AssumedGraph", "assumed_graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedGraph:
    """Variables and (parent, child) pairs of a model that is not fitted yet."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


def assumed_graph(study: Study, query: EffectQuery | None = None) -> AssumedGraph:
    """The study's own graph, where it gives one; else a chain of its variables.

    With a query the chain begins with another variable, the treatment and the outcome, and the
    first is a cause of both: the least that an effect has to be adjusted for.

    Assumptions: a learnt graph has about as many edges as variables.
    """
    if study.knowledge.graph is not None:
        # The steps of a study import what is private about them.
        from fedcausal.steps.graph import given_graph

        dag = given_graph(study).model_dag()
        return AssumedGraph(nodes=dag.nodes, edges=dag.directed_edges)
    names = study.schema().names
    if query is None:
        return AssumedGraph(nodes=names, edges=tuple(itertools.pairwise(names)))
    asked = (query.treatment, query.outcome)
    others = tuple(name for name in names if name not in asked)
    edges = tuple(itertools.pairwise((*others[:1], *asked, *others[1:])))
    confounding = tuple((name, query.outcome) for name in others[:1])
    return AssumedGraph(nodes=names, edges=edges + confounding)
