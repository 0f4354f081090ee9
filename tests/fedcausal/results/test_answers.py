"""The answers of a study: the same for the same seed, in the study's own words."""

import json
from dataclasses import replace

import pytest

from fedcausal.graph import Edge, Graph, Mark
from fedcausal.model.gram_model import GramModel
from fedcausal.results.answers import SYNTHETIC, answer
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


def with_query(study, **changes):
    content = study.to_json()
    content["effects"]["queries"] = [{**content["effects"]["queries"][0], **changes}]
    return Study.model_validate(content)


def test_a_sites_own_average_is_left_to_the_site(asked_study, model):
    found = answer(with_query(asked_study, population="site  north"), model, seed=3)
    (left,) = found.at_sites
    assert (left.key, left.query.population) == ("effects.queries[0]", "site north")
    assert (found.effects, found.refused, found.imagined) == ((), (), None)
    assert found.to_json()["at_sites"][0]["treatment"] == "drug"


def test_a_target_population_is_told_by_means(asked_study, model, answers):
    cause = next(
        n for n in model.graph.ancestors("pressure") - {"drug"} if model.schema[n].is_numeric
    )
    middle = float(model.sample(2000, seed=1)[cause].mean())
    study = with_query(asked_study, population="target town", means={cause: middle})
    (found,) = answer(study, model, seed=3).effects
    assert found.population.startswith("target town (")
    assert found.estimate == pytest.approx(answers.effects[0].estimate, abs=0.5)


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
        "refused": [],
        "at_sites": [],
        "do_sample": [],
        "counterfactual": None,
    }


def test_a_query_without_an_answer_is_refused_with_its_key(asked_study, model):
    content = asked_study.to_json()
    query = content["effects"]["queries"][0]
    content["effects"]["queries"] = [{**query, "outcome": "status"}, query]
    graph = Graph.dag(
        [n for n in model.graph.nodes if n != "status"],
        [e for e in model.graph.directed_edges if "status" not in e],
    )
    smaller = replace(
        model,
        graph=graph,
        engine=GramModel(
            graph=graph,
            schema=model.schema,
            mechanisms={n: model.engine.mechanisms[n] for n in graph.nodes},
        ),
    )
    found = answer(Study.model_validate(content), smaller, seed=0)
    assert [r.key for r in found.refused] == ["effects.queries[0]"]
    assert found.refused[0].reason.startswith("outcome: 'status' is not in the model")
    assert [e.outcome for e in found.effects] == ["pressure"]


def test_what_the_learnt_graph_does_not_identify_is_refused(asked_study, model):
    marks = {"source_mark": Mark.CIRCLE, "target_mark": Mark.CIRCLE}
    edges = tuple(Edge(source=a, target=b, **marks) for a, b in model.graph.directed_edges)
    pag = Graph(kind="pag", nodes=model.graph.nodes, edges=edges)
    found = answer(asked_study, model, graph=pag, seed=0)
    assert found.effects == ()
    assert found.imagined is None
    assert "is not identified from this graph: on drug o-o" in found.refused[0].reason
