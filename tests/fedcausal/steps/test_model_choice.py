"""Mechanisms chosen by held-out likelihood, through a whole study."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import InputError
from fedcausal.model.artifact import load, save
from fedcausal.model.card import model_card
from fedcausal.model.flow_mechanism import FlowMechanism
from fedcausal.model.onnx_export import export_onnx
from fedcausal.report.story import write_report
from fedcausal.results.run import load_run
from fedcausal.results.run_folder import write_run_folder
from fedcausal.study import Study

CONTENT = {
    "variables": {
        "a": {"kind": "continuous", "bounds": [-5.0, 5.0]},
        "b": {"kind": "continuous", "bounds": [-9.0, 9.0]},
        "c": {"kind": "binary"},
        "d": {"kind": "continuous", "bounds": [-20.0, 40.0]},
    },
    "knowledge": {"graph": "dag { a -> b a -> c b -> d }"},
}
MODEL = {"mechanism": "auto", "variance": "by-parents", "held_out": 0.2}
FLOW = {"family": "nodeflow", "hidden": 4, "bins": 4, "rounds": 2, "local_epochs": 2}


def rows(size, rng):
    """b is a line of a, c has nothing to do with it, d's noise grows with b and is skewed."""
    a = np.clip(rng.normal(size=size), -5, 5)
    b = np.clip(a + 0.5 * rng.normal(size=size), -9, 9)
    c = (rng.random(size) < 0.3) * 1.0
    d = np.clip(b**2 + np.exp(0.4 * b) * rng.gumbel(size=size), -20, 40)
    return {"a": a, "b": b, "c": c, "d": d}


@pytest.fixture(scope="module")
def states(walk, as_table):
    rng = np.random.default_rng(0)
    parts = [rows(3000, rng) for _ in range(3)]
    found = {}
    for name, more in (("closed", {}), ("flow", FLOW)):
        study = Study.model_validate({**CONTENT, "model": {**MODEL, **more}})
        found[name] = walk(study, [as_table(study, part) for part in parts])
    return found


def test_the_candidate_that_is_true_is_chosen(states):
    choices = states["closed"][-1].choices
    assert {node: own.chosen for node, own in choices.items()} == {
        "a": "linear Gaussian",
        "b": "linear Gaussian",
        "c": "frequencies",
        "d": "scaled noise",
    }
    scores = choices["d"].scores
    assert scores["linear Gaussian"] < scores["closed form"] < scores["scaled noise"]
    # a fifth of 9,000 records
    assert 1600 < choices["d"].num_records < 2000


def test_rounds_come_in_their_order(states):
    phases = [state.phase for state in states["closed"]]
    assert phases[-4:] == ["spreads", "residuals", "likelihoods", "done"]
    phases = [state.phase for state in states["flow"]]
    assert phases[-5:] == ["likelihoods", "training", "training", "flow_likelihoods", "done"]


def test_held_out_records_are_in_no_fit(states):
    state = states["closed"][-1]
    records = {node: gram.num_records for node, gram in state.families.items()}
    assert all(7000 < number < 7400 for number in records.values())


def test_the_flow_competes_for_numbers(states):
    state = states["flow"][-1]
    assert set(state.choices["d"].scores) == {
        "linear Gaussian",
        "closed form",
        "scaled noise",
        "neural flow",
    }
    assert "neural flow" not in state.choices["c"].scores
    for node, own in state.choices.items():
        is_flow = isinstance(state.model.engine.mechanisms[node], FlowMechanism)
        assert is_flow == (own.chosen == "neural flow")


def test_a_flow_among_closed_forms_is_asked_saved_and_loaded(states, tmp_path):
    state = states["flow"][-1]
    flow = next(s for s in reversed(states["flow"]) if s.phase == "flow_likelihoods").flow.model(
        state.model.graph, state.study.schema()
    )
    own = FlowMechanism(family=state.mechanisms["d"].family, flow=flow.engine.mechanics().flow)
    model = state.model.with_mechanism("d", own)
    frame = model.sample(30, seed=1)
    for size in (4, 30):
        few = frame.head(size)
        answer = model.counterfactual(few, do={"a": 0.5})
        pd.testing.assert_series_equal(answer["a"] * 0 + few["a"], few["a"])
        same = model.counterfactual(few, do={"b": float(few["b"].iloc[0])})
        assert same["d"].iloc[0] == few["d"].iloc[0]
    save([model], tmp_path)
    found = load(tmp_path)
    pd.testing.assert_frame_equal(found.sample(20, seed=2), model.sample(20, seed=2))
    pd.testing.assert_frame_equal(found.log_prob(frame), model.log_prob(frame))
    forms = {node["node"]: node["form"] for node in model_card(tmp_path)["families"]["gram"]}
    assert forms["d"] == "neural spline flow"
    with pytest.raises(InputError, match="cannot be exported: d"):
        export_onnx(model, tmp_path / "d.onnx", "sample")


def test_the_report_shows_what_was_chosen_among_what(states, make_card, tmp_path):
    state = states["closed"][-1]
    write_run_folder(state, tmp_path, card=make_card(state.study))
    run = load_run(tmp_path)
    told = {own["node"]: own for own in run.result["exact"]["choices"]}
    assert told["d"]["chosen"] == "scaled noise"
    assert told["d"]["log_likelihood"].keys() == state.choices["d"].scores.keys()
    page = write_report(run).read_text()
    assert "Which mechanism predicts best" in page
    assert f"{-state.choices['d'].scores['scaled noise']:.4g}" in page


def test_scores_of_a_flow_depend_on_the_machine(states, make_card, tmp_path):
    state = states["flow"][-1]
    write_run_folder(state, tmp_path, card=make_card(state.study))
    result = load_run(tmp_path).result
    assert "choices" in result["noised"]
    assert "choices" not in result["exact"]
    assert not any(name.startswith("flow_") for name in result["exact"]["totals"])
