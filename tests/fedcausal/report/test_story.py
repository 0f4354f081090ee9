"""The report of a run, told from the files of its folder."""

import json
import re
import shutil

import pytest

from fedcausal.report.story import IN_TABLES, IN_THE_BASIS, LIMITS, report_content, write_report
from fedcausal.results.run import load_run


@pytest.fixture
def run(tmp_path, asked_run):
    return load_run(shutil.copytree(asked_run.path, tmp_path / "run"))


def edited(run, change):
    path = run.path / "result.json"
    content = json.loads(path.read_text())
    change(content["exact"])
    path.write_text(json.dumps(content))
    return load_run(run.path)


def test_the_story_says_who_what_and_how_sure(run, asked_study):
    content = report_content(run)
    assert content.title == "A <mixed> study"
    assert content.study_hash == asked_study.hash()
    assert [row[0] for row in content.participants.rows] == [
        "a",
        "b",
        "c",
        "steward",
        "coordinator",
    ]
    assert "4500 records" in content.participants.note
    assert {(e.source, e.target) for e in content.edges} == {
        (e.source, e.target) for e in run.graph.edges
    }
    assert all("of the sites' graphs" in edge.votes for edge in content.edges)
    assert content.summary == (run.effects[0]["sentence"],)
    assert content.effects[0].to_json() == run.effects[0]
    assert content.limits[:-1] == LIMITS
    assert "faking a dropout" in content.limits[-1]


def test_every_site_and_part_has_its_line_in_the_ledger(run):
    rows = report_content(run).ledger
    assert len(rows) == 3 * 3
    assert all(row.epsilon is None and row.protection for row in rows)


def test_messages_are_added_up_by_site_and_statistic(run):
    assert report_content(run).releases.rows == (
        ("a", "gram", 1, 7),
        ("b", "gram", 1, 7),
        ("c", "gram", 1, 7),
    )


def test_the_differences_of_sites_are_told_only_where_there_is_a_table(run):
    assert report_content(run).differences.rows == ()
    table = {"columns": ["variable", "a"], "rows": [["age", "ok"]], "note": "n"}
    (run.path / "sites.json").write_text(json.dumps(table))
    assert report_content(run).differences.rows == (("age", "ok"),)


def test_what_was_left_out_is_a_warning_and_a_reference_level_is_not(run):
    def change(exact):
        exact["dropped"] = [["group=c", "withheld: too few records"], ["x=0", "reference level"]]
        exact["notes"] = ["mind the gap"]

    warnings = report_content(edited(run, change)).warnings
    assert "mind the gap" in warnings
    assert "The graph does without group=c: withheld: too few records." in warnings
    assert not any("x=0" in text for text in warnings)


def test_disagreements_are_told_at_the_edge_or_as_a_warning(run):
    edge = run.graph.edges[0]
    at = {"pair": [edge.source, edge.target], "pooled": "->", "merged": "->", "adjacent": 0.2}
    off = {"pair": ["age", "group"], "pooled": "none", "merged": "none", "adjacent": 0.9}

    def change(exact):
        exact["disagreements"] = [
            {**at, "forward": 0.1, "backward": 0.1},
            {**off, "forward": 0.5, "backward": 0.4},
        ]

    content = report_content(edited(run, change))
    assert "do not join them" in content.edges[0].disagreement
    assert any("age and group" in text and "90%" in text for text in content.warnings)


def test_a_run_without_model_and_answers_still_has_a_report(run):
    def change(exact):
        exact["answers"] = {"effects": [], "do_sample": [], "counterfactual": None}
        exact["mechanisms"], exact["votes"], exact["num_records"] = [], None, None

    content = report_content(edited(run, change))
    assert content.model.note == ""
    assert content.counterfactuals == ()
    assert content.participants.note == ""
    assert write_report(run).is_file()


def test_what_is_not_seen_goes_by_the_statistics(run, asked_study, monkeypatch):
    assert IN_THE_BASIS in report_content(run).assumptions
    on_tables = asked_study.discovery.model_copy(update={"tests": "tables"})
    study = asked_study.model_copy(update={"discovery": on_tables})
    monkeypatch.setattr("fedcausal.report.story.Study.load", lambda path: study)
    told = report_content(run).assumptions
    assert IN_TABLES in told
    assert IN_THE_BASIS not in told


def test_a_neural_model_is_told_with_its_budget(run):
    path = run.path / "result.json"
    content = json.loads(path.read_text())
    for epsilon, said in ((None, "without differential privacy"), (2.0, "epsilon 2")):
        content["noised"] = {"nodeflow": {"parameters": 7, "rounds": 2, "epsilon": epsilon}}
        path.write_text(json.dumps(content))
        assert said in report_content(load_run(run.path)).model.note


def test_the_report_is_one_file_that_asks_nobody(run):
    text = write_report(run).read_text()
    assert "A &lt;mixed&gt; study" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def undirect(exact, pair=("drug", "pressure")):
    """The result, as if the data left the direction of one edge open."""
    for edge in exact["graph"]["edges"]:
        if {edge["source"], edge["target"]} == set(pair):
            edge["target_mark"] = edge["source_mark"] = "tail"


def test_what_rests_on_an_open_direction_says_so(run):
    assert not any("open" in table.note for table in told(report_content(run)))
    content = report_content(edited(run, undirect))
    for table in told(content):
        assert "drug -> pressure: the data leave this direction open" in table.note


def told(content):
    return content.model, content.samples


def test_means_beside_the_effects_of_a_class_are_those_of_one_graph(run):
    def change(exact):
        exact["answers"]["effects"][0]["interval_kind"] = "class"

    said = "in the model's own graph, one of those that the data admit"
    assert said not in write_report(run).read_text().replace("&#39;", "'")
    assert said in write_report(edited(run, change)).read_text().replace("&#39;", "'")
