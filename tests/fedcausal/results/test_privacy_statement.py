"""What is differentially private and what is not, in plain words."""

import pytest

from fedcausal.results.privacy_statement import privacy_statements
from fedcausal.steps.state import STEPS
from fedcausal.study import Study


def statements(*, steps=STEPS, bounds=(0, 1), **sections):
    kinds = {name: {"kind": "continuous", "bounds": bounds} for name in "xy"}
    study = Study.model_validate({"variables": kinds, **sections})
    return {statement.part: statement for statement in privacy_statements(study, steps=steps)}


def test_every_part_has_a_sentence_and_silence_is_not_privacy():
    found = statements()
    assert set(found) == {"graph", "model", "effects"}
    assert all(statement.epsilon is None for statement in found.values())
    for part in ("graph", "effects"):
        assert "no differential privacy" in found[part].sentence
        assert "below 5 records" in found[part].sentence
    assert found["model"].sentence == "the study trains no neural model"


def test_a_budget_is_said_with_its_delta():
    found = statements(privacy={"model": {"epsilon": 2.5}, "delta": 1e-6})
    assert found["model"].to_json()["epsilon"] == 2.5
    assert "epsilon 2.5 at delta 1e-06" in found["model"].sentence
    assert found["graph"].epsilon is None


@pytest.mark.parametrize("privacy", [{}, {"model": {}}, {"model": {"epsilon": None}}])
def test_a_neural_model_without_budget_is_said_to_have_none(privacy):
    found = statements(model={"family": "nodeflow"}, privacy=privacy)
    assert "no differential privacy" in found["model"].sentence


def test_a_closed_form_study_claims_no_epsilon_for_a_model_it_does_not_train():
    found = statements(model={"family": "gram"})
    assert found["model"].sentence == "the study trains no neural model"
    assert found["model"].epsilon is None


def test_a_closed_form_study_with_an_epsilon_is_fitted_from_noisy_sums():
    found = statements(model={"family": "gram"}, privacy={"model": {"epsilon": 1.0}})
    assert found["model"].sentence.startswith("noisy histograms that set scales, noisy family")
    assert found["model"].epsilon == 1.0
    assert found["effects"].sentence == (
        "effects are answered from the noised model, which costs nothing more"
    )


def test_a_run_that_stops_early_claims_nothing_for_what_it_did_not_do():
    found = statements(steps=("discovery",), privacy={"model": {"epsilon": 1.0}})
    assert found["model"].epsilon is None
    assert (
        found["model"].sentence == found["effects"].sentence == "the run stopped before this part"
    )
    assert "no differential privacy" in found["graph"].sentence


def test_a_given_graph_costs_nothing_unless_ranges_are_asked_for():
    given = {"knowledge": {"graph": "dag { x -> y }"}}
    assert statements(**given)["graph"].sentence == "the graph was given with the study"
    found = statements(**given, bounds=None)
    assert "no differential privacy" in found["graph"].sentence


def test_tables_are_named_where_they_take_the_place_of_the_gram():
    kinds = {name: {"kind": "binary"} for name in "xy"}
    study = Study.model_validate({"variables": kinds, "discovery": {"tests": "tables"}})
    graph = privacy_statements(study)[0]
    assert graph.sentence.startswith("the contingency tables and the graph made of them have no")


def test_a_noisy_graph_says_what_is_covered_and_what_is_not():
    sentence = statements(privacy={"graph": {"epsilon": 1.0}})["graph"].sentence
    assert sentence.startswith("noisy histograms, one noisy Gram")
    assert "epsilon 1 at delta 1e-05" in sentence
    assert "also against a quarter of the sites together" in sentence
    assert "does not cover that a site takes part" in sentence
    chosen = {"graph": {"epsilon": 1.0}, "colluding_sites": 2}
    assert "against 2 sites together" in statements(privacy=chosen)["graph"].sentence


def effects_of(**privacy):
    study = Study.model_validate(
        {
            "variables": {
                "drug": {"kind": "binary"},
                "y": {"kind": "continuous", "bounds": [0, 1]},
            },
            "model": {"family": "gram"},
            "privacy": privacy,
            "effects": {"queries": [{"treatment": "drug", "outcome": "y", "values": ["0", "1"]}]},
        }
    )
    return {s.part: s for s in privacy_statements(study)}["effects"]


def test_effects_with_an_epsilon_say_what_is_noisy():
    found = effects_of(effects={"epsilon": 2.0})
    assert found.epsilon == 2.0
    assert "noisy family sums, noisy histograms" in found.sentence
    assert "epsilon 2 at delta 1e-05" in found.sentence


def test_a_noised_model_pays_for_the_answers():
    found = effects_of(effects={"epsilon": 2.0}, model={"epsilon": 3.0})
    assert found.epsilon == 2.0
    assert "noisy sums of influence values" in found.sentence
    assert "answered from the noised model, which costs nothing more" in found.sentence


def test_a_robust_study_does_not_claim_hidden_sums():
    found = statements(
        discovery={"votes": False},
        privacy={"incomplete": "drop"},
        model={"knots": 0},
        federation={"robust": 1},
    )
    for part in ("graph", "effects"):
        assert "released by themselves, not hidden" in found[part].sentence
        assert "encrypted" not in found[part].sentence
