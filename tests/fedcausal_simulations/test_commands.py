"""`fedcausal simulate` as people and programs call it."""

import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.cli import main
from fedcausal_simulations.workspace import read_nodes

STUDY = """
[study]
name = "small"
[variables.x]
kind = "continuous"
bounds = [-10, 10]
[variables.y]
kind = "continuous"
bounds = [-20, 20]
[variables.z]
kind = "binary"
[discovery]
bootstrap = 3
vote_bootstraps = 2
[effects]
draws = 5
samples = 200
[[effects.queries]]
treatment = "x"
outcome = "y"
values = [0, 1]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = 2 * x + rng.normal(size=300)
    rows = {"x": x, "y": y, "z": (y > 0) * 1, "where": np.repeat(["a", "b", "c"], 100)}
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*options):
    return main(["simulate", "study.toml", "--data", "rows.csv", *options])


def test_people_see_the_sites_the_rounds_and_the_answer(here, capsys):
    assert call("--site-column", "where", "--out", "out") == 0
    said = capsys.readouterr()
    assert said.err == ""
    for text in ("round 2: gram, votes", "3 sites, 300 records", "Setting x to 1", "run out"):
        assert text in said.out
    assert (here / "out" / "report.html").is_file()


def test_collinear_columns_are_named_in_terminal_report_and_result(here, capsys):
    rows = pd.read_csv(here / "rows.csv")
    rows["grams"] = 1000 * rows["x"]
    rows.to_csv(here / "rows.csv", index=False)
    grams = '[variables.grams]\nkind = "continuous"\nbounds = [-10000, 10000]\n[discovery]'
    (here / "study.toml").write_text(STUDY.replace("[discovery]", grams))
    assert call("--site-column", "where", "--steps", "discovery", "--out", "out") == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in (said, *((here / "out" / f).read_text() for f in ("report.html", "result.json"))):
        assert "grams and x are collinear: each is a linear function of the others" in text
        assert "remove one of them" in text


def test_sums_that_fit_no_covariance_are_named_in_terminal_report_and_result(here, capsys):
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(3, 300))
    part = np.tile([0, 1, 2], 100)
    # Correlations of 1, 1 and -1, each over the records of one third.
    y, w = np.where(part == 0, x, y), np.where(part == 1, y, np.where(part == 2, -x, w))
    rows = {"x": np.where(part == 1, np.nan, x), "y": np.where(part == 2, np.nan, y)}
    rows |= {"w": np.where(part == 0, np.nan, w), "where": np.repeat(["a", "b", "c"], 100)}
    rows |= {"z": rng.integers(0, 2, 300)}
    pd.DataFrame(rows).to_csv(here / "rows.csv", index=False)
    third = '[variables.w]\nkind = "continuous"\nbounds = [-10, 10]\n[discovery]'
    (here / "study.toml").write_text(STUDY.replace("[discovery]", third))
    assert call("--site-column", "where", "--steps", "discovery", "--out", "out") == 0
    said = " ".join(capsys.readouterr().out.split())
    report = (here / "out" / "report.html").read_text().replace("&#x27;", "'")
    for text in (said, report, (here / "out" / "result.json").read_text()):
        assert "sums of w, x and y rest on different records" in text
        assert "remove the one that is missing most often" in text


def test_a_search_that_ran_out_of_time_says_so_in_terminal_report_and_result(here, capsys):
    limited = "[discovery]\ntime_limit_seconds = 1e-9"
    (here / "study.toml").write_text(STUDY.replace("[discovery]", limited))
    assert call("--site-column", "where", "--steps", "discovery", "--out", "out") == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in (said, *((here / "out" / f).read_text() for f in ("report.html", "result.json"))):
        assert "the search stopped at its time limit" in text
    assert json.loads((here / "out" / "result.json").read_text())["exact"]["graph"]["edges"]


def test_more_variables_than_a_site_has_rows_for_are_refused_with_the_key(here, capsys):
    (here / "policy.toml").write_text("max_parameters_per_row = 0.01")
    code = call("--site-column", "where", "--policy", "policy.toml", "--out", "out", "--quiet")
    assert code == 1
    said = capsys.readouterr().err
    assert "a:gram: saturated: " in said
    assert "policy.max_parameters_per_row" in said
    assert "use fewer variables" in said


def test_programs_get_one_json_object_and_nothing_else(here, capsys):
    assert call("--site-column", "where", "--out", "out", "--format", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["exit_code"]) == ("ok", 0)
    written = json.loads((here / "out" / "result.json").read_text())
    assert answer["data"]["result"] == written
    assert answer["data"]["path"] == "out"


def test_sites_at_random_steps_seed_and_policy(here, capsys):
    (here / "policy.toml").write_text("min_rows = 20")
    options = ["--sites", "5", "--steps", "discovery", "--seed", "3", "--policy", "policy.toml"]
    assert call(*options, "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["path"] == "runs/small-1"
    assert data["result"]["exact"]["steps"] == ["discovery"]
    assert data["result"]["exact"]["seed"] == 3
    assert data["run"]["sites"] == [f"site_{k}" for k in range(1, 6)]
    assert not (here / "runs" / "small-1" / "model").exists()


def test_a_policy_that_refuses_ends_the_command_and_leaves_nothing(here, capsys):
    (here / "policy.toml").write_text("min_rows = 101")
    code = call("--site-column", "where", "--policy", "policy.toml", "--out", "out", "--quiet")
    assert code == 1
    assert "a: too-few-rows" in capsys.readouterr().err
    assert not (here / "out").exists()


def test_prepared_sites_wait_for_flower(here, capsys):
    assert call("--site-column", "where", "--prepare", "work", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data == {"workspace": "work", "num_nodes": 4}
    assert [node.name for node in read_nodes(here / "work")] == ["a", "b", "c", "steward"]
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--site-column"),
        (["--site-column", "were"], "did you mean"),
        (["--sites", "2"], "expected 3 "),
        (["--sites", "4", "--engine", "dask"], "expected one of inprocess, ray"),
        (["--sites", "4", "--steps", "graph"], "expected some of discovery"),
        (["--sites", "4", "--policy", "none.toml"], "cannot be read"),
    ],
)
def test_a_wrong_option_is_exit_4_before_anything_is_written(here, capsys, options, message):
    assert call("--out", "out", *options) == 4
    assert message in capsys.readouterr().err
    assert not (here / "out").exists()
