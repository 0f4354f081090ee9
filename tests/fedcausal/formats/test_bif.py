"""BIF files: structure and states."""

import pytest

from fedcausal.errors import GraphError
from fedcausal.formats.bif import read_bif
from fedcausal.graph import Graph

CANCER = """
// a comment
network unknown {
  property version = 1 ;
}
variable Pollution {
  type discrete [ 2 ] { low, high };
  property position = "(10, 20)" ;
}
variable "lung cancer" {
  type discrete [ 3 ] { "no, none", mild, severe };
}
variable Smoker { type discrete[2]{True,False}; }
probability ( Pollution ) { table 0.9, 0.1; }
probability ( "lung cancer" | Pollution, Smoker ) {
  (low, True) 0.9, 0.05, 0.05;
  /* more
     rows */
  default 0.2, 0.3, 0.5;
}
probability ( Smoker ) { table 0.3, 0.7; }
"""


def test_structure_and_states_are_read():
    network = read_bif(CANCER)
    nodes = ("Pollution", "lung cancer", "Smoker")
    edges = [("Pollution", "lung cancer"), ("Smoker", "lung cancer")]
    assert network.graph == Graph.dag(nodes, edges)
    assert network.states == {
        "Pollution": ("low", "high"),
        "lung cancer": ("no, none", "mild", "severe"),
        "Smoker": ("True", "False"),
    }


def test_line_ends_and_spaces_do_not_matter():
    flat = CANCER.replace("// a comment", "")
    assert read_bif(" ".join(flat.split())) == read_bif(flat.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no variable"),
        ("network n { ", "never closed"),
        ("network n", "expected '{'"),
        ("{ }", "keyword"),
        ("graph n { }", "expected network"),
        ("variable a { type continuous; }", "type discrete"),
        ("variable a { type discrete [ 3 ] { x, y }; }", "expected 3 states, got 2"),
        ("variable a { type discrete [ 1 ] { x }; } probability a { }", "child"),
        (
            "variable a { type discrete [ 1 ] { x }; } probability ( a | b ) { }",
            "not among the nodes",
        ),
        (
            "variable a { type discrete [ 1 ] { x }; } probability ( a | a ) { }",
            "two variables",
        ),
    ],
)
def test_anything_else_is_named(text, message):
    with pytest.raises(GraphError, match=message):
        read_bif(text)
