"""PC-stable on block covariances: skeleton by causal-learn, orientation with knowledge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np

from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import extension, graph_of_pdag, last_first
from fedcausal.graph import Graph
from fedcausal.independence import BlockTest
from fedcausal.pdag import Pdag, apply_knowledge, bits, class_of, close, extend
from fedcausal.score import BlockScore

__all__ = ["PcPattern", "pc", "pc_pattern"]

REPAIRED = (
    "pc: the tests contradict each other or the knowledge (together they allow no acyclic graph); "
    "arrowheads that would close a cycle were dropped, and the rest was oriented along one order"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PcPattern:
    """What PC found, over the variables of the test.

    `parents` are those of a DAG in the class `pdag`; `is_repaired` says that the tests
    contradicted each other or the knowledge.
    `separating_sets` maps (i, j), i < j, to the mask that parted them.
    """

    pdag: Pdag
    parents: list[int]
    is_repaired: bool
    separating_sets: Mapping[tuple[int, int], int]
    num_tests: int


def pc(statistics: BlockCovariance, knowledge: Knowledge, options: DiscoveryOptions) -> Discovery:
    """PC-stable, its tests answered from the released covariance.

    A pair that knowledge forbids is never tested, and never taken as evidence for a collider; a
    required edge is never tested away. Unshielded triples are oriented in name order and an
    oriented edge is not turned again; contradictions are repaired, and noted.

    Parameters
    ----------
    statistics
        Block covariances.
    knowledge
        About exactly the variables of the statistics.
    options
        Uses `alpha`; `penalty` only to report a score.

    Assumptions: no latent confounding, faithfulness, dependence that block covariances express.

    References
    ----------
    Spirtes, Glymour and Scheines (2000), Causation, prediction, and search. Colombo and Maathuis
    (2014), Order-independent constraint-based causal structure learning, JMLR 15.
    """
    started = monotonic()
    names = tuple(sorted(statistics.names))
    pattern = pc_pattern(BlockTest.from_covariance(statistics, names), knowledge, options.alpha)
    by_name = graph_of_pdag(names, pattern.pdag)
    graph = Graph(kind="cpdag", nodes=statistics.names, edges=by_name.edges)
    score = BlockScore.from_covariance(statistics, penalty=options.penalty, names=names)
    return Discovery(
        graph=graph,
        dag=extension(graph, knowledge),
        algorithm="pc",
        score=sum(score.local(c, list(bits(mask))) for c, mask in enumerate(pattern.parents)),
        num_tests=pattern.num_tests,
        separating_sets=_named_sets(statistics.names, names, pattern.separating_sets),
        notes=(REPAIRED,) if pattern.is_repaired else (),
        seconds=monotonic() - started,
    )


def pc_pattern(test: BlockTest, knowledge: Knowledge, alpha: float) -> PcPattern:
    """Run PC-stable with one test; see `pc`."""
    names = test.names
    allowed = knowledge.allowed_parents(names)
    answers = _Answers(test, allowed, knowledge.required_parents(names))
    skeleton, separating = _skeleton(answers, len(names), alpha)
    pdag = Pdag.from_edges(len(names), (), skeleton)
    apply_knowledge(pdag, allowed)
    known = pdag.copy()
    _orient_colliders(pdag, separating, allowed)
    close(pdag)
    ranks = last_first(names, knowledge)
    found = extend(pdag, ranks)
    parents = found or _acyclic_parents(answers.required, known, pdag, ranks[::-1])
    return PcPattern(
        pdag=class_of(parents, allowed),
        parents=parents,
        is_repaired=found is None,
        separating_sets=separating,
        num_tests=len(answers.p_values),
    )


class _Answers:
    """Answers causal-learn's questions from the block test; knowledge answers first."""

    method = "block covariance"

    def __init__(self, test: BlockTest, allowed: list[int], required: list[int]) -> None:
        self.test = test
        self.allowed = allowed
        self.required = required
        self.p_values: dict[tuple[int, int, tuple[int, ...]], float] = {}

    def is_forbidden(self, i: int, j: int) -> bool:
        """Knowledge permits neither direction."""
        return not (self.allowed[i] >> j & 1 or self.allowed[j] >> i & 1)

    def __call__(self, x: int, y: int, given: Sequence[int]) -> float:
        i, j = sorted((int(x), int(y)))
        if self.is_forbidden(i, j):
            return 1.0
        if self.required[i] >> j & 1 or self.required[j] >> i & 1:
            return 0.0
        key = (i, j, tuple(sorted(map(int, given))))
        if key not in self.p_values:
            self.p_values[key] = self.test.p_value(*key)
        return self.p_values[key]


def _skeleton(
    answers: _Answers, num_variables: int, alpha: float
) -> tuple[list[tuple[int, int]], dict[tuple[int, int], int]]:
    """Adjacent pairs, and the separating sets of the pairs that a test parted."""
    from causallearn.utils.PCUtils.SkeletonDiscovery import skeleton_discovery

    found = skeleton_discovery(
        np.empty((0, num_variables)), alpha, answers, stable=True, show_progress=False
    )
    adjacent, separating = list[tuple[int, int]](), dict[tuple[int, int], int]()
    for i in range(num_variables):
        for j in range(i + 1, num_variables):
            if found.G.graph[i, j] != 0:
                adjacent.append((i, j))
            elif not answers.is_forbidden(i, j):
                sets = found.sepset[i, j] or ()
                separating[i, j] = sum(1 << k for k in {int(k) for given in sets for k in given})
    return adjacent, separating


def _orient_colliders(
    pdag: Pdag, separating: Mapping[tuple[int, int], int], allowed: Sequence[int]
) -> None:
    """Unshielded x - y - z with y outside what parted x and z become x -> y <- z."""
    for y in range(len(pdag.to)):
        around = list(bits(pdag.adjacent(y)))
        for x in around:
            for z in around:
                given = separating.get((x, z)) if x < z else None
                if given is None or given >> y & 1:
                    continue
                ends = 1 << x | 1 << z
                if ends & ~allowed[y] or pdag.children(y) & ends:
                    continue
                pdag.orient(x, y)
                pdag.orient(z, y)


def _acyclic_parents(
    required: Sequence[int], known: Pdag, pdag: Pdag, ranks: Sequence[int]
) -> list[int]:
    """A DAG on the skeleton: required edges, then what knowledge, then what tests direct.

    A direction that would close a cycle is skipped; where knowledge forbids the other one, the
    edge goes. Edges without a direction follow one order that fits the rest.
    """
    num_variables = len(pdag.to)
    kept, adjacent = list(required), [pdag.adjacent(i) for i in range(num_variables)]
    for source in (known, pdag):
        for child in range(num_variables):
            for parent in bits(source.parents(child) & adjacent[child] & ~kept[child]):
                if not _reaches(kept, parent, child):
                    kept[child] |= 1 << parent
                elif source is known:
                    adjacent[child] &= ~(1 << parent)
                    adjacent[parent] &= ~(1 << child)
    order = list[int]()
    while len(order) < num_variables:
        done = sum(1 << i for i in order)
        order.append(next(i for i in ranks if not done >> i & 1 and not kept[i] & ~done))
    before, parents = 0, [0] * num_variables
    for child in order:
        parents[child] = adjacent[child] & before
        before |= 1 << child
    return parents


def _reaches(parents: Sequence[int], descendant: int, ancestor: int) -> bool:
    """Is `ancestor` at or above `descendant`."""
    seen, frontier = 0, 1 << descendant
    while frontier & ~seen:
        seen |= frontier
        for i in bits(frontier):
            frontier |= parents[i]
    return bool(seen >> ancestor & 1)


def _named_sets(
    nodes: tuple[str, ...], names: tuple[str, ...], sets: Mapping[tuple[int, int], int]
) -> dict[tuple[str, str], tuple[str, ...]]:
    place = nodes.index
    named = {}
    for (i, j), given in sets.items():
        first, second = sorted((names[i], names[j]), key=place)
        named[first, second] = tuple(sorted((names[k] for k in bits(given)), key=place))
    return dict(sorted(named.items(), key=lambda item: tuple(map(place, item[0]))))
