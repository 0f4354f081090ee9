"""`fedcausal model`: records, counterfactuals and effects of a run."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fedcausal.commands.model import parse_do

EFFECT = ("effect", "--treatment", "age", "--outcome", "dose", "--values", "30", "--values", "60")


def frame_of(said):
    return pd.read_csv(io.StringIO(said.out))


def test_sampled_records_are_printed_as_csv(run, ask):
    said = ask("model", "sample", run.path, "--rows", 7, "--do", "age=50", "--do", "sex=f")
    frame = frame_of(said)
    assert said.code == 0
    assert len(frame) == 7
    assert set(frame["age"]) == {50}
    assert set(frame["sex"]) == {"f"}
    again = ask("model", "sample", run.path, "--rows", 7, "--do", "age=50", "--do", "sex=f")
    assert again.out == said.out
    other = ask("model", "sample", run.path, "--rows", 7, "--seed", 1)
    assert other.out != said.out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_sampled_records_are_written(run, ask, tmp_path, kind):
    out = tmp_path / "new" / f"rows.{kind}"
    said = ask("model", "sample", run.path, "--rows", 5, "--out", out)
    assert said.lines == [f"wrote 5 rows to {out}"]
    read = pd.read_csv if kind == "csv" else pd.read_parquet
    expected = run.model.sample(5, seed=0)
    assert read(out)["sex"].tolist() == expected["sex"].tolist()
    np.testing.assert_allclose(read(out)["age"], expected["age"])


def test_sampled_records_in_json(run, ask, tmp_path):
    data = ask("model", "sample", run.path, "--rows", 2, "--format", "json").answer["data"]
    assert data["rows"] == len(data["records"]) == 2
    assert set(data["records"][0]) == {"age", "dose", "sex", "sick"}
    out = tmp_path / "rows.csv"
    arguments = ("model", "sample", run.path, "--rows", 2, "--out", out, "--format", "json")
    assert ask(*arguments).answer["data"] == {"rows": 2, "assumptions": [], "path": str(out)}


@pytest.fixture
def records(tmp_path, rows):
    path = tmp_path / "records.csv"
    rows.head(4).to_csv(path, index=False)
    return path


def test_counterfactuals_of_a_csv_file(run, ask, rows, records):
    said = ask("model", "counterfactual", run.path, "--data", records, "--do", "age=60")
    frame = frame_of(said)
    assert set(frame["age"]) == {60}
    assert frame["sex"].tolist() == rows["sex"].head(4).tolist()
    assert "assumes: " in said.err
    older = rows["age"].head(4) < 60
    assert ((frame["dose"] > rows["dose"].head(4)) == older).all()
    quiet = ask("model", "counterfactual", run.path, "--data", records, "--do", "age=60", "-q")
    assert (quiet.out, quiet.err) == (said.out, "")


def test_shifts_and_laws_are_typed(run, ask, rows, records):
    plain = ("model", "counterfactual", run.path, "--data", records)
    frame = frame_of(ask(*plain, "--do", "age+=3"))
    np.testing.assert_allclose(frame["age"], rows["age"].head(4) + 3)
    assert (frame["dose"] > rows["dose"].head(4)).all()
    said = ask(*plain, "--do", "age-=100", "--quiet")
    assert said.err.startswith("warning: 4 of 4 records: age = ")
    law = frame_of(ask(*plain, "--do", "age~30:0.5,60:0.5"))
    assert (law["dose"] != rows["dose"].head(4)).all()
    drawn = frame_of(ask("model", "sample", run.path, "--rows", 40, "--do", "sex~f:0.0,m:1.0"))
    assert set(drawn["sex"]) == {"m"}


def test_counterfactuals_are_written_and_told_in_json(run, ask, records, tmp_path):
    ask_it = ("model", "counterfactual", run.path, "--data", records, "--do", "age=60")
    out = tmp_path / "changed.parquet"
    said = ask(*ask_it, "--out", out, "--quiet")
    assert said.lines == [f"wrote 4 rows to {out}"]
    assert len(pd.read_parquet(out)) == 4
    data = ask(*ask_it, "--format", "json").answer["data"]
    assert data["rows"] == len(data["records"]) == 4
    assert "monotone-noise" in data["assumptions"]
    wide = frame_of(ask(*ask_it, "--probabilities", "--quiet"))
    assert len(wide.columns) > len(pd.read_csv(records).columns)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["sample", "--do", "agee=3"], ["agee", "age, dose, sex, sick"]),
        (["sample", "--do", "sex=x"], ["do sex: expected one of f, m, got 'x'"]),
        (["sample", "--do", "age=500"], ["do age: expected a value within [0, 120]"]),
        (["sample", "--do", "age=nan"], ["do age: expected a finite number", "got nan"]),
        (["sample", "--do", "age=inf"], ["do age: expected a finite number", "got inf"]),
        (
            ["sample", "--do", "age+=nan"],
            ["do age: expected a finite amount to shift by, got nan"],
        ),
        (["sample", "--do", "age=121", "--extrapolate", "2"], ["expected a share from 0 to 1"]),
        (["sample", "--do", "age=old"], ["do age: expected a number, got 'old'"]),
        (["sample", "--do", "age"], ["--do 'age': expected name=value"]),
        (["sample", "--do", "=3"], ["--do '=3': expected name=value"]),
        (["sample", "--do", "age=30", "--do", "age=40"], ["'age' is set twice"]),
        (["sample", "--rows", "0"], ["--rows"]),
        (["sample", "--seed", "-1"], ["--seed"]),
        (["sample", "--family", "foo"], ["no 'foo' model; it has gram"]),
        (["sample", "--out", "x.txt"], ["--out x.txt: expected a file that ends in .csv"]),
        (["sample", "--out", "/proc/no/x.csv"], ["/proc/no", "check the path"]),
        (["effect", "--treatment", "age"], ["--outcome NAME --values FROM --values TO"]),
        (
            [*EFFECT, "--hidden", "age"],
            ["--hidden 'age': expected two names, as in --hidden age,dose"],
        ),
        ([*EFFECT, "--hidden", "age,x"], ["effects.hidden: unknown variable 'x'"]),
        (["effect", "--values", "3"], ["--treatment NAME --outcome NAME"]),
    ],
)
def test_faulty_questions(run, ask, arguments, fragments):
    command, *options = arguments
    check_refused(ask, ("model", command, run.path, *options), fragments)


@pytest.mark.parametrize(
    ("treatment", "outcome", "values", "fragments"),
    [
        ("age", "age", (30, 60), ["both 'age'"]),
        ("age", "doze", (30, 60), ["effects.outcome: unknown variable 'doze'", "'dose'"]),
        ("age", "dose", (30, 600), ["do age: expected a value within [0, 120]"]),
        ("age", "dose", (30, 30), ["effects.values: expected two different values"]),
        ("sex", "dose", ("f", "x"), ["do sex: expected one of f, m, got 'x'"]),
    ],
)
def test_faulty_effects(run, ask, treatment, outcome, values, fragments):
    chosen = [option for value in values for option in ("--values", value)]
    question = ("--treatment", treatment, "--outcome", outcome, *chosen)
    check_refused(ask, ("model", "effect", run.path, *question), fragments)


@pytest.mark.parametrize(
    ("column", "values", "fragments"),
    [
        ("dose", None, ["records.csv:dose: the column is needed and absent"]),
        ("dose", [1, 2, None, 4], ["records.csv:dose: 1 missing value", "drop the rows"]),
        ("dose", [1, 2, "x", 4], ["records.csv:dose: 1 value without a number"]),
        ("sex", ["f", "f", "x", "m"], ["records.csv:sex: 1 value", "levels f, m"]),
    ],
)
def test_faulty_records(run, ask, rows, records, column, values, fragments):
    frame = rows.head(4).drop(columns=column)
    if values is not None:
        frame[column] = values
    frame.to_csv(records, index=False)
    ask_it = ("model", "counterfactual", run.path, "--data", records)
    check_refused(ask, (*ask_it, "--do", "age=60"), fragments)
    check_refused(ask, ask_it, ["--do: expected at least one name=value"])


def test_a_run_without_a_model_says_which_step_is_missing(bare_run, ask, records):
    path = bare_run.path
    check_refused(ask, ("model", "sample", path), ['no model; run the step "model" too'])
    check_refused(ask, ("model", "effect", path), ['no effects; run the step "effects" too'])
    ask_it = ("model", "counterfactual", path, "--data", records, "--do", "age=60")
    check_refused(ask, ask_it, ['no model; run the step "model" too'])


def test_a_model_whose_manifest_does_not_match_its_tensors(run, ask, tmp_path):
    """A changed tensor, a changed manifest and a missing file: no answer from any of them."""
    tensors, manifest = "model/gram.safetensors", "model/manifest.json"
    for name, (path, change, fragment) in {
        "tensors": (tensors, lambda b: b[:-1] + bytes([b[-1] ^ 1]), "its hash does not match"),
        "manifest": (
            manifest,
            lambda b: b.replace(b'"dose"', b'"duse"'),
            "its hash does not match",
        ),
        "format": (manifest, lambda b: b[:40], "cannot be read as a model manifest"),
    }.items():
        copy = tmp_path / name
        shutil.copytree(run.path, copy)
        (copy / path).write_bytes(change((copy / path).read_bytes()))
        check_refused(ask, ("model", "sample", copy), [fragment])
    (copy / tensors).unlink()
    (copy / manifest).write_bytes((run.path / manifest).read_bytes())
    check_refused(
        ask, ("model", "sample", copy), ["the manifest names this file and it is absent"]
    )


def test_a_damaged_run_is_named(ask, tmp_path):
    (tmp_path / "result.json").write_text("{")
    check_refused(ask, ("run", "show", tmp_path), ["result.json: cannot be read as JSON"])


def check_refused(ask, arguments, fragments):
    said = ask(*arguments)
    assert said.code == 4
    assert said.err.startswith("error: ")
    in_json = ask(*arguments, "--format", "json")
    assert in_json.code == 4
    assert in_json.answer["status"] == "error"
    for fragment in fragments:
        assert fragment in said.err
        assert fragment in in_json.answer["message"]


def test_do_is_read_as_numbers_and_words():
    assert parse_do(["x=1", "sex = Male", "text=a=b"]) == {"x": 1.0, "sex": "Male", "text": "a=b"}
    assert parse_do(None) == {}


def test_a_sites_own_effect_at_its_own_place(run, ask, rows, tmp_path):
    path = tmp_path / "own.csv"
    rows[rows["site"] == "north"].to_csv(path, index=False)
    question = ("--treatment", "dose", "--outcome", "sick", "--values", 4, "--values", 12)
    said = ask(
        "model", "effect", run.path, *question, "--population", "site north", "--records", path
    )
    assert "on average over site north (60 records)" in " ".join(said.lines)
    lost = ask("model", "effect", run.path, *question, "--population", "site north")
    assert lost.code == 4
    assert "add records (--records FILE)" in lost.err
    rows.head(12).to_csv(path, index=False)
    small = ask(
        "model", "effect", run.path, *question, "--population", "site a", "--records", path
    )
    assert small.code == 4
    assert "too small: 12 records" in small.err


def test_a_studys_question_about_a_site_is_answered_at_the_site(run, ask, rows, tmp_path):
    copy, path = tmp_path / "asked", tmp_path / "own.csv"
    shutil.copytree(run.path, copy)
    result = json.loads((copy / "result.json").read_text())
    question = {"treatment": "dose", "outcome": "sick", "values": [4.0, 12.0]}
    left = {"key": "effects.queries[1]", "population": "site north", **question}
    result["exact"]["answers"]["at_sites"] = [left]
    (copy / "result.json").write_text(json.dumps(result))
    rows[rows["site"] == "north"].to_csv(path, index=False)
    told = " ".join(ask("model", "effect", copy).lines)
    assert "effects.queries[1] is about site north alone and answered there" in told
    own = ("--population", "site north", "--records", path)
    said = ask("model", "effect", copy, *own)
    assert "on average over site north (60 records)" in " ".join(said.lines)
    typed = ("--treatment", "dose", "--outcome", "sick", "--values", 4, "--values", 12)
    same = ask("model", "effect", copy, *typed, *own)
    assert same.lines == said.lines
    lost = ask("model", "effect", copy, "--population", "site north")
    assert lost.code == 4
    assert "add records (--records FILE)" in lost.err
    other = ask("model", "effect", copy, "--population", "site south", "--records", path)
    assert other.code == 4
    assert "no query about it; it asks about site north" in other.err


def test_a_calibrated_run_gives_bounds(calibrated_run, ask, rows, tmp_path):
    path = tmp_path / "records.csv"
    rows.head(4).to_csv(path, index=False)
    plain = ("model", "counterfactual", calibrated_run.path, "--data", path, "--do", "age=60")
    frame = frame_of(ask(*plain, "--level", 0.6))
    assert (frame["dose:low"] < frame["dose:high"]).all()
    assert np.isfinite(frame["dose:high"]).all()
    said = ask(*plain, "--level", 0.6, "--format", "json")
    assert any("not within each site" in text for text in said.answer["data"]["assumptions"])
    assert ask(*plain, "--level", 1.5).code == 4
    card = ask("model", "card", calibrated_run.path, "--format", "json").answer["data"]
    dose = next(m for m in card["families"]["gram"] if m["node"] == "dose")
    assert 35 < dose["held_out_records"] < 95
    assert dose["records"] + dose["held_out_records"] == len(rows)


def test_a_run_without_held_out_records_has_no_bounds(run, ask, records):
    said = ask(
        "model", "counterfactual", run.path, "--data", records, "--do", "age=60", "--level", 0.9
    )
    assert said.code == 4
    assert "calibration = 0.2 under [model]" in " ".join(said.err.split())


def test_records_beyond_the_bounds_are_drawn_where_it_is_allowed_and_said(run, ask, records):
    for do in ("age=126", "age~126:1.0"):
        said = ask("model", "sample", run.path, "--rows", 2, "--do", do, "--extrapolate", "0.05")
        assert set(frame_of(said)["age"]) == {126}
        assert said.err.startswith("warning: age = 126 lies outside [0, 120] by 6")
        plain = ask("model", "sample", run.path, "--do", do)
        assert (plain.code, "would extrapolate by 6 (5% of the width)" in plain.err) == (4, True)
    ask_it = ("model", "counterfactual", run.path, "--data", records, "--do", "age=126")
    assert ask(*ask_it).code == 4
    said = ask(*ask_it, "--extrapolate", "0.05")
    assert set(frame_of(said)["age"]) == {126}
    assert said.err.count("warning: age = 126 lies outside [0, 120] by 6") == 1


def test_answers_over_a_class_name_the_directions_that_they_rest_on(class_run, ask, records):
    chosen = "warning: age -> dose: the data leave this direction open"
    said = ask("model", "sample", class_run, "--rows", 2, "--do", "age=50", "--quiet")
    assert said.err.startswith(chosen)
    assert ask("model", "sample", class_run, "--rows", 2).err == ""
    question = ("model", "counterfactual", class_run, "--data", records)
    assert ask(*question, "--do", "age=50", "--quiet").err.startswith(chosen)
    data = ask(*question, "--do", "age=50", "--format", "json").answer["data"]
    assert chosen.endswith(data["warnings"][0][:20]) or data["warnings"][0] in said.err
    card = ask("model", "card", class_run).out
    assert "age -> dose (linked; this direction is a choice within the class" in card


def test_the_law_of_a_variable_among_records_with_given_values(run, ask):
    said = ask("model", "query", run.path, "--outcome", "dose", "--given", "age=60")
    assert said.lines[0].startswith("Among records with age = 60 years, dose has the mean ")
    assert "assumes: This is what is seen among such records, no effect" in said.out
    data = ask(
        "model", "query", run.path, "--outcome", "sick", "--given", "dose=12", "--format", "json"
    ).answer["data"]
    assert sum(data["probabilities"].values()) == pytest.approx(1.0)
    assert data["effective_records"] > 1000
    found = run.model.query("sick", given={"dose": 12.0})
    assert data == json.loads(json.dumps(found.to_json()))
    rare = ask("model", "query", run.path, "--outcome", "sick", "--given", "dose=20")
    assert (rare.code, "fewer than 30 tell too little" in rare.err) == (4, True)
    bare = ask("model", "query", run.path, "--outcome", "sick", "--given", "dose")
    assert (bare.code, "--given 'dose': expected name=value" in bare.err) == (4, True)
