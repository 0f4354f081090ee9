"""networkx graphs there and back."""

import networkx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.networkx_graph import from_networkx, to_networkx
from fedcausal.graph import Graph


@given(seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_reading_undoes_writing(random_graph, seed):
    graph = random_graph(seed)
    assert from_networkx(to_networkx(graph)) == graph


def test_plain_graphs_are_read():
    arcs = networkx.DiGraph([("a", "b"), ("b", "c")])
    assert from_networkx(arcs) == Graph.dag("abc", [("a", "b"), ("b", "c")])
    arcs.add_edge("b", "a")
    assert from_networkx(arcs) == Graph.cpdag("abc", [("b", "c")], [("a", "b")])
    assert from_networkx(networkx.Graph([(1, 2)])).undirected_edges == (("1", "2"),)


@pytest.mark.parametrize(
    "found",
    [
        networkx.MultiDiGraph([("a", "b"), ("a", "b")]),
        networkx.DiGraph([("a", "b", {"target_mark": "star"})]),
        networkx.DiGraph([("a", "b", {"probability": 2.0})]),
        networkx.DiGraph([("a", "b"), ("b", "c"), ("c", "a")]),
        networkx.DiGraph([(1, 2), (2, "1")]),
        networkx.DiGraph([("a", "a")]),
        networkx.DiGraph([("a", "b")], kind="tree"),
    ],
)
def test_what_is_no_causal_graph_is_refused(found):
    with pytest.raises(GraphError):
        from_networkx(found)
