"""A study with an epsilon for its graph, from rows to report: only noised sums leave a site."""

import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import BudgetExceededError
from fedcausal.study import Study
from fedcausal_clients.app import app as client_app
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import GaussianRelease, event_from_json
from fedcausal_server.app import app as server_app
from fedcausal_simulations import simulate
from fedcausal_simulations.inprocess import run_inprocess
from fedcausal_simulations.workspace import prepare_workspace

STUDY = Study.model_validate(
    {
        "study": {"name": "noisy"},
        "variables": {
            "a": {"kind": "continuous", "bounds": [-8, 8]},
            "b": {"kind": "continuous", "bounds": [-12, 12]},
            "c": {"kind": "continuous", "bounds": [-12, 12]},
            "d": {"kind": "binary"},
        },
        "discovery": {"bootstrap": 4},
        "privacy": {"graph": {"epsilon": 4.0}},
        "effects": {"queries": [{"treatment": "a", "outcome": "b", "values": [0, 1]}]},
    }
)
EDGES = {("a", "b"), ("b", "c"), ("c", "d")}


def _rows(num_rows, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=num_rows).clip(-8, 8)
    b = (a + rng.normal(size=num_rows)).clip(-12, 12)
    c = (b + rng.normal(size=num_rows)).clip(-12, 12)
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": (c + rng.normal(size=num_rows) > 0) * 1})


@pytest.fixture(scope="module")
def sites():
    return {name: _rows(1500, seed) for seed, name in enumerate(("east", "north", "west"))}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, sites):
    folder = tmp_path_factory.mktemp("noisy")
    return [simulate(STUDY, sites, out=folder / name, seed=3) for name in ("one", "two")]


def test_the_graph_is_found_through_the_noise(runs):
    for run in runs:
        pairs = {tuple(sorted((e.source, e.target))) for e in run.graph.edges}
        assert pairs == EDGES


def test_two_runs_of_one_seed_draw_different_noise(runs):
    first, second = (run.result["noised"]["totals"] for run in runs)
    asked = {name.partition("-")[0] for name in first}
    assert asked == {"scale", "noisy_gram", "effect_patterns", "margins", "families", "residuals"}
    changed = {name.partition("-")[0] for name in first if first[name] != second.get(name)}
    assert {"scale", "noisy_gram"} <= changed


def test_the_exact_part_holds_nothing_that_was_learnt(runs):
    first, second = (run.result["exact"] for run in runs)
    assert first == second
    assert set(first) == {"study_hash", "seed", "steps", "num_sites", "ranges"}


def test_the_noise_is_told(runs):
    noise = runs[0].result["noised"]["noise"]
    assert (noise["epsilon"], noise["delta"], noise["colluding_sites"]) == (4.0, 1e-5, 1)
    assert 0 < noise["noise_of_a_correlation"] < 0.1
    assert runs[0].findings["num_records"] == pytest.approx(4500, abs=200)
    report = (runs[0].path / "report.html").read_text()
    assert "one noisy Gram" in report
    assert "does not cover that a site takes part" in report


def test_every_site_is_charged_its_epsilon_and_no_more(runs):
    for entries in runs[0].ledger.values():
        events = [event_from_json(e["event"]) for e in entries if e["part"] == "graph"]
        assert [event.name for event in events] == ["scale", "noisy_gram"]
        assert all(isinstance(event, GaussianRelease) for event in events)
        assert 3.9 < epsilon_of(events, 1e-5) <= 4.0


def test_effects_answer_along_the_noisy_graph(runs):
    (effect,) = runs[0].effects
    assert effect["estimate"] == pytest.approx(1.0, abs=0.2)


def test_a_second_run_on_the_same_data_is_refused_before_anything_is_drawn(tmp_path, sites):
    workspace = prepare_workspace(STUDY, sites, tmp_path / "work", seed=0)
    options = {"steps": "discovery"}
    run_inprocess(server_app, client_app, workspace, tmp_path / "one", 0, options=options)
    with pytest.raises(BudgetExceededError, match="would exceed a privacy budget"):
        run_inprocess(server_app, client_app, workspace, tmp_path / "two", 0, options=options)


def test_a_cut_run_resumes_without_new_noise(tmp_path, sites):
    workspace = prepare_workspace(STUDY, sites, tmp_path / "work", seed=0)
    out, options = tmp_path / "run", {"steps": "discovery"}
    run_inprocess(server_app, client_app, workspace, out, 0, options=options)
    before = json.loads((out / "result.json").read_text())
    (out / "result.json").unlink()
    run_inprocess(server_app, client_app, workspace, out, 0, options=options)
    assert json.loads((out / "result.json").read_text()) == before


def test_votes_and_a_second_gram_are_not_asked_for(runs):
    names = {line.split('"')[0] for line in runs[0].findings["totals"]}
    assert not any(name.startswith(("gram-", "votes", "range")) for name in names)
