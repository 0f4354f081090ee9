"""Distances between an estimated graph and a known one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.equivalence import cpdag_of
from fedcausal.errors import GraphError
from fedcausal.graph import MARK_CODES, Graph, Mark

__all__ = ["Agreement", "arrowhead_agreement", "skeleton_agreement", "structural_hamming_distance"]


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
    if set(estimate.nodes) != set(truth.nodes):
        differing = sorted(set(estimate.nodes) ^ set(truth.nodes))
        raise GraphError(f"graphs over the same variables can be compared; {differing} differ")
    graphs = [cpdag_of(g) if g.kind == "dag" else g for g in (estimate, truth)]
    order = [truth.index(name) for name in estimate.nodes]
    return graphs[0].marks(), graphs[1].marks()[np.ix_(order, order)]


def _agreement(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Agreement:
    shared = float((ours & theirs).sum())
    if not ours.any() and not theirs.any():
        return Agreement(precision=1.0, recall=1.0)
    return Agreement(
        precision=shared / max(float(ours.sum()), 1.0),
        recall=shared / max(float(theirs.sum()), 1.0),
    )
