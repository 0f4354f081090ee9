import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.effects.mixed_graph import MixedGraph
from fedcausal.errors import GraphError
from fedcausal.graph import Graph

BOW = MixedGraph(
    nodes=("x", "y"), directed=frozenset({("x", "y")}), bidirected=frozenset({frozenset("xy")})
)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_separation_is_d_separation_with_the_hidden_causes_in_the_graph(
    make_mixed, all_subsets, expand_hidden, seed
):
    graph = make_mixed(seed)
    dag = expand_hidden(graph)
    oracle = nx.DiGraph(dag.directed_edges)
    oracle.add_nodes_from(dag.nodes)
    for z in all_subsets("abc"):
        expected = nx.is_d_separator(oracle, {"x"}, {"y"}, z)
        assert graph.is_separated(["x"], ["y"], z) == expected


def test_relatives_districts_and_surgery():
    graph = MixedGraph(
        nodes=tuple("abxy"),
        directed=frozenset({("a", "x"), ("x", "y"), ("b", "y")}),
        bidirected=frozenset({frozenset("xy"), frozenset("ab")}),
    )
    assert graph.parents(["x", "y"]) == {"a", "x", "b"}
    assert graph.children(["a"]) == {"x"}
    assert graph.siblings(["x"]) == {"y"}
    assert graph.ancestors(["y"]) == set("abxy")
    assert graph.descendants(["a"]) == set("axy")
    assert graph.districts() == (frozenset("ab"), frozenset("xy"))
    assert graph.without_into(["x"]).bidirected == {frozenset("ab")}
    assert graph.without_into(["x"]).directed == {("x", "y"), ("b", "y")}
    assert graph.without_out_of(["x"]).directed == {("a", "x"), ("b", "y")}
    assert graph.induced(["x", "y"]) == BOW
    assert graph.topological_order().index("x") < graph.topological_order().index("y")


def test_an_open_path_is_drawn():
    graph = MixedGraph(
        nodes=tuple("axy"),
        directed=frozenset({("a", "y"), ("x", "y")}),
        bidirected=frozenset({frozenset("ax")}),
    )
    assert graph.without_out_of(["x"]).open_path(["x"], ["y"]) == "x <-> a -> y"
    assert graph.without_out_of(["x"]).open_path(["x"], ["y"], ["a"]) is None


def test_of_a_dag():
    dag = Graph.dag("xy", [("x", "y")])
    assert MixedGraph.of(dag, [("x", "y")]) == BOW
    with pytest.raises(GraphError, match="expected a dag"):
        MixedGraph.of(Graph.cpdag("xy", [], [("x", "y")]))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"directed": frozenset({("x", "z")})}, "'z', which is not among the nodes"),
        ({"directed": frozenset({("x", "x")})}, "joins two variables"),
        ({"bidirected": frozenset({frozenset("x")})}, "joins two variables"),
        ({"directed": frozenset({("x", "y"), ("y", "x")})}, "at most one edge|cycle"),
    ],
)
def test_what_is_no_such_graph_is_refused(edges, message):
    with pytest.raises(GraphError, match=message):
        MixedGraph(nodes=("x", "y"), **edges)


def test_overlapping_sets_have_no_separation():
    with pytest.raises(GraphError, match="share no variable"):
        BOW.is_separated(["x"], ["x"])
