"""DAGitty's text there and back, and as its own site writes it."""

import numpy as np
import pytest

from fedcausal.errors import GraphError
from fedcausal.formats.dagitty import Dagitty, read_dagitty, write_dagitty
from fedcausal.graph import Edge, Graph, Mark

NAMES = ("x", "blood pressure", 'a "b" \\ c', "年齢", "-> }", "exposure")


def random_document(rng):
    marks = list(Mark)
    edges = [
        Edge(
            source=first,
            target=second,
            source_mark=marks[rng.integers(3)],
            target_mark=marks[rng.integers(3)],
        )
        for i, first in enumerate(NAMES)
        for second in NAMES[:i]
        if rng.random() < 0.6
    ]
    return Dagitty(
        graph=Graph(kind="pag", nodes=NAMES, edges=tuple(edges)),
        exposures=tuple(n for n in NAMES if rng.random() < 0.3),
        outcomes=tuple(n for n in NAMES if rng.random() < 0.3),
        latents=tuple(n for n in NAMES if rng.random() < 0.3),
        positions={n: (float(rng.normal()), float(rng.normal())) for n in NAMES[:3]},
    )


@pytest.mark.parametrize("seed", range(30))
def test_reading_undoes_writing(seed):
    document = random_document(np.random.default_rng(seed))
    assert read_dagitty(write_dagitty(document)) == document


@pytest.mark.parametrize("kind", ["dag", "cpdag"])
def test_the_kind_is_kept(kind):
    graph = Graph(kind=kind, nodes=("x", "y"), edges=(Edge.directed("x", "y"),))
    assert read_dagitty(write_dagitty(Dagitty(graph=graph))).graph == graph


def test_text_of_the_web_site_is_read():
    text = """dag {
    bb="0,0,1,1"
    A [pos="0.100,0.250"]
    D [outcome,pos="0.3,0.4"]
    U [latent]
    "E 1" [exposure,pos="0.5,-0.6"]
    A -> "E 1" -> D [pos="0.1,0.2"]
    A->D  // a comment
    }"""
    document = read_dagitty(text)
    assert document.graph == Graph.dag(
        ("A", "D", "U", "E 1"), [("A", "E 1"), ("E 1", "D"), ("A", "D")]
    )
    assert (document.exposures, document.outcomes) == (("E 1",), ("D",))
    assert document.latents == ("U",)
    assert document.positions["E 1"] == (0.5, -0.6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "digraph { a -> b }",
        "dag { a -> }",
        "dag { a -> b",
        "dag { a -> b -> a }",
        "dag { a -- b }",
        'dag { a [pos="here"] }',
        "dag { a ( b }",
    ],
)
def test_anything_else_is_a_graph_error(text):
    with pytest.raises(GraphError):
        read_dagitty(text)
