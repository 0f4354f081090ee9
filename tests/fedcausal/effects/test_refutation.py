import pytest

from fedcausal.effects.refutation import refute
from fedcausal.errors import InputError
from fedcausal.graph import Graph

NAMES = ["placebo", "random common cause", "another set", "half of the records"]


@pytest.mark.parametrize("outcome", ["pressure", "status"])
def test_a_right_estimate_survives_every_attempt(mixed_fit, outcome):
    found = refute(mixed_fit.model, "drug", outcome, ("0", "1"))
    assert [attempt.name for attempt in found] == NAMES
    assert all(attempt.holds for attempt in found)
    own = mixed_fit.model.effect("drug", outcome, ("0", "1"), draws=2).estimate
    placebo, common, _, half = found
    assert placebo.found == pytest.approx(0.0, abs=4 * placebo.error)
    assert common.found == pytest.approx(own, abs=0.05)
    assert half.expected == common.expected
    assert placebo.sentence.startswith("With drug shuffled among drawn records the effect is ")
    assert half.sentence.startswith("On half as many drawn records the effect is ")
    assert found[0].to_json()["name"] == "placebo"
    assert found == refute(mixed_fit.model, "drug", outcome, ("0", "1"))


def test_a_set_that_leaves_a_path_open_is_refuted(mixed_fit):
    """By a graph without age -> drug nothing but the group confounds; the model knows better."""
    nodes = mixed_fit.model.graph.nodes
    edges = [e for e in mixed_fit.model.graph.directed_edges if e[0] != "age"]
    found = refute(mixed_fit.model, "drug", "pressure", ("0", "1"), graph=Graph.dag(nodes, edges))
    by_name = {attempt.name: attempt for attempt in found}
    assert not by_name["another set"].holds
    assert "which refutes the estimate" in by_name["another set"].sentence


def test_only_adjusted_effects_have_an_estimate_to_refute(mixed_fit):
    with pytest.raises(InputError, match="refutations are of adjusted effects; here: Identified"):
        refute(mixed_fit.model, "status", "drug", ("alive", "dead"))
