"""`fedcausal model effect`: numbers, sets of numbers, and what a graph says without a model."""

import json
import shutil

import pytest

EFFECT = ("--treatment", "age", "--outcome", "dose", "--values", "30", "--values", "60")


def test_an_effect_of_ones_own(run, ask):
    question = ("--treatment", "age", "--outcome", "dose", "--values", 30, "--values", 60)
    said = ask("model", "effect", run.path, *question)
    assert said.lines[0].startswith("Setting age to 60 years instead of 30 years raises dose")
    assert any(line.startswith("  assumes: ") for line in said.lines)
    quiet = ask("model", "effect", run.path, *question, "--quiet")
    assert not any("assumes" in line for line in quiet.lines)
    answer = ask("model", "effect", run.path, *question, "--format", "json").answer["data"]
    assert answer["treatment"] == "age"
    found = run.model.effect("age", "dose", (30.0, 60.0))
    assert answer == json.loads(json.dumps(found.to_json()))


def test_without_options_the_study_s_own_answers(run, ask):
    said = ask("model", "effect", run.path)
    text, found = " ".join(line.strip() for line in said.lines), run.effects[0]
    assert text.startswith(found["sentence"])
    for part in (found["identification"], *(f"assumes: {a}" for a in found["assumptions"])):
        assert part in text
    assert f"E-value {found['e_values'][0]:.3g}: " in text
    assert max(map(len, said.lines)) <= 80
    quiet = ask("model", "effect", run.path, "--quiet")
    assert " ".join(quiet.lines) == found["sentence"]
    answer = ask("model", "effect", run.path, "--format", "json").answer["data"]
    assert answer["effects"] == run.effects


def test_a_hidden_cause_is_stated_and_refused(run, ask):
    question = ("--treatment", "age", "--outcome", "dose", "--values", 30, "--values", 60)
    said = ask("model", "effect", run.path, *question, "--hidden", "age,dose")
    assert said.code == 4
    assert "the effect of age on dose is not identified from this graph" in said.err
    assert "age <-> dose stays open" in said.err
    assert said.out == ""
    plain = ask("model", "effect", run.path, *question)
    assert any("Identified" in line for line in plain.lines)


def test_the_effect_in_a_group_and_among_the_treated(run, ask):
    question = ("--treatment", "dose", "--outcome", "sick", "--values", 8, "--values", 12)
    said = ask("model", "effect", run.path, *question, "--given", "age=60", "--given", "sex=f")
    assert "with age = 60 years and sex = f" in " ".join(said.lines)
    said = ask("model", "effect", run.path, *question, "--treated", "--format", "json")
    assert said.answer["data"]["population"].endswith("with dose = 12 of itself")
    said = ask("model", "effect", run.path, *question, "--mean", "age=60")
    assert "a population with the means age 60" in " ".join(said.lines)
    said = ask("model", "effect", run.path, *question, "--mean", "age")
    assert (said.code, "--mean 'age': expected name=value" in said.err) == (4, True)


def test_a_value_beyond_the_bounds_is_warned_of_as_far_as_it_is_allowed(run, ask):
    question = ("--treatment", "age", "--outcome", "dose", "--values", 30, "--values", 126)
    said = ask("model", "effect", run.path, *question)
    assert (said.code, "would extrapolate by 6 (5% of the width)" in said.err) == (4, True)
    said = ask("model", "effect", run.path, *question, "--extrapolate", "0.05")
    assert "warning: age = 126 lies outside [0, 120] by 6" in " ".join(said.lines)
    assert any("E-value" in line for line in said.lines)


def test_a_refused_query_of_the_study_has_exit_code_4(run, ask, tmp_path):
    copy = tmp_path / "refused"
    shutil.copytree(run.path, copy)
    result = json.loads((copy / "result.json").read_text())
    refusal = {"key": "effects.queries[1]", "reason": "outcome: 'q' is not in the model"}
    result["exact"]["answers"]["refused"] = [refusal]
    (copy / "result.json").write_text(json.dumps(result))
    said = ask("model", "effect", copy)
    assert said.code == 4
    assert "effects.queries[1]: outcome: 'q' is not in the model" in said.err
    assert "Setting age" in said.out


def test_an_answer_says_which_mechanisms_differ_between_sites(run, ask, tmp_path):
    copy = tmp_path / "varying"
    shutil.copytree(run.path, copy)
    result = json.loads((copy / "result.json").read_text())
    result["exact"]["varying"] = {"dose": ["the slope of age -> dose"]}
    (copy / "result.json").write_text(json.dumps(result))
    said = ask("model", "effect", copy, *EFFECT)
    assert said.code == 0
    assert "the mechanism of dose differs between the sites" in said.out.replace("\n    ", " ")


def test_warnings_of_the_study_s_own_answers_are_printed(run, ask, tmp_path):
    copy = tmp_path / "warned"
    shutil.copytree(run.path, copy)
    result = json.loads((copy / "result.json").read_text())
    result["exact"]["answers"]["effects"][0]["warnings"] = ["mind the gap"]
    (copy / "result.json").write_text(json.dumps(result))
    assert "  warning: mind the gap" in ask("model", "effect", copy, "--quiet").lines


def test_a_pag_says_what_it_identifies_without_a_model(pag_run, ask):
    question = ("--treatment", "dose", "--outcome", "sick")
    said = ask("model", "effect", pag_run, *question)
    text = " ".join(said.lines)
    assert (said.code, said.err) == (0, "")
    assert text.startswith("dose on sick: Identified")
    assert "there is no number here" in text
    same = ask("model", "effect", pag_run, *question, "--values", 8, "--values", 12)
    assert same.out == said.out
    data = ask("model", "effect", pag_run, *question, "--format", "json").answer["data"]
    assert (data["means"], data["estimate"], data["graph"]) == ("adjustment", None, "pag")
    none = ask("model", "effect", pag_run, "--treatment", "sick", "--outcome", "age")
    assert "no path of causes leads from sick to age. The effect is exactly 0." in " ".join(
        none.lines
    )


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (
            ["effect", "--treatment", "age", "--outcome", "sick"],
            "is not identified from this graph",
        ),
        (["effect", "--treatment", "age", "--outcome", "sicc"], "unknown variable 'sicc'"),
        (["effect"], "the graph is a PAG, which has no model: name --treatment and --outcome"),
        (
            ["effect", "--treatment", "dose", "--outcome", "sick", "--given", "sex=f"],
            "name --treatment and --outcome alone",
        ),
        (["sample"], "the graph is a PAG, which stands for no one model"),
    ],
)
def test_what_a_pag_cannot_answer_is_refused_with_the_reason(pag_run, ask, arguments, fragment):
    command, *rest = arguments
    said = ask("model", command, pag_run, *rest)
    assert said.code == 4
    assert fragment in said.err
    assert "run the step" not in said.err


def test_the_effect_in_a_class_is_a_set(class_run, ask):
    said = ask("model", "effect", class_run, *EFFECT, "--format", "json").answer["data"]
    assert said["interval_kind"] == "class"
    assert min(said["possible_effects"]) == 0.0
