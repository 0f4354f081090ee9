import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.graph import Edge, Graph
from fedcausal.report.layout import BOX_HEIGHT, layered_layout, short_label

NAMES = tuple("abcdefgh")


@st.composite
def dags(draw):
    order = draw(st.permutations(NAMES))
    pairs = [(order[i], order[j]) for i in range(8) for j in range(i + 1, 8)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=16))
    return Graph.dag(NAMES, chosen)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(dags())
def test_boxes_never_overlap_and_causes_stand_above_effects(graph):
    layout = layered_layout(graph)
    for a in NAMES:
        for b in NAMES:
            first, second = layout.boxes[a], layout.boxes[b]
            if a < b and first.y == second.y:
                assert abs(first.x - second.x) >= (first.width + second.width) / 2
    for parent, child in graph.directed_edges:
        assert layout.boxes[parent].y < layout.boxes[child].y


@settings(deadline=None, derandomize=True, max_examples=60)
@given(dags())
def test_every_edge_touches_the_borders_of_its_boxes(graph):
    layout = layered_layout(graph)
    assert len(layout.routes) == len(graph.edges)
    for route in layout.routes:
        upper, lower = layout.boxes[route.edge.source], layout.boxes[route.edge.target]
        assert not route.is_flipped
        assert route.points[0][1] == pytest.approx(upper.y + BOX_HEIGHT / 2)
        assert route.points[-1][1] == pytest.approx(lower.y - BOX_HEIGHT / 2)
        assert abs(route.points[0][0] - upper.x) <= upper.width / 2
        assert abs(route.points[-1][0] - lower.x) <= lower.width / 2
        assert (np.diff([y for _, y in route.points]) > 0).all()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(dags())
def test_everything_lies_inside_the_picture(graph):
    layout = layered_layout(graph)
    for box in layout.boxes.values():
        assert box.width / 2 <= box.x <= layout.width - box.width / 2
        assert BOX_HEIGHT / 2 <= box.y <= layout.height - BOX_HEIGHT / 2
    for route in layout.routes:
        assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in route.points)


def test_tiers_stand_below_one_another():
    graph = Graph.dag(("late", "early"), [])
    layout = layered_layout(graph, [["early"], ["late"]])
    assert layout.boxes["early"].y < layout.boxes["late"].y


def test_undirected_edges_join_different_layers():
    graph = Graph(kind="cpdag", nodes=("a", "b"), edges=(Edge.undirected("a", "b"),))
    layout = layered_layout(graph)
    assert layout.boxes["a"].y < layout.boxes["b"].y


def test_an_empty_graph_has_a_picture():
    assert layered_layout(Graph.dag((), [])).boxes == {}


def test_long_names_are_shortened():
    assert short_label("x" * 50) == "x" * 25 + "…"
    assert short_label("age") == "age"
