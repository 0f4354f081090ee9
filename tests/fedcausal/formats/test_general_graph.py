"""causal-learn's graphs there and back."""

import pytest
from causallearn.graph.Edge import Edge as CausalLearnEdge
from causallearn.graph.Endpoint import Endpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.general_graph import from_general_graph, to_general_graph
from fedcausal.graph import Graph


@given(seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_reading_undoes_writing(random_graph, seed):
    graph = random_graph(seed, probabilities=False)
    found = from_general_graph(to_general_graph(graph))
    assert (found.nodes, found.edges) == (graph.nodes, graph.edges)
    # causal-learn does not tell a class without undirected edges from a DAG.
    is_dag = all(edge.is_directed for edge in graph.edges) and graph.kind != "pag"
    assert found.kind == ("dag" if is_dag else graph.kind)


def test_its_matrix_has_the_mark_of_the_row():
    found = to_general_graph(Graph.dag("ab", [("a", "b")]))
    assert found.graph.tolist() == [[0, -1], [1, 0]]
    assert found.is_parent_of(*found.get_nodes())


def test_two_edges_on_a_pair_are_refused():
    found = to_general_graph(Graph.dag("ab", [("a", "b")]))
    first, second = found.get_nodes()
    found.add_edge(CausalLearnEdge(first, second, Endpoint.ARROW, Endpoint.ARROW))
    with pytest.raises(GraphError):
        from_general_graph(found)
