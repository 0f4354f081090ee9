"""A run in a few lines of a terminal."""

import json
import shutil

from fedcausal.results.run import load_run
from fedcausal.results.summary import WIDTH, summary_lines


def test_a_summary_fits_the_terminal_and_says_what_matters(asked_run):
    lines = summary_lines(asked_run)
    path = str(asked_run.path)
    assert all(len(line) <= WIDTH for line in lines if path not in line)
    text = "\n".join(lines)
    assert "3 sites, 4500 records, 3 rounds" in text
    assert "have no differential privacy" in text.replace("\n    ", " ")
    assert asked_run.effects[0]["sentence"] in " ".join(lines)
    assert f"{path}/result.json" in text
    for edge in asked_run.graph.edges:
        sign = "->" if edge.is_directed else "--"
        assert f"{edge.source} {sign} {edge.target}" in text


def test_a_brief_summary_is_the_answer_alone(asked_run):
    brief = summary_lines(asked_run, brief=True)
    assert len(brief) < len(summary_lines(asked_run))
    assert not any("privacy" in line for line in brief)
    assert any(edge.source in line for edge in asked_run.graph.edges for line in brief)


def test_a_question_that_a_site_answers_itself_says_how(tmp_path, asked_run):
    path = shutil.copytree(asked_run.path, tmp_path / "r") / "result.json"
    content = json.loads(path.read_text())
    left = {"key": "effects.queries[1]", "population": "site north"}
    content["exact"]["answers"]["at_sites"] = [left]
    path.write_text(json.dumps(content))
    text = " ".join(summary_lines(load_run(tmp_path / "r"), brief=True))
    assert "effects.queries[1] is about site north alone and answered there" in text
    assert '--population "site north" --records OWN.csv' in text


def test_a_number_that_was_not_released_is_not_shown(tmp_path, asked_run):
    shutil.copytree(asked_run.path, tmp_path / "r")
    path = tmp_path / "r" / "result.json"
    for unknown in (None, 0):
        content = json.loads(path.read_text())
        content["exact"]["num_records"] = unknown
        path.write_text(json.dumps(content))
        head = summary_lines(load_run(tmp_path / "r"))[1]
        assert "records" not in head
        assert head.startswith("3 sites, 3 rounds")


def test_notes_are_shown_after_the_edges_and_a_long_list_is_cut(tmp_path, asked_run):
    path = shutil.copytree(asked_run.path, tmp_path / "r") / "result.json"
    content = json.loads(path.read_text())
    content["exact"]["notes"] = [f"note {i} " + "word " * 30 for i in range(10)]
    path.write_text(json.dumps(content))
    lines = summary_lines(load_run(tmp_path / "r"))
    start = lines.index("notes")
    assert all(len(line) <= WIDTH for line in lines[start : lines.index("privacy")])
    assert sum(line.startswith("  - note ") for line in lines) == 8
    assert "  - 2 more: see report.html" in lines
    content["exact"]["notes"] = []
    path.write_text(json.dumps(content))
    assert "notes" not in summary_lines(load_run(tmp_path / "r"))


def test_an_imagined_record_names_the_open_directions_that_it_rests_on(tmp_path, asked_run):
    path = shutil.copytree(asked_run.path, tmp_path / "r") / "result.json"
    content = json.loads(path.read_text())
    for edge in content["exact"]["graph"]["edges"]:
        if (edge["source"], edge["target"]) == ("drug", "pressure"):
            edge["target_mark"] = "tail"
    path.write_text(json.dumps(content))
    said = "  drug -> pressure: the data leave this direction open"
    assert any(line.startswith(said) for line in summary_lines(load_run(tmp_path / "r")))
    assert not any(line.startswith(said) for line in summary_lines(asked_run))
