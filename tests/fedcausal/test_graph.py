"""Graphs as values: what cannot exist, and what each kind answers."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, Mark

DIAMOND = Graph.dag("abcd", [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])


@st.composite
def dags(draw):
    size = draw(st.integers(1, 7))
    order = draw(st.permutations(range(size)))
    pairs = [(i, j) for i in range(size) for j in range(i)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    names = tuple(f"x{i}" for i in range(size))
    return Graph.dag(names, [(names[order[j]], names[order[i]]) for i, j in chosen])


@settings(derandomize=True, deadline=None)
@given(dags())
def test_relatives_match_networkx(dag):
    other = nx.DiGraph(dag.directed_edges)
    other.add_nodes_from(dag.nodes)
    for name in dag.nodes:
        assert set(dag.parents(name)) == set(other.predecessors(name))
        assert set(dag.children(name)) == set(other.successors(name))
        assert dag.ancestors(name) == nx.ancestors(other, name)
        assert dag.descendants(name) == nx.descendants(other, name)


@settings(derandomize=True, deadline=None)
@given(dags())
def test_parents_come_first_in_topological_order(dag):
    order = dag.topological_order()
    assert sorted(order) == sorted(dag.nodes)
    assert all(order.index(a) < order.index(b) for a, b in dag.directed_edges)


@settings(derandomize=True, deadline=None)
@given(dags())
def test_json_round_trip_and_hash(dag):
    assert Graph.from_json(dag.to_json()) == dag
    assert hash(Graph.from_json(dag.to_json())) == hash(dag)


def test_equal_graphs_are_equal_values():
    first = Graph.dag("abc", [("b", "c"), ("a", "b")])
    flipped = Edge(source="b", target="a", source_mark=Mark.ARROW, target_mark=Mark.TAIL)
    second = Graph(kind="dag", nodes=("a", "b", "c"), edges=(flipped, Edge.directed("b", "c")))
    assert first == second
    assert second.directed_edges == (("a", "b"), ("b", "c"))


def test_marks_say_what_stands_at_the_column():
    graph = Graph.cpdag("abc", [("a", "b")], [("b", "c")])
    expected = [[0, 2, 0], [1, 0, 1], [0, 1, 0]]
    np.testing.assert_array_equal(graph.marks(), expected)


def test_a_cpdag_knows_neighbours_and_has_no_order():
    graph = Graph.cpdag("abc", [("a", "b")], [("b", "c")])
    assert graph.neighbours("b") == ("c",)
    assert graph.parents("b") == ("a",)
    assert graph.skeleton() == {("a", "b"), ("b", "c")}
    with pytest.raises(GraphError, match="needs a dag"):
        graph.topological_order()


def test_relatives_of_the_diamond():
    assert DIAMOND.parents("d") == ("b", "c")
    assert DIAMOND.adjacent("a", "b")
    assert not DIAMOND.adjacent("a", "d")
    assert DIAMOND.edge("d", "b") == Edge.directed("b", "d")
    assert DIAMOND.topological_order() == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Graph.dag("ab", [("a", "b"), ("b", "a")]), "at most one edge"),
        (lambda: Graph.dag("abc", [("a", "b"), ("b", "c"), ("c", "a")]), "cycle"),
        (lambda: Graph.cpdag("abc", [("a", "b"), ("b", "c"), ("c", "a")]), "cycle"),
        (lambda: Graph.dag("ab", [("a", "c")]), "not among the nodes"),
        (lambda: Graph.dag("aa", []), "each variable once"),
        (lambda: Graph(kind="tree", nodes=("a",)), "graph kind"),
        (lambda: Edge.directed("a", "a"), "two variables"),
        (lambda: DIAMOND.parents("z"), "got 'z'"),
        (lambda: DIAMOND.with_probabilities(lambda edge: 1.5), "probability"),
        (
            lambda: Graph(kind="dag", nodes=("a", "b"), edges=(Edge.undirected("a", "b"),)),
            "cannot hold",
        ),
    ],
)
def test_what_cannot_exist(build, message):
    with pytest.raises(GraphError, match=message):
        build()


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [
        (Mark.TAIL, Mark.TAIL, "--"),
        (Mark.TAIL, Mark.ARROW, "->"),
        (Mark.ARROW, Mark.ARROW, "<->"),
        (Mark.CIRCLE, Mark.ARROW, "o->"),
        (Mark.CIRCLE, Mark.CIRCLE, "o-o"),
        (Mark.TAIL, Mark.CIRCLE, "-o"),
        (Mark.ARROW, Mark.CIRCLE, "<-o"),
    ],
)
def test_an_edge_is_drawn_by_its_marks_and_reads_both_ways(left, right, sign):
    edge = Edge(
        source="a",
        target="b",
        source_mark=left,
        target_mark=right,
        source_mark_probability=0.25,
        target_mark_probability=0.5,
    )
    assert edge.sign == sign
    assert edge.reversed().reversed() == edge
    assert edge.reversed().source_mark_probability == 0.5
    graph = Graph(kind="pag", nodes=("a", "b"), edges=(edge,))
    assert Graph.from_json(graph.to_json()) == graph


def test_importing_graphs_loads_no_heavy_package():
    code = (
        "import sys, fedcausal.graph, fedcausal.equivalence, fedcausal.discovery;"
        "print([m for m in ('torch', 'causallearn', 'pandas', 'flwr') if m in sys.modules])"
    )
    paths = [p for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
