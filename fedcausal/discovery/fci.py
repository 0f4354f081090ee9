"""FCI on block covariances: a partial ancestral graph that admits latent confounders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.causal_learn import IndependenceTest, KnownTest, fci_marks
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.pc import named_sets
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import is_ancestral
from fedcausal.errors import KnowledgeError
from fedcausal.graph import MARK_CODES, Edge, Graph, Mark
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.independence import BlockTest

__all__ = ["FciPattern", "contradictions", "fci", "fci_pattern"]

CODES: Mapping[int, Mark] = {code: mark for mark, code in MARK_CODES.items()}
CONTRADICTED = (
    "fci: the tests contradict each other: an arrowhead says that a variable is no cause of "
    "another, but a path of tails says that it is; read the marks with care"
)
WEAKENED = (
    "fci: tests and knowledge together would make a later variable a cause of an earlier one; the "
    "tails on that path are left open"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FciPattern:
    """What FCI found: the graph, the sets that parted pairs, by mask, and the tests done."""

    graph: Graph
    separating_sets: Mapping[tuple[int, int], int]
    num_tests: int
    is_weakened: bool


def fci(statistics: BlockCovariance, knowledge: Knowledge, options: DiscoveryOptions) -> Discovery:
    """FCI, its tests answered from the released covariance; the result is a PAG.

    A mark is the same in every ancestral graph that fits: an arrowhead says "not a cause of the
    other end", a tail "a cause of it", a circle that both occur. Knowledge is a mark from the
    start: forbidden a -> b puts an arrowhead at a (they may still share a hidden cause); forbidden
    in both directions parts the pair without a test; a required edge is a -> b; between tiers the
    later end has an arrowhead.

    Parameters
    ----------
    statistics
        Block covariances.
    knowledge
        About exactly the variables of the statistics.
    options
        Uses `alpha`.

    Raises
    ------
    KnowledgeError
        When the marks cannot honour the knowledge.

    Assumptions: faithfulness, dependence that block covariances express; latent confounders and
    selection are allowed. Privacy: reads released totals only.

    References
    ----------
    Spirtes, Glymour and Scheines (2000), Causation, prediction, and search. Zhang (2008), On the
    completeness of orientation rules for causal discovery in the presence of latent confounders
    and selection bias, Artificial Intelligence 172.
    """
    started = monotonic()
    names = tuple(sorted(statistics.names))
    found = fci_pattern(BlockTest.from_covariance(statistics, names), knowledge, options.alpha)
    notes = [WEAKENED] if found.is_weakened else []
    if not is_ancestral(found.graph):
        notes.append(CONTRADICTED)
    return Discovery(
        graph=Graph(kind="pag", nodes=statistics.names, edges=found.graph.edges),
        dag=None,
        algorithm="fci",
        score=0.0,
        num_tests=found.num_tests,
        separating_sets=named_sets(statistics.names, names, found.separating_sets),
        notes=tuple(notes),
        seconds=monotonic() - started,
    )


def fci_pattern(test: IndependenceTest, knowledge: Knowledge, alpha: float) -> FciPattern:
    """Run FCI with one test, over the test's variables; see `fci`."""
    names = test.names
    known = KnownTest(
        test=test,
        allowed=knowledge.allowed_parents(names),
        required=knowledge.required_parents(names),
    )
    marks, separating = fci_marks(known, len(names), alpha)
    graph = graph_of_marks(names, marks)
    weakened = graph if knowledge.is_empty else _without_causes_of_the_past(graph, knowledge)
    broken = contradictions(weakened, knowledge)
    if broken:
        raise KnowledgeError(f"knowledge cannot be honoured by fci: {broken[0]}")
    return FciPattern(
        graph=weakened,
        separating_sets=separating,
        num_tests=len(known.p_values),
        is_weakened=weakened != graph,
    )


def graph_of_marks(names: tuple[str, ...], marks: NDArray[np.int8]) -> Graph:
    """The PAG of a matrix whose entry [i, j] is the mark at j on i *-* j."""
    edges = tuple(
        Edge(
            source=names[i],
            target=names[j],
            source_mark=CODES[int(marks[j, i])],
            target_mark=CODES[int(marks[i, j])],
        )
        for i, j in np.argwhere(np.triu(marks, 1)).tolist()
    )
    return Graph(kind="pag", nodes=names, edges=edges)


def contradictions(pag: Graph, knowledge: Knowledge) -> list[str]:
    """What in a PAG goes against the knowledge, as sentences; empty when nothing does.

    An edge that knowledge permits in one direction only has an arrowhead at the end that must not
    cause the other; required edges are directed; no directed path leads to an earlier tier.
    """
    found = knowledge.violations(pag)
    for edge in [*pag.edges, *(edge.reversed() for edge in pag.edges)]:
        first, second = edge.source, edge.target
        if not knowledge.allows_pair(first, second):
            found.append(f"{first} and {second} must not be joined")
        elif not knowledge.allows(first, second) and edge.source_mark is not Mark.ARROW:
            found.append(f"{first} -> {second} is forbidden, but {first} {edge.sign} {second}")
    return found


def _without_causes_of_the_past(pag: Graph, knowledge: Knowledge) -> Graph:
    """Leave open (circle for tail) what no required edge fixes on a path against the tiers."""
    while True:
        against = knowledge.causes_of_the_past(pag)
        if not against:
            return pag
        late, early = against[0]
        reached = pag.descendants(late) | {late}
        above = pag.ancestors(early) | {early}
        open_ends = {
            (a, b)
            for a, b in pag.directed_edges
            if a in reached and b in above and not knowledge.requires(a, b)
        }
        pag = _opened(pag, open_ends)


def _opened(pag: Graph, pairs: Iterable[tuple[str, str]]) -> Graph:
    chosen = set(pairs)
    edges = tuple(
        replace(edge, source_mark=Mark.CIRCLE) if (edge.source, edge.target) in chosen else edge
        for edge in pag.edges
    )
    return Graph(kind="pag", nodes=pag.nodes, edges=edges)
