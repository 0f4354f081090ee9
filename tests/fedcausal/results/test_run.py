"""A finished run, read on demand."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from fedcausal.errors import InputError
from fedcausal.results.run import list_runs, load_run, resolve_run


def test_a_run_is_found_by_path_name_and_beginning(tmp_path, asked_run):
    for name in ("mixed-1", "mixed-2", "mixed-21"):
        shutil.copytree(asked_run.path, tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert [run.path.name for run in list_runs(tmp_path)] == ["mixed-1", "mixed-2", "mixed-21"]
    assert resolve_run(str(tmp_path / "mixed-2"), tmp_path).name == "mixed-2"
    assert resolve_run("mixed-2", tmp_path).name == "mixed-2"
    assert resolve_run("mixed-21", tmp_path).name == "mixed-21"
    for reference in ("mixed", "other", "empty"):
        with pytest.raises(InputError, match=f"no single run '{reference}'"):
            resolve_run(reference, tmp_path)
    assert list_runs(tmp_path / "none") == ()


def test_runs_are_looked_for_under_runs(tmp_path, asked_run, monkeypatch):
    shutil.copytree(asked_run.path, tmp_path / "runs" / "mixed-1")
    monkeypatch.chdir(tmp_path)
    assert load_run("mixed-1").graph == asked_run.graph


def test_graph_dag_and_ledger(asked_run):
    assert asked_run.graph.kind in ("cpdag", "dag")
    assert asked_run.dag.kind == "dag"
    assert set(asked_run.dag.nodes) == set(asked_run.graph.nodes)
    assert asked_run.ledger == {}
    assert asked_run.effects[0]["treatment"] == "drug"


def test_the_model_answers_in_the_words_of_the_study(asked_run):
    drawn = asked_run.model.sample(50, do={"drug": "1"}, seed=1)
    assert isinstance(drawn, pd.DataFrame)
    assert set(drawn["drug"]) == {"1"}
    assert set(drawn["group"]) <= {"a", "b", "c"}
    assert drawn["pressure"].dtype == float
    pd.testing.assert_frame_equal(drawn, asked_run.model.sample(50, do={"drug": "1"}, seed=1))
    changed = asked_run.model.counterfactual(drawn, do={"drug": "0"})
    assert set(changed["drug"]) == {"0"}
    estimate = asked_run.model.effect("drug", "pressure", ("0", "1"))
    assert estimate.outcome == "pressure"
    with pytest.raises(InputError, match="no 'nodeflow' model"):
        asked_run.model.of_family("nodeflow").load()
    pd.testing.assert_frame_equal(
        asked_run.model.of_family("gram").sample(5), asked_run.model.sample(5)
    )


def test_a_run_without_model_says_how_to_get_one(tmp_path, asked_run):
    shutil.copytree(asked_run.path, tmp_path / "r")
    shutil.rmtree(tmp_path / "r" / "model")
    with pytest.raises(InputError, match='run the step "model" too'):
        _ = load_run(tmp_path / "r").model


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read as JSON"), ("[]", "a JSON object"), ('{"schema_version": 99}', "99")],
)
def test_a_damaged_result_is_named(tmp_path, content, message):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_run(tmp_path)


def test_a_missing_card_is_named(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(InputError, match=r"run.json: there is no such file"):
        _ = load_run(tmp_path).card


def test_a_loaded_model_knows_what_was_learnt(tmp_path, asked_run):
    """Also one whose artifact was written before it named the class."""
    shutil.copytree(asked_run.path, tmp_path / "r")
    path = tmp_path / "r" / "result.json"
    content = json.loads(path.read_text())
    for edge in content["exact"]["graph"]["edges"]:
        if (edge["source"], edge["target"]) == ("drug", "pressure"):
            edge["target_mark"] = "tail"
    path.write_text(json.dumps(content))
    model = load_run(tmp_path / "r").model
    assert model.load().effect("drug", "pressure", ("0", "1"), draws=5).interval_kind == "class"
    assert "drug -> pressure: " in model.sample(3, do={"drug": "1"}).attrs["warnings"][0]


def test_a_query_and_a_likelihood_are_asked_of_the_run(asked_run):
    model = replace(asked_run.model, varying={"pressure": ["the slope of drug -> pressure"]})
    frame = model.sample(20)
    pd.testing.assert_frame_equal(model.log_prob(frame), model.load().log_prob(frame))
    found = model.query("pressure", given={"drug": "1"}, samples=2000)
    assert found.mean == model.load().query("pressure", given={"drug": "1"}, samples=2000).mean
    assert any("the mechanism of pressure differs" in text for text in found.warnings)
    above = model.query("age", given={"drug": "1"}, samples=2000)
    assert not any("pressure" in text for text in above.warnings)
