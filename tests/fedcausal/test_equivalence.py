"""Markov equivalence against brute force over every DAG with four nodes."""

from functools import cache
from itertools import combinations, pairwise, permutations, product

import numpy as np
import pytest

from fedcausal.discovery.fci import fci_pattern
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.equivalence import (
    cpdag_of,
    extension,
    is_ancestral,
    is_d_separated,
    is_m_separated,
    mag_of,
    meek_closure,
)
from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, Mark

NODES = ("a", "b", "c", "d")


@cache
def all_dags():
    pairs = list(combinations(NODES, 2))
    dags = []
    for choice in product((None, 0, 1), repeat=len(pairs)):
        edges = [
            pair if way == 0 else pair[::-1]
            for pair, way in zip(pairs, choice, strict=True)
            if way is not None
        ]
        try:
            dags.append(Graph.dag(NODES, edges))
        except GraphError:
            continue
    return tuple(dags)


def colliders(dag):
    return frozenset(
        (frozenset((a, b)), child)
        for child in dag.nodes
        for a, b in combinations(dag.parents(child), 2)
        if not dag.adjacent(a, b)
    )


@cache
def classes():
    """Verma and Pearl: equivalent means same skeleton, same unshielded colliders."""
    found = {}
    for dag in all_dags():
        found.setdefault((dag.skeleton(), colliders(dag)), []).append(dag)
    return found


def union_of(members):
    """Directed where all members agree, undirected elsewhere."""
    directed = set.intersection(*(set(dag.directed_edges) for dag in members))
    undirected = [
        (a, b)
        for a, b in members[0].skeleton()
        if (a, b) not in directed and (b, a) not in directed
    ]
    return Graph.cpdag(NODES, directed, undirected)


def random_knowledge(rng, dag):
    """Knowledge that the DAG honours: tiers along its order, some edges required or forbidden."""
    order = dag.topological_order()
    cut = sorted(rng.choice(len(order) + 1, size=2))
    present = dag.directed_edges
    absent = [e for e in permutations(dag.nodes, 2) if e not in present]
    return Knowledge(
        nodes=dag.nodes,
        tiers=(order[: cut[0]], order[cut[0] : cut[1]], order[cut[1] :])
        if rng.random() < 0.5
        else (),
        required=tuple(e for e in present if rng.random() < 0.2),
        forbidden=tuple(e for e in absent if rng.random() < 0.2),
    )


def test_there_are_543_dags_in_185_classes():
    assert len(all_dags()) == 543
    assert len(classes()) == 185


def test_cpdag_is_the_union_of_its_class():
    for members in classes().values():
        expected = union_of(members)
        assert all(cpdag_of(dag) == expected for dag in members)


def test_cpdag_with_knowledge_is_the_union_of_the_members_that_honour_it():
    rng = np.random.default_rng(0)
    for dag in all_dags():
        knowledge = random_knowledge(rng, dag)
        members = [
            other
            for other in classes()[dag.skeleton(), colliders(dag)]
            if not knowledge.violations(other)
        ]
        graph = cpdag_of(dag, knowledge)
        assert graph == union_of(members)
        assert not knowledge.violations(graph)
        assert meek_closure(cpdag_of(dag), knowledge) == graph
        assert extension(cpdag_of(dag), knowledge) in members


def test_extension_is_a_member_and_the_class_of_it_is_the_graph():
    for members in classes().values():
        graph = cpdag_of(members[0])
        assert extension(graph) in members
        assert cpdag_of(extension(graph)) == graph


def test_extension_prefers_earlier_tiers_then_schema_order():
    chain = Graph.cpdag("abc", undirected=[("a", "b"), ("b", "c")])
    assert extension(chain).directed_edges == (("a", "b"), ("b", "c"))
    tiers = Knowledge(nodes=("a", "b", "c"), tiers=(("c",), ("b",), ("a",)))
    assert extension(chain, tiers).directed_edges == (("b", "a"), ("c", "b"))


def test_extension_keeps_tiers_apart_by_way_of_free_variables():
    path = Graph.cpdag("abcd", undirected=[("b", "c"), ("a", "c"), ("a", "b")])
    tiers = Knowledge(nodes=tuple("abcd"), tiers=(("b",), ("a",)), required=(("c", "b"),))
    found = extension(path, tiers)
    assert set(found.directed_edges) == {("c", "b"), ("c", "a"), ("b", "a")}
    against = Knowledge(nodes=("a", "b", "c"), tiers=(("b",), ("a",)))
    forced = Graph.cpdag("abc", directed=[("a", "c"), ("c", "b")])
    with pytest.raises(GraphError, match="no consistent extension"):
        extension(forced, against)


def test_a_graph_without_members_is_an_error():
    square = Graph.cpdag("abcd", undirected=[("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    with pytest.raises(GraphError, match="no consistent extension"):
        extension(square)


def open_paths_exist(dag, a, b, given):
    """d-separation by its definition: every path of the skeleton, judged node by node."""
    for size in range(len(dag.nodes) - 1):
        for middle in permutations([n for n in dag.nodes if n not in (a, b)], size):
            path = (a, *middle, b)
            if all(dag.adjacent(*step) for step in pairwise(path)) and is_open(dag, path, given):
                return True
    return False


def is_open(dag, path, given):
    for left, node, right in zip(path, path[1:], path[2:], strict=False):
        if left in dag.parents(node) and right in dag.parents(node):
            if not ({node} | dag.descendants(node)) & set(given):
                return False
        elif node in given:
            return False
    return True


def test_d_separation_matches_its_definition_on_every_dag():
    for dag in all_dags()[::3]:
        for a, b in combinations(NODES, 2):
            others = [n for n in NODES if n not in (a, b)]
            for size in range(3):
                for given in combinations(others, size):
                    expected = not open_paths_exist(dag, a, b, given)
                    assert is_d_separated(dag, [a], [b], given) == expected


def test_members_of_a_class_share_their_separations():
    rng = np.random.default_rng(1)
    shared = [members for members in classes().values() if len(members) > 1]
    for members in (shared[i] for i in rng.choice(len(shared), 25, replace=False)):
        for a, b, c in permutations(NODES, 3):
            answers = {is_d_separated(dag, [a], [b], [c]) for dag in members}
            assert answers == {is_m_separated(cpdag_of(members[0]), [a], [b], [c])}


def test_m_separation_of_a_bidirected_edge_is_that_of_a_latent_parent():
    arrow = {"source_mark": Mark.ARROW, "target_mark": Mark.ARROW}
    mixed = Graph(
        kind="pag",
        nodes=("a", "b", "c"),
        edges=(Edge.directed("a", "b"), Edge(source="b", target="c", **arrow)),
    )
    latent = Graph.dag("abcu", [("a", "b"), ("u", "b"), ("u", "c")])
    for a, b, c in permutations("abc"):
        for given in ([], [c]):
            assert is_m_separated(mixed, [a], [b], given) == is_d_separated(
                latent, [a], [b], given
            )


def mixed_graph(rng, names):
    """An acyclic directed mixed graph: directed edges along an order, and bidirected ones."""
    arrow = {"source_mark": Mark.ARROW, "target_mark": Mark.ARROW}
    edges = []
    for a, b in combinations([names[i] for i in rng.permutation(len(names))], 2):
        draw = rng.random()
        if draw < 0.35:
            edges.append(Edge.directed(a, b))
        elif draw < 0.6:
            edges.append(Edge(source=a, target=b, **arrow))
    return Graph(kind="pag", nodes=names, edges=tuple(edges))


def m_connecting_path_exists(graph, a, b, given):
    """m-separation by its definition: every simple path, each middle node judged by its marks."""
    marks = graph.marks()
    above = set(given).union(*(graph.ancestors(name) for name in given))
    for size in range(len(graph.nodes) - 1):
        for middle in permutations([n for n in graph.nodes if n not in (a, b)], size):
            path = (a, *middle, b)
            if not all(graph.adjacent(*step) for step in pairwise(path)):
                continue
            opened = True
            for left, node, right in zip(path, path[1:], path[2:], strict=False):
                into = [marks[graph.index(n), graph.index(node)] == 2 for n in (left, right)]
                opened &= node in above if all(into) else node not in given
            if opened:
                return True
    return False


@pytest.mark.parametrize("seed", range(12))
def test_m_separation_matches_its_definition_on_mixed_graphs(seed):
    graph = mixed_graph(np.random.default_rng(seed), ("a", "b", "c", "d", "e"))
    for a, b in combinations(graph.nodes, 2):
        others = [n for n in graph.nodes if n not in (a, b)]
        for given in (z for size in range(4) for z in combinations(others, size)):
            expected = not m_connecting_path_exists(graph, a, b, given)
            assert is_m_separated(graph, [a], [b], given) == expected


class Oracle:
    """Answers FCI from the d-separations of a DAG with latent variables."""

    def __init__(self, dag, names):
        self.dag, self.names = dag, names

    def p_value(self, first, second, given=()):
        others = [self.names[k] for k in given]
        ends = [self.names[first]], [self.names[second]]
        return float(is_d_separated(self.dag, *ends, others))


@pytest.mark.parametrize("seed", range(30))
def test_a_pag_has_the_separations_of_the_latent_dag_behind_it(seed):
    rng = np.random.default_rng(seed)
    observed, nodes = tuple("abcde"), tuple("abcdeuvw")
    order = [nodes[i] for i in rng.permutation(len(nodes))]
    share = rng.uniform(0.2, 0.5)
    dag = Graph.dag(nodes, [pair for pair in combinations(order, 2) if rng.random() < share])
    pag = fci_pattern(Oracle(dag, observed), Knowledge(nodes=observed), 0.05).graph
    assert is_ancestral(pag)
    assert is_ancestral(mag_of(pag))
    for a, b in combinations(observed, 2):
        others = [n for n in observed if n not in (a, b)]
        for given in (z for size in range(4) for z in combinations(others, size)):
            expected = is_d_separated(dag, [a], [b], given)
            assert is_m_separated(pag, [a], [b], given) == expected


def test_the_marks_of_a_pag_hold_in_the_latent_dag():
    for seed in range(30):
        rng = np.random.default_rng(100 + seed)
        observed, nodes = tuple("abcde"), tuple("abcdeuv")
        order = [nodes[i] for i in rng.permutation(len(nodes))]
        dag = Graph.dag(nodes, [pair for pair in combinations(order, 2) if rng.random() < 0.35])
        pag = fci_pattern(Oracle(dag, observed), Knowledge(nodes=observed), 0.05).graph
        for edge in [*pag.edges, *(edge.reversed() for edge in pag.edges)]:
            causes = edge.source in dag.ancestors(edge.target)
            assert causes or edge.source_mark is not Mark.TAIL
            assert not causes or edge.source_mark is not Mark.ARROW


def circles(*pairs):
    marks = {"source_mark": Mark.CIRCLE, "target_mark": Mark.CIRCLE}
    return tuple(Edge(source=a, target=b, **marks) for a, b in pairs)


def test_a_pag_without_a_member_is_an_error():
    square = circles("ab", "bc", "cd", "ad")
    with pytest.raises(GraphError, match="no member"):
        mag_of(Graph(kind="pag", nodes=tuple("abcd"), edges=square))
    arrow = {"source_mark": Mark.ARROW, "target_mark": Mark.ARROW}
    chain = (
        Edge.directed("a", "b"),
        Edge.directed("b", "c"),
        Edge(source="a", target="c", **arrow),
    )
    with pytest.raises(GraphError, match="ancestral"):
        mag_of(Graph(kind="pag", nodes=tuple("abc"), edges=chain))
    with pytest.raises(GraphError, match="expected a pag"):
        mag_of(Graph.dag("ab", []))


def test_circles_become_one_ancestral_graph():
    half = Edge(source="c", target="d", source_mark=Mark.CIRCLE, target_mark=Mark.ARROW)
    tail = Edge(source="d", target="e", source_mark=Mark.TAIL, target_mark=Mark.CIRCLE)
    pag = Graph(kind="pag", nodes=tuple("abcde"), edges=(*circles("ab"), half, tail))
    assert mag_of(pag).directed_edges == (("a", "b"), ("c", "d"), ("d", "e"))


def test_overlapping_sets_are_refused():
    with pytest.raises(GraphError, match="share no variable"):
        is_d_separated(Graph.dag("ab", []), ["a"], ["a"])
