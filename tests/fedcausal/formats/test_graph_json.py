"""`graph.json` keeps everything."""

import json

import numpy as np
import pytest

from fedcausal.errors import GraphError
from fedcausal.formats.graph_json import read_graph_json, write_graph_json
from fedcausal.graph import Edge, Graph, Mark


def random_graph(rng, kind="pag"):
    names = ("x", "blood pressure", 'a "b" \\ c', "年齢", "-> }", "x.1")
    marks = list(Mark)
    edges = [
        Edge(
            source=first,
            target=second,
            source_mark=marks[rng.integers(3)],
            target_mark=marks[rng.integers(3)],
            probability=None if rng.random() < 0.5 else float(rng.random()),
        )
        for i, first in enumerate(names)
        for second in names[:i]
        if rng.random() < 0.5
    ]
    return Graph(kind=kind, nodes=names, edges=tuple(edges))


@pytest.mark.parametrize("seed", range(30))
def test_reading_undoes_writing(seed):
    graph = random_graph(np.random.default_rng(seed))
    assert read_graph_json(write_graph_json(graph)) == graph


def test_the_keys_are_those_of_the_format():
    graph = Graph(kind="dag", nodes=("x", "y"), edges=(Edge.directed("x", "y"),))
    annotated = graph.with_probabilities(lambda edge: 0.97)
    assert json.loads(write_graph_json(annotated)) == {
        "kind": "dag",
        "nodes": ["x", "y"],
        "edges": [
            {
                "source": "x",
                "target": "y",
                "source_mark": "tail",
                "target_mark": "arrow",
                "probability": 0.97,
            }
        ],
    }


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"kind": "dag", "nodes": "xy", "edges": []}',
        '{"kind": "tree", "nodes": ["x"], "edges": []}',
        '{"kind": "dag", "nodes": ["x", "y"], "edges": [{"source": "x", "target": "y"}]}',
        '{"kind": "dag", "nodes": ["x"], "edges": [3]}',
    ],
)
def test_anything_else_is_a_graph_error(text):
    with pytest.raises(GraphError):
        read_graph_json(text)
