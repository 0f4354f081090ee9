"""`fedcausal model card` and `export-onnx`."""

import json

import pytest

from fedcausal.commands.model_files import model_folder
from fedcausal.errors import InputError


def test_the_card_is_printed_and_written(run, ask, tmp_path):
    said = ask("model", "card", run.path)
    assert said.code == 0
    assert said.lines[0] == "# Model card: toy"
    data = ask("model", "card", run.path / "model", "--format", "json").answer["data"]
    assert data["study"]["hash"] == run.card["study"]["hash"]
    assert data["num_sites"] == 3
    assert data["versions"]["fedcausal"]
    assert {part["part"] for part in data["privacy"]} == {"graph", "model", "effects"}
    ask("model", "card", run.path, "--out", tmp_path / "a" / "card.md")
    assert (tmp_path / "a" / "card.md").read_text() == said.out
    ask("model", "card", run.path, "--out", tmp_path / "card.json")
    assert json.loads((tmp_path / "card.json").read_text()) == data
    wrong = ask("model", "card", run.path, "--out", tmp_path / "card.pdf")
    assert wrong.code == 4
    assert "ends in .md or .json" in wrong.err


def test_the_model_is_written_for_other_programs(run, ask, tmp_path):
    out = tmp_path / "model.onnx"
    said = ask("model", "export-onnx", run.path, "--out", out)
    assert said.lines[0] == f"wrote {out}"
    assert "  do:sex: code (0 = f, 1 = m); NaN: not acted upon" in said.lines
    asked = ("model", "export-onnx", run.path, "--out", out, "--question")
    data = ask(*asked, "counterfactual", "--format", "json").answer["data"]
    assert "fact:age" in data["inputs"]
    assert ask(*asked, "effect").code == 4
    assert ask("model", "export-onnx", run.path, "--out", tmp_path / "m.pt").code == 4


def test_a_run_without_a_model_is_refused(bare_run):
    with pytest.raises(InputError, match="the run has no model"):
        model_folder(str(bare_run.path))
