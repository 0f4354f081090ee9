"""`fedcausal model mediation`, `refute` and `attribute`."""

import pytest


def test_mediation(run, ask):
    question = ("--treatment", "age", "--outcome", "sick", "--values", 30, "--values", 60)
    said = ask("model", "mediation", run.path, *question)
    assert "while dose stays as it was (direct)" in " ".join(said.lines)
    assert "(+- " in said.out
    assert any(line.startswith("  assumes: ") for line in said.lines)
    data = ask("model", "mediation", run.path, *question, "--format", "json").answer["data"]
    assert data["total"] == pytest.approx(data["direct"] - data["reversed_indirect"])
    said = ask("model", "mediation", run.path, *question, "--through", "sex")
    assert (said.code, "mediators: 'sex' is on no directed path" in said.err) == (4, True)


def test_attempts_to_refute(run, ask):
    question = ("--treatment", "dose", "--outcome", "sick", "--values", 8, "--values", 12)
    said = ask("model", "refute", run.path, *question)
    assert said.lines[0].startswith("With dose shuffled among drawn records the effect is")
    assert "assumes: All records here are drawn from the model" in said.out
    assert "assumes" not in ask("model", "refute", run.path, *question, "--quiet").out
    data = ask("model", "refute", run.path, *question, "--format", "json").answer["data"]
    assert "not the graph" in data["assumptions"][0]
    assert all(attempt["holds"] for attempt in data["refutations"])
    said = ask("model", "refute", run.path, *question[:-2])
    assert (said.code, "--values: expected two, from and to, got 1" in said.err) == (4, True)


def test_a_run_compared_with_itself_has_nothing_to_attribute(run, ask):
    said = ask("model", "attribute", run.path, run.path, "--outcome", "dose")
    assert said.lines[0].startswith("dose: ")
    data = ask(
        "model", "attribute", run.path, run.path, "--outcome", "dose", "--format", "json"
    ).answer["data"]
    assert set(data["shares"].values()) == {0.0}
    assert data["warnings"] == []


def test_parts_of_what_the_data_leave_open(class_run, ask):
    question = ("--treatment", "age", "--outcome", "sick", "--values", 30, "--values", 60)
    said = ask("model", "mediation", class_run, *question)
    assert (said.code, said.out) == (4, "")
    assert "the data leave the direction of age -- dose open" in said.err
    said = ask("model", "attribute", class_run, class_run, "--outcome", "dose", "--quiet")
    assert "warning: age -> dose: the data leave this direction open" in said.out
