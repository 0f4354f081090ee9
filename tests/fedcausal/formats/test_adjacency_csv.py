"""The adjacency matrix there and back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.adjacency_csv import read_adjacency_csv, write_adjacency_csv
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
    assert read_adjacency_csv(write_adjacency_csv(graph)) == graph


def test_matrices_of_ones_are_read_rows_cause_columns():
    assert read_adjacency_csv(",a,b\na,0,1\nb,0,0\n") == Graph.dag("ab", [("a", "b")])
    undirected = Graph.cpdag("ab", undirected=[("a", "b")])
    assert read_adjacency_csv(",a,b\na,0,1\nb,1,0\n") == undirected
    assert read_adjacency_csv(",a,b\na,0,0\nb,0,0\n") == Graph.dag("ab", [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "square"),
        ("a,b\n", "square"),
        (",a,b\nb,0,0\na,0,0\n", "same names"),
        (",a,b\na,0,2\nb,0,0\n", "expected a mark"),
        (",a,b\na,,arrow\nb,,\n", "expected a mark"),
        (",a\na,1\n", "cannot cause itself"),
        ("tree,a\na,\n", "expected a kind"),
        ("dag,a,b\na,,tail\nb,tail,\n", "dag cannot hold"),
        (',a\na,"1', "cannot be read"),
    ],
)
def test_anything_else_is_named(text, message):
    with pytest.raises(GraphError, match=message):
        read_adjacency_csv(text)
