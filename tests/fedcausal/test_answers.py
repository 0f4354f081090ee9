"""The answers of a study: the same for the same seed, in the study's own words."""

import json

import pytest

from fedcausal.answers import SYNTHETIC, answer
from fedcausal.study import Study


@pytest.fixture(scope="module")
def model(asked_states):
    return asked_states[-1].model


@pytest.fixture(scope="module")
def answers(asked_study, model):
    return answer(asked_study, model, seed=3)


def test_the_same_seed_gives_the_same_answers(asked_study, model, answers):
    assert answer(asked_study, model, seed=3) == answers
    assert answer(asked_study, model, seed=4) != answers


def test_answers_survive_json(answers):
    content = answers.to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_the_do_summary_holds_what_lies_below_the_treatment(model, answers):
    names = {summary.variable for summary in answers.do_summary}
    assert names == set(model.graph.descendants("drug"))
    shares = [s for s in answers.do_summary if s.measure.startswith("share of ")]
    assert shares
    assert all(0.0 <= value <= 1.0 for s in shares for value in (s.first, s.second))
    stages = [s for s in answers.do_summary if s.variable == "stage" and "share" in s.measure]
    if stages:
        assert sum(s.first for s in stages) == pytest.approx(1.0)


def test_the_means_are_those_of_do_samples(asked_study, model, answers):
    (mean,) = [s for s in answers.do_summary if s.variable == "pressure"]
    drawn = model.sample(asked_study.effects.samples, do={"drug": "1"}, seed=3)
    assert mean.second == pytest.approx(drawn["pressure"].mean())
    (effect,) = answers.effects
    assert effect.treatment == "drug"
    assert mean.second - mean.first == pytest.approx(effect.estimate, abs=0.5)


def test_an_imagined_record_differs_only_below_the_action(model, answers):
    imagined = answers.imagined
    assert imagined.name == SYNTHETIC
    assert imagined.counterfactual["drug"] == "1"
    unchanged = set(model.graph.nodes) - {"drug"} - set(model.graph.descendants("drug"))
    assert unchanged
    assert all(imagined.factual[n] == imagined.counterfactual[n] for n in unchanged)
    levels = {"drug", "group", "stage", "status"}
    assert {n for n, value in imagined.factual.items() if isinstance(value, str)} >= levels
    assert "The graph is correct and has no hidden common cause." in imagined.assumptions


def test_without_a_query_or_its_variables_there_is_no_answer(asked_study, model):
    content = asked_study.to_json()
    content["effects"]["queries"] = []
    assert answer(Study.model_validate(content), model, seed=0).to_json() == {
        "effects": [],
        "do_sample": [],
        "counterfactual": None,
    }
