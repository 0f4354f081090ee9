"""`fedcausal study`: from data to a study file and its hash."""

import pytest

from fedcausal.study import Study


@pytest.fixture
def data(tmp_path, rows):
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    return path


@pytest.fixture
def study(tmp_path, data, ask):
    out = tmp_path / "new" / "study.toml"
    assert ask("study", "infer", data, "--site-column", "site", "--out", out).code == 0
    return out


def test_a_study_is_inferred_and_what_to_type_next_is_said(tmp_path, data, ask):
    out = tmp_path / "new" / "study.toml"
    said = ask("study", "infer", data, "--site-column", "site", "--out", out)
    assert said.code == 0
    assert f"wrote {out}: 4 variables" in said.lines
    assert f"  fedcausal study validate {out}" in said.lines
    assert set(Study.load(out).variables) == {"age", "dose", "sex", "sick"}


def test_quiet_inference_is_one_line(tmp_path, data, ask):
    out = tmp_path / "study.toml"
    said = ask("study", "infer", data, "--site-column", "site", "--out", out, "--quiet")
    assert said.lines == [f"wrote {out}: 4 variables"]


def test_inference_in_json(tmp_path, data, ask):
    out = tmp_path / "study.toml"
    said = ask("study", "infer", data, "--site-column", "site", "--out", out, "--format", "json")
    assert said.answer["status"] == "ok"
    assert said.answer["data"]["path"] == str(out)
    assert said.answer["data"]["hash"] == Study.load(out).hash()


def test_a_valid_study_says_so_with_its_hash(study, ask):
    said = ask("study", "validate", study)
    assert said.code == 0
    assert said.lines[0] == f"{study}: valid, 4 variables"
    fingerprint = said.lines[1].removeprefix("hash ")
    assert ask("study", "validate", study, "-q").lines == [f"hash {fingerprint}"]
    answer = ask("study", "validate", study, "--format", "json").answer["data"]
    assert answer["fingerprint"] == fingerprint
    assert answer["variables"] == 4


def test_the_hash_is_that_of_the_study(study, ask):
    digest = Study.load(study).hash()
    said = ask("study", "hash", study)
    assert said.lines[1] == digest
    assert ask("study", "hash", study, "--quiet").lines == said.lines[:1]
    assert ask("study", "hash", study, "--format", "json").answer["data"]["hash"] == digest


def test_a_plan_says_what_the_budget_buys_and_warns(tmp_path, ask):
    variables = {f"v{i}": {"kind": "continuous", "bounds": [-9, 9]} for i in range(12)}
    study = Study.model_validate({"variables": variables, "privacy": {"graph": {"epsilon": 0.5}}})
    path = tmp_path / "study.toml"
    path.write_text(study.to_toml())
    said = ask("study", "plan", path, "--rows", 900, "--sites", 3)
    assert said.code == 0
    assert said.lines[0] == "900 records at 3 sites, 12 features"
    assert any(line.startswith("warning: hopeless") for line in said.lines)
    quiet = ask("study", "plan", path, "--rows", 90_000, "--sites", 3, "--quiet")
    assert quiet.lines == []
    answer = ask("study", "plan", path, "--rows", 900, "--sites", 3, "--format", "json").answer
    assert answer["data"]["graph"]["epsilon"] == 0.5
    assert len(answer["data"]["warnings"]) == 1
    assert (answer["data"]["model"], answer["data"]["effects"]) == (None, [])


def test_a_plan_of_every_part_fits_a_terminal(tmp_path, ask):
    names = ("age_at_first_visit", "dose_of_the_drug", "pressure_after_a_year")
    query = {"treatment": names[1], "outcome": names[2], "values": [-1, 1]}
    parts = {part: {"epsilon": 0.01} for part in ("graph", "model", "effects")}
    study = Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-9, 9]} for n in names},
            "privacy": {**parts, "max_rows": 5000},
            "effects": {"queries": [query]},
            "model": {"family": "gram"},
        }
    )
    path = tmp_path / "study.toml"
    path.write_text(study.to_toml())
    said = ask("study", "plan", path, "--rows", 1200, "--sites", 4)
    assert max(map(len, said.lines)) <= 80
    warned = [line for line in said.lines if line.startswith("warning: hopeless")]
    assert len(warned) == 3
    data = ask("study", "plan", path, "--rows", 1200, "--sites", 4, "--format", "json").answer[
        "data"
    ]
    assert data["model"]["closed_form"]["error"] > 1
    assert data["effects"][0]["outcome"] == names[2]
    assert len(data["warnings"]) == 3


def test_a_delta_for_fewer_records_is_no_valid_study(tmp_path, ask):
    path = tmp_path / "study.toml"
    path.write_text(
        "[variables.a]\nkind = 'binary'\n[variables.b]\nkind = 'binary'\n"
        "[privacy]\ndelta = 0.01\nmax_rows = 5000000\n[privacy.graph]\nepsilon = 1.0\n"
    )
    for command in (("validate", path), ("plan", path, "--rows", 900, "--sites", 3)):
        said = ask("study", *command)
        assert said.code == 4
        assert "privacy.delta: 0.01 x 5000000 records" in said.err
        assert "write delta = 1e-08" in said.err
