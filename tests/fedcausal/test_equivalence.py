"""Markov equivalence against brute force over every DAG with four nodes."""

from functools import cache
from itertools import combinations, pairwise, permutations, product

import numpy as np
import pytest

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.equivalence import (
    cpdag_of,
    extension,
    is_d_separated,
    is_m_separated,
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


def test_circle_marks_and_overlapping_sets_are_refused():
    circle = Edge(source="a", target="b", source_mark=Mark.CIRCLE, target_mark=Mark.CIRCLE)
    pag = Graph(kind="pag", nodes=("a", "b"), edges=(circle,))
    with pytest.raises(GraphError, match="circle"):
        is_m_separated(pag, ["a"], ["b"])
    with pytest.raises(GraphError, match="share no variable"):
        is_d_separated(Graph.dag("ab", []), ["a"], ["a"])
