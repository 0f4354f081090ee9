import pytest

from fedcausal.effects.identification import identify
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Edge, Graph, Mark

FORK = Graph.dag("axy", [("a", "x"), ("a", "y"), ("x", "y")])
CHAIN = Graph.dag("xmy", [("x", "m"), ("m", "y")])


def test_a_dag_names_the_best_and_the_smallest_set():
    dag = Graph.dag("abxy", [("a", "x"), ("a", "b"), ("b", "y"), ("x", "y")])
    found = identify(dag, "x", "y")
    assert (found.means, found.adjustment_set) == ("adjustment", ("b",))
    assert len(found.minimal_set) == 1
    assert found.is_identified
    assert found.require() is found
    assert found.sentence == "Identified by adjustment for b (the set with the least variance)."


def test_no_adjustment_and_no_path_are_said():
    assert "no adjustment is needed" in identify(CHAIN, "x", "y").sentence
    found = identify(CHAIN, "y", "x")
    assert (found.means, found.sentence) == (
        "no-path",
        "Identified: no path of causes leads from y to x.",
    )


def test_a_hidden_cause_takes_the_front_door_or_is_refused():
    found = identify(CHAIN, "x", "y", hidden=[("x", "y")])
    assert (found.means, found.adjustment_set) == ("front-door", ("m",))
    assert "by the front door through m, P(y | do(x)) = sum over m" in found.sentence
    refused = identify(FORK, "x", "y", hidden=[("x", "y")])
    assert not refused.is_identified
    with pytest.raises(IdentificationError, match=r"x <-> y stays open") as error:
        refused.require()
    assert error.value.exit_code == 4


def test_another_formula_than_the_front_door():
    napkin = Graph.dag("wzxy", [("w", "z"), ("z", "x"), ("x", "y")])
    found = identify(napkin, "x", "y", hidden=[("w", "x"), ("w", "y")])
    assert found.means == "formula"
    assert "a formula of the observed law" in found.sentence


def test_a_class_lists_the_parents_that_the_treatment_may_have():
    cpdag = Graph.cpdag("axy", [], [("a", "x"), ("x", "y")])
    found = identify(cpdag, "x", "y")
    assert (found.means, found.is_identified) == ("class", False)
    assert set(found.parent_sets) == {(), ("a",), ("y",)}
    assert "leave the direction of x -- a, x -- y open" in found.sentence
    assert found.require() is found


def test_a_class_in_which_the_effect_is_one_number():
    cpdag = Graph.cpdag("abxy", [("a", "x"), ("b", "x"), ("x", "y")])
    assert identify(cpdag, "x", "y").means == "adjustment"
    partly = Graph.cpdag("abcdxy", [("a", "x"), ("b", "x"), ("x", "y")], [("c", "d")])
    assert identify(partly, "x", "y").means == "adjustment"
    assert identify(partly, "y", "x").means == "no-path"


def test_a_pag_answers_or_says_which_path_stands_against_it():
    marks = {"source_mark": Mark.CIRCLE, "target_mark": Mark.ARROW}
    edges = (
        Edge(source="a", target="x", **marks),
        Edge(source="b", target="x", **marks),
        Edge.directed("x", "y"),
    )
    pag = Graph(kind="pag", nodes=tuple("abxy"), edges=edges)
    assert identify(pag, "x", "y").means == "adjustment"
    assert identify(pag, "y", "a").means == "no-path"
    with pytest.raises(IdentificationError, match=r"a o-> x -> y"):
        identify(pag, "a", "y").require()


@pytest.mark.parametrize(
    ("asked", "hidden", "message"),
    [
        (("xx", "y"), (), r"effects.treatment: unknown variable 'xx'"),
        (("x", "z"), (), r"effects.outcome: unknown variable 'z'"),
        (("x", "x"), (), "treatment and outcome are both 'x'"),
        (("x", "y"), [("x", "z")], r"effects.hidden: unknown variable 'z'"),
        (("x", "y"), [("x", "x")], "pairs of two different variables"),
    ],
)
def test_questions_about_nothing_are_refused(asked, hidden, message):
    with pytest.raises(InputError, match=message):
        identify(FORK, *asked, hidden=hidden)


def test_hidden_causes_beside_a_class_are_refused():
    cpdag = Graph.cpdag("axy", [], [("a", "x"), ("x", "y")])
    with pytest.raises(InputError, match="beside a single graph, got a cpdag"):
        identify(cpdag, "x", "y", hidden=[("x", "y")])
