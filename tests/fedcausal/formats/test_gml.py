"""GML there and back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.gml import read_gml, write_gml
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
    assert read_gml(write_gml(graph)) == graph


def test_plain_files_are_read():
    text = """graph [
      directed 1
      node [ id 0 label "a" ]
      node [ id 1 label "b" ]
      edge [ source 0 target 1 ]
    ]"""
    assert read_gml(text) == Graph.dag("ab", [("a", "b")])
    assert read_gml(text.replace("directed 1", "")) == Graph.cpdag("ab", undirected=[("a", "b")])


@pytest.mark.parametrize("text", ["", "graph {", "graph [ node [ id 0 ] ]", "dag { a -> b }"])
def test_anything_else_is_a_graph_error(text):
    with pytest.raises(GraphError):
        read_gml(text)
