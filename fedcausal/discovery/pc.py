"""PC-stable on block covariances: skeleton by causal-learn, orientation with knowledge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from fedcausal.discovery.causal_learn import IndependenceTest, KnownTest, pc_skeleton
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import extension, graph_of_pdag, last_first
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.pdag import Pdag, apply_knowledge, bits, class_of, close, extend
from fedcausal.scores.independence import BlockTest
from fedcausal.scores.score import BlockScore

__all__ = ["REPAIRED", "PcPattern", "named_sets", "oriented", "pc", "pc_pattern"]

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
        separating_sets=named_sets(statistics.names, names, pattern.separating_sets),
        notes=(REPAIRED,) if pattern.is_repaired else (),
        seconds=monotonic() - started,
    )


def pc_pattern(test: IndependenceTest, knowledge: Knowledge, alpha: float) -> PcPattern:
    """Run PC-stable with one test; see `pc`."""
    names = test.names
    allowed = knowledge.allowed_parents(names)
    answers = KnownTest(test=test, allowed=allowed, required=knowledge.required_parents(names))
    skeleton, separating = pc_skeleton(answers, len(names), alpha)
    return oriented(names, skeleton, separating, knowledge, num_tests=len(answers.p_values))


def oriented(
    names: tuple[str, ...],
    skeleton: Sequence[tuple[int, int]],
    separating: Mapping[tuple[int, int], int],
    knowledge: Knowledge,
    *,
    num_tests: int,
) -> PcPattern:
    """Orient a skeleton by colliders, knowledge and Meek's rules; contradictions are repaired.

    `separating` maps (i, j), i < j, of the pairs that a test parted to the mask that did.
    """
    allowed = knowledge.allowed_parents(names)
    pdag = Pdag.from_edges(len(names), (), skeleton)
    apply_knowledge(pdag, allowed)
    known = pdag.copy()
    _orient_colliders(pdag, separating, allowed)
    close(pdag)
    ranks = last_first(names, knowledge)
    before = knowledge.predecessors(names)
    found = extend(pdag, ranks, before)
    parents = found or _acyclic_parents(before, known, pdag, ranks[::-1])
    return PcPattern(
        pdag=class_of(parents, allowed),
        parents=parents,
        is_repaired=found is None,
        separating_sets=separating,
        num_tests=num_tests,
    )


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
    predecessors: Sequence[int], known: Pdag, pdag: Pdag, ranks: Sequence[int]
) -> list[int]:
    """A DAG on the skeleton: predecessors first, then what knowledge, then what tests direct.

    A direction that would close a cycle is skipped; where knowledge forbids the other one, the
    edge goes. Edges without a direction follow one order that fits the rest.
    """
    num_variables = len(pdag.to)
    kept, adjacent = list(predecessors), [pdag.adjacent(i) for i in range(num_variables)]
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


def named_sets(
    nodes: tuple[str, ...], names: tuple[str, ...], sets: Mapping[tuple[int, int], int]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Separating sets by name, in schema order, from masks over `names`."""
    place = nodes.index
    named = {}
    for (i, j), given in sets.items():
        first, second = sorted((names[i], names[j]), key=place)
        named[first, second] = tuple(sorted((names[k] for k in bits(given)), key=place))
    return dict(sorted(named.items(), key=lambda item: tuple(map(place, item[0]))))
