"""Distances between an estimated graph and a known one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.equivalence import cpdag_of, extension
from fedcausal.errors import GraphError
from fedcausal.graph import MARK_CODES, Graph, Mark

__all__ = [
    "AdjustmentDistance",
    "Agreement",
    "Strategy",
    "adjustment_distance",
    "arrowhead_agreement",
    "skeleton_agreement",
    "structural_hamming_distance",
]

Strategy = Literal["ancestor", "parent", "oset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Precision, recall and their harmonic mean; all are 1 when both graphs have nothing."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentDistance:
    """Ordered pairs whose effect the estimate would identify wrongly: their number and share."""

    mistakes: int
    share: float


def adjustment_distance(
    estimate: Graph, truth: Graph, *, strategy: Strategy = "ancestor"
) -> AdjustmentDistance:
    """How many causal effects come out wrong when the estimate chooses what to adjust for.

    For every ordered pair the estimate names an adjustment set (or says that there is no effect,
    or that it cannot tell); the set is verified in the truth. A DAG is taken as it is, not as its
    class; between DAGs the strategy `parent` is the structural intervention distance. Not
    symmetric.

    Parameters
    ----------
    estimate, truth
        DAGs or CPDAGs over the same variables.
    strategy
        Which set the estimate names: all ancestors of the treatment, its parents, or the optimal
        one.

    Raises
    ------
    GraphError
        For a PAG, or a partially directed graph that is not the class of a DAG (one that knowledge
        has oriented further): take one member by `equivalence.extension`.

    References
    ----------
    Henckel, Würtzen and Weichwald (2024), Adjustment identification distance, UAI,
    arXiv:2402.08616. Peters and Bühlmann (2015), Neural Computation 27.

    Examples
    --------
    >>> truth = Graph.dag("abc", [("a", "b"), ("b", "c")])
    >>> adjustment_distance(Graph.dag("abc", [("b", "a"), ("b", "c")]), truth).mistakes
    3
    """
    import gadjid

    distances = {
        "ancestor": gadjid.ancestor_aid,
        "parent": gadjid.parent_aid,
        "oset": gadjid.oset_aid,
    }
    if strategy not in distances:
        raise GraphError(f"expected a strategy of {tuple(distances)}, got {strategy!r}")
    _check_variables(estimate, truth)
    order = [estimate.index(name) for name in truth.nodes]
    guess = _adjacency(estimate)[np.ix_(order, order)]
    share, mistakes = distances[strategy](
        _adjacency(truth), guess, edge_direction="from row to column"
    )
    return AdjustmentDistance(mistakes=int(mistakes), share=float(share))


def _adjacency(graph: Graph) -> NDArray[np.int8]:
    """Entry [i, j]: 1 for i -> j, 2 for i -- j, said once."""
    if graph.kind == "pag":
        raise GraphError("an adjustment distance compares DAGs and CPDAGs, got a pag")
    if graph.kind == "cpdag" and cpdag_of(extension(graph)) != _bare(graph):
        raise GraphError(
            "an adjustment distance needs the class of a DAG, got one that knowledge has oriented "
            "further; take one member by equivalence.extension"
        )
    matrix = np.zeros((len(graph.nodes), len(graph.nodes)), dtype=np.int8)
    for edge in graph.edges:
        code = 1 if edge.is_directed else 2
        matrix[graph.index(edge.source), graph.index(edge.target)] = code
    return matrix


def _bare(graph: Graph) -> Graph:
    """The graph without its probabilities."""
    return Graph.cpdag(graph.nodes, graph.directed_edges, graph.undirected_edges)


def structural_hamming_distance(estimate: Graph, truth: Graph) -> int:
    """Number of pairs whose edge differs between the two equivalence classes.

    A DAG is replaced by its class first: an edge that no observation can orient is no error.

    References
    ----------
    Tsamardinos, Brown and Aliferis (2006), Machine Learning 65.

    Examples
    --------
    >>> chain = Graph.dag("abc", [("a", "b"), ("b", "c")])
    >>> structural_hamming_distance(Graph.dag("abc", [("c", "b"), ("b", "a")]), chain)
    0
    """
    ours, theirs = _marks(estimate, truth)
    differs = ours != theirs
    return int(np.triu(differs | differs.T, 1).sum())


def skeleton_agreement(estimate: Graph, truth: Graph) -> Agreement:
    """Agreement of the joined pairs, whatever their marks."""
    ours, theirs = _marks(estimate, truth)
    return _agreement(np.triu(ours > 0, 1), np.triu(theirs > 0, 1))


def arrowhead_agreement(estimate: Graph, truth: Graph) -> Agreement:
    """Agreement of the arrowheads of the two equivalence classes."""
    ours, theirs = _marks(estimate, truth)
    arrow = MARK_CODES[Mark.ARROW]
    return _agreement(ours == arrow, theirs == arrow)


def _marks(estimate: Graph, truth: Graph) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    _check_variables(estimate, truth)
    graphs = [cpdag_of(g) if g.kind == "dag" else g for g in (estimate, truth)]
    order = [truth.index(name) for name in estimate.nodes]
    return graphs[0].marks(), graphs[1].marks()[np.ix_(order, order)]


def _check_variables(estimate: Graph, truth: Graph) -> None:
    if set(estimate.nodes) != set(truth.nodes):
        differing = sorted(set(estimate.nodes) ^ set(truth.nodes))
        raise GraphError(f"graphs over the same variables can be compared; {differing} differ")


def _agreement(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Agreement:
    shared = float((ours & theirs).sum())
    if not ours.any() and not theirs.any():
        return Agreement(precision=1.0, recall=1.0)
    return Agreement(
        precision=shared / max(float(ours.sum()), 1.0),
        recall=shared / max(float(theirs.sum()), 1.0),
    )
