"""One door to all graph formats."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.adjacency_csv import write_adjacency_csv
from fedcausal.formats.dagitty import Dagitty, write_dagitty
from fedcausal.formats.dot import write_dot
from fedcausal.formats.gml import write_gml
from fedcausal.formats.graph_json import write_graph_json
from fedcausal.formats.graphml import write_graphml
from fedcausal.formats.reading import read_graph
from fedcausal.graph import Graph

GRAPH = Graph.dag(("a", "b", "c"), [("a", "b"), ("c", "b")])
WRITERS = {
    "json": write_graph_json,
    "dot": write_dot,
    "dagitty": lambda graph: write_dagitty(Dagitty(graph=graph)),
    "graphml": write_graphml,
    "gml": write_gml,
    "csv": write_adjacency_csv,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("before", ["", "\n  "])
def test_every_format_is_told_by_its_beginning(name, before):
    assert read_graph(before + WRITERS[name](GRAPH)) == GRAPH


@pytest.mark.parametrize("name", WRITERS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_graph_comes_back_whatever_its_names(random_graph, name, seed):
    graph = random_graph(seed, probabilities=False)
    assert read_graph(WRITERS[name](graph)) == graph


def test_comments_may_stand_before():
    assert read_graph("# ours\n// theirs\n/* both */ dag { a -> b }").nodes == ("a", "b")
    bif = "// x\nnetwork n { } variable a { type discrete [ 1 ] { x }; } probability ( a ) { }"
    assert read_graph(bif).nodes == ("a",)


@pytest.mark.parametrize("text", ["", "a -> b", "graph { a }", "hello\nworld"])
def test_other_text_is_refused_with_what_is_known(text):
    with pytest.raises(GraphError, match=r"expected a graph as JSON.*adjacency CSV"):
        read_graph(text)
