from fedcausal.private.assumed_graph import assumed_graph
from fedcausal.study import Study

VARIABLES = {name: {"kind": "continuous", "bounds": [-4, 4]} for name in "abcd"}
QUERIES = {"queries": [{"treatment": "c", "outcome": "a", "values": [0, 1]}]}


def test_the_given_graph_is_taken():
    knowledge = {"graph": "digraph {a -> c; c -> b}"}
    found = assumed_graph(Study.model_validate({"variables": VARIABLES, "knowledge": knowledge}))
    assert set(found.nodes) == {"a", "b", "c"}
    assert set(found.edges) == {("a", "c"), ("c", "b")}


def test_a_chain_stands_for_a_graph_that_is_to_be_learnt():
    found = assumed_graph(Study.model_validate({"variables": VARIABLES}))
    assert found.edges == (("a", "b"), ("b", "c"), ("c", "d"))


def test_an_effect_has_a_cause_of_both_to_adjust_for():
    study = Study.model_validate({"variables": VARIABLES, "effects": QUERIES})
    found = assumed_graph(study, study.effects.queries[0])
    assert set(found.edges) == {("b", "c"), ("c", "a"), ("a", "d"), ("b", "a")}


def test_two_variables_have_nothing_to_adjust_for():
    two = {name: VARIABLES[name] for name in "ac"}
    study = Study.model_validate({"variables": two, "effects": QUERIES})
    assert assumed_graph(study, study.effects.queries[0]).edges == (("c", "a"),)
