"""DOT there and back."""

import numpy as np
import pytest

from fedcausal.errors import GraphError
from fedcausal.formats.dot import read_dot, write_dot
from fedcausal.graph import Edge, Graph, Mark

NAMES = ("x", "blood pressure", 'a "b" \\ c', "年齢", "-> }", "node")


@pytest.mark.parametrize("seed", range(30))
def test_reading_undoes_writing(seed):
    rng = np.random.default_rng(seed)
    marks = list(Mark)
    edges = [
        Edge(
            source=first,
            target=second,
            source_mark=marks[rng.integers(3)],
            target_mark=marks[rng.integers(3)],
            probability=None if rng.random() < 0.5 else float(rng.random()),
            source_mark_probability=None if rng.random() < 0.5 else float(rng.random()),
            target_mark_probability=None if rng.random() < 0.5 else float(rng.random()),
        )
        for i, first in enumerate(NAMES)
        for second in NAMES[:i]
        if rng.random() < 0.6
    ]
    graph = Graph(kind="pag", nodes=NAMES, edges=tuple(edges))
    assert read_dot(write_dot(graph)) == graph


def test_plain_digraphs_are_dags():
    graph = read_dot("digraph G { node [shape=box]; a -> b -> c; d; }")
    assert graph == Graph.dag("abcd", [("a", "b"), ("b", "c")])


@pytest.mark.parametrize(
    "text",
    [
        "graph { a -- b }",
        "digraph { a -> b [arrowhead=crow] }",
        "digraph { a -> b [probability=high] }",
        "digraph { kind=tree }",
    ],
)
def test_anything_else_is_a_graph_error(text):
    with pytest.raises(GraphError):
        read_dot(text)
