"""The one adapter to causal-learn: its searches, answered from released statistics alone.

No row is ever handed over: constraint-based searches ask a `KnownTest`, GES reads a covariance,
and BOSS asks a score. Graphs come back as matrices of marks in the order of the test's or score's
names; entry [i, j] is the mark at j (0 none, 1 tail, 2 arrow, 3 circle).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedcausal.graph import MARK_CODES, Mark

__all__ = [
    "IndependenceTest",
    "KnownTest",
    "LocalScore",
    "best_order",
    "fci_marks",
    "ges_marks",
    "parents_along",
    "pc_skeleton",
]

Marks = NDArray[np.int8]
Matrix = NDArray[np.float64]
LocalScore = Callable[[int, tuple[int, ...]], float]
SeparatingSets = dict[tuple[int, int], int]

# causal-learn's codes of an endpoint; its entry [i, j] is the mark at i.
ENDPOINTS: Mapping[int, Mark] = {-1: Mark.TAIL, 1: Mark.ARROW, 2: Mark.CIRCLE}


class IndependenceTest(Protocol):
    """What a search asks: the p-value of two variables given others, by index into `names`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The variables, in the order of all indices."""
        ...

    def p_value(self, first: int, second: int, given: Sequence[int] = ()) -> float:
        """The p-value; 1 where there is no evidence against independence."""
        ...


@dataclass(slots=True, kw_only=True)
class KnownTest:
    """An independence test in front of which knowledge answers.

    A pair that knowledge forbids in both directions is never tested; a required one is never
    tested away. Every test runs once.

    Attributes
    ----------
    test
        Answers what knowledge leaves open.
    allowed, required
        Per variable, the masks of its permitted and its required parents.
    is_evidence
        While a skeleton is sought, a forbidden pair is answered as independent; afterwards it is
        answered with NaN, so that knowledge is never taken for evidence about other edges.
    p_values
        (i, j, given), i < j -> the answer.
    """

    method = "block covariance"

    test: IndependenceTest
    allowed: Sequence[int]
    required: Sequence[int]
    is_evidence: bool = True
    p_values: dict[tuple[int, int, tuple[int, ...]], float] = field(default_factory=dict)

    def is_forbidden(self, i: int, j: int) -> bool:
        """Knowledge permits neither direction."""
        return not (self.allowed[i] >> j & 1 or self.allowed[j] >> i & 1)

    def is_required(self, i: int, j: int) -> bool:
        """Knowledge demands one of the directions."""
        return bool(self.required[i] >> j & 1 or self.required[j] >> i & 1)

    def __call__(self, x: int, y: int, given: Sequence[int]) -> float:
        """The p-value that causal-learn asks for."""
        i, j = sorted((int(x), int(y)))
        if self.is_forbidden(i, j):
            return 1.0 if self.is_evidence else float("nan")
        if self.is_required(i, j):
            return 0.0
        key = (i, j, tuple(sorted(map(int, given))))
        if key not in self.p_values:
            self.p_values[key] = self.test.p_value(*key)
        return self.p_values[key]


def pc_skeleton(
    test: KnownTest, num_variables: int, alpha: float
) -> tuple[list[tuple[int, int]], SeparatingSets]:
    """Adjacent pairs of PC-stable, and the masks that parted the pairs which a test parted."""
    from causallearn.utils.PCUtils.SkeletonDiscovery import skeleton_discovery

    found = skeleton_discovery(
        np.empty((0, num_variables)), alpha, test, stable=True, show_progress=False
    )
    adjacent, separating = list[tuple[int, int]](), SeparatingSets()
    for i in range(num_variables):
        for j in range(i + 1, num_variables):
            if found.G.graph[i, j] != 0:
                adjacent.append((i, j))
            elif not test.is_forbidden(i, j):
                sets = found.sepset[i, j] or ()
                separating[i, j] = _mask(int(k) for given in sets for k in given)
    return adjacent, separating


def fci_marks(test: KnownTest, num_variables: int, alpha: float) -> tuple[Marks, SeparatingSets]:
    """The marks of FCI's partial ancestral graph, and the masks that parted pairs.

    The steps are those of `causallearn.search.ConstraintBased.FCI.fci`; knowledge stands before
    the orientation rules, as an arrowhead at a variable that must not cause its neighbour and as
    a tail at one that must. No rule of causal-learn turns a mark that is not a circle.
    """
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.search.ConstraintBased import FCI
    from causallearn.utils.FAS import fas

    test.is_evidence = True
    data, question = np.zeros((num_variables, num_variables)), _question(test)
    nodes = [GraphNode(f"X{i}") for i in range(num_variables)]
    graph, sets, _ = fas(data, nodes, question, float(alpha), show_progress=False)
    apart = [pair for pair in sets if test.is_forbidden(*pair)]
    for pair in apart:
        del sets[pair]
    test.is_evidence = False
    _orient_colliders(graph, nodes, sets, test)
    FCI.removeByPossibleDsep(graph, question, alpha, sets)
    _orient_colliders(graph, nodes, sets, test)
    changed = True
    while changed:
        changed = FCI.rulesR1R2cycle(graph, None, False)
        changed = FCI.ruleR3(graph, sets, None, changed)
        if changed:
            changed = FCI.ruleR4B(graph, -1, data, question, alpha, sets, changed, None)
        for rule in (FCI.ruleR5, FCI.ruleR6, FCI.ruleR7):
            changed = rule(graph, changed)
        changed = FCI.rule10(graph, FCI.rule9(graph, nodes, FCI.rule8(graph, nodes, changed)))
    parted = {(int(i), int(j)): _mask(map(int, given)) for (i, j), given in sets.items()}
    separating = {
        (min(pair), max(pair)): mask
        for pair, mask in sorted(parted.items())
        if graph.graph[pair] == 0
    }
    return _marks(graph.graph), separating


def ges_marks(covariance: Matrix, num_records: float, penalty: float) -> Marks:
    """The marks of the class that GES finds with the Gaussian BIC of a covariance.

    Parameters
    ----------
    covariance
        (d, d), positive definite.
    num_records
        Effective records behind it.
    penalty
        Factor of the BIC penalty; 1 is BIC.
    """
    from causallearn.search.ScoreBased.GES import ges

    record = ges(
        score_func="local_score_BIC_from_cov",
        cov=covariance,
        n=num_records,
        lambda_value=0.5 * penalty,
    )
    return _marks(record["G"].graph)


def best_order(
    score: LocalScore, order: Sequence[int], *, seed: int, deadline: float | None = None
) -> tuple[list[int], float, bool]:
    """BOSS from one order: move single variables while the score of their families rises.

    Parameters
    ----------
    score
        Of a child given parents; higher is better, `-inf` never chosen.
    order
        Where to start.
    seed
        Of the sequence in which variables are tried.
    deadline
        A `time.monotonic` after which the search stops where it stands.

    Returns
    -------
    tuple
        The order, the score of its families, and whether the deadline cut the search short.
    """
    from causallearn.search.PermutationBased.BOSS import better_mutation

    trees, found = _trees(score, len(order)), list(order)
    rng, variables = np.random.default_rng(seed), list(range(len(order)))
    improved, late = True, False
    while improved and not late:
        improved = False
        for place in rng.permutation(len(variables)):
            improved |= bool(better_mutation(variables[place], found, trees))
            late = deadline is not None and monotonic() > deadline
            if late:
                break
    total = sum(float(trees[v].trace(found[:i])) for i, v in enumerate(found))
    return found, total, late


def parents_along(score: LocalScore, order: Sequence[int]) -> list[int]:
    """One mask of parents per variable: grow and shrink among those before it in the order."""
    trees, parents = _trees(score, len(order)), [0] * len(order)
    for place, child in enumerate(order):
        chosen: list[int] = []
        trees[child].trace(list(order[:place]), chosen)
        parents[child] = _mask(chosen)
    return parents


class _ScoreOfFamilies:
    """What causal-learn's grow-shrink trees ask of a score."""

    def __init__(self, score: LocalScore, num_variables: int) -> None:
        self.data = np.empty((0, num_variables))
        self.score_of = score
        self.known: dict[tuple[int, tuple[int, ...]], float] = {}

    def score_nocache(self, child: int, parents: Iterable[int]) -> float:
        key = (child, tuple(sorted(parents)))
        if key not in self.known:
            self.known[key] = self.score_of(*key)
        return self.known[key]


def _trees(score: LocalScore, num_variables: int) -> list[Any]:
    from causallearn.search.PermutationBased.gst import GST

    families = _ScoreOfFamilies(score, num_variables)
    return [GST(vertex, families) for vertex in range(num_variables)]


def _question(test: KnownTest) -> Any:
    """The test as the class that causal-learn insists on."""
    from causallearn.utils.cit import CIT_Base

    class Question(CIT_Base):  # type: ignore[misc]
        method = test.method

        def __init__(self) -> None:
            """Nothing to prepare: there are no data."""

        def __call__(self, x: int, y: int, given: Sequence[int] = ()) -> float:
            return test(x, y, given)

    return Question()


def _orient_colliders(graph: Any, nodes: list[Any], sets: Any, test: KnownTest) -> None:
    """Circles everywhere, then what knowledge marks, then rule 0 in causal-learn's order."""
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.search.ConstraintBased.FCI import reorientAllWith

    reorientAllWith(graph, Endpoint.CIRCLE)
    for i in range(len(nodes)):
        for j in range(len(nodes)):
            if graph.graph[i, j] != 0:
                if test.required[j] >> i & 1:
                    _put(graph, nodes[i], nodes[j], Endpoint.TAIL)
                elif not test.allowed[j] >> i & 1:
                    _put(graph, nodes[i], nodes[j], Endpoint.ARROW)
    for middle, b in enumerate(nodes):
        around = [graph.node_map[node] for node in graph.get_adjacent_nodes(b)]
        for place, first in enumerate(around):
            for last in around[place + 1 :]:
                given = sets.get((first, last))
                if graph.graph[first, last] != 0 or given is None or middle in given:
                    continue
                if -1 not in (graph.graph[middle, first], graph.graph[middle, last]):
                    _put(graph, b, nodes[first], Endpoint.ARROW)
                    _put(graph, b, nodes[last], Endpoint.ARROW)


def _put(graph: Any, at: Any, other: Any, mark: Any) -> None:
    """Change the mark at one end of an edge."""
    from causallearn.graph.Edge import Edge

    edge = graph.get_edge(at, other)
    kept = edge.get_proximal_endpoint(other)
    graph.remove_edge(edge)
    graph.add_edge(Edge(at, other, mark, kept))


def _marks(endpoints: NDArray[np.int64]) -> Marks:
    marks = np.zeros(endpoints.shape, dtype=np.int8)
    for code, mark in ENDPOINTS.items():
        marks[code == endpoints.T] = MARK_CODES[mark]
    return marks


def _mask(members: Iterable[int]) -> int:
    mask = 0
    for member in members:
        mask |= 1 << member
    return mask
