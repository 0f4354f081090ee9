"""GraphML there and back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.graphml import read_graphml, write_graphml
from fedcausal.graph import Graph

HEADER = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'


@given(seed=st.integers(0, 2**32 - 1))
@settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_reading_undoes_writing(random_graph, seed):
    graph = random_graph(seed)
    assert read_graphml(write_graphml(graph)) == graph


def test_plain_files_are_read():
    text = (
        f'{HEADER}<key id="d0" for="node" attr.name="label" attr.type="string"/>'
        '<graph edgedefault="directed"><node id="1"><data key="d0">age</data></node>'
        '<node id="2"/><edge source="1" target="2"/></graph></graphml>'
    )
    assert read_graphml(text) == Graph.dag(("age", "2"), [("age", "2")])
    undirected = (
        f'{HEADER}<graph edgedefault="undirected"><node id="a"/><node id="b"/>'
        '<edge source="a" target="b"/></graph></graphml>'
    )
    assert read_graphml(undirected) == Graph.cpdag("ab", undirected=[("a", "b")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<graphml>",
        f"{HEADER}</graphml>",
        '<!DOCTYPE x [<!ENTITY a "b">]>' + HEADER + "</graphml>",
        f'{HEADER}<graph edgedefault="directed"><node id="a"/><edge source="a" target="a"/>'
        "</graph></graphml>",
    ],
)
def test_anything_else_is_a_graph_error(text):
    with pytest.raises(GraphError):
        read_graphml(text)


def test_names_that_xml_cannot_hold_are_refused():
    with pytest.raises(GraphError, match="rename it"):
        write_graphml(Graph.dag(("a\x00", "b"), []))
