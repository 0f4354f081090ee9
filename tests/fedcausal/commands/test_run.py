"""`fedcausal run`: what is there and what it learnt."""


def test_runs_are_listed(run, ask, monkeypatch):
    monkeypatch.chdir(run.path.parent.parent)
    said = ask("run", "list")
    assert said.lines[0].split() == ["run", "study", "sites", "records", "edges"]
    assert said.lines[1].split()[:4] == ["toy-1", "toy", "3", "180"]
    (row,) = ask("run", "list", "--format", "json").answer["data"]["runs"]
    assert row["run"] == "toy-1"
    assert row["edges"] == len(run.graph.edges)


def test_no_runs_is_no_error(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "fedcausal demo" in ask("run", "list").out
    assert ask("run", "list", "--quiet").lines == []
    assert ask("run", "list", "--format", "json").answer["data"] == {"runs": []}


def test_a_run_is_shown_by_folder_and_by_name(run, ask, monkeypatch):
    by_folder = ask("run", "show", run.path)
    assert by_folder.code == 0
    assert any("age -> dose" in line for line in by_folder.lines)
    assert max(len(line) for line in by_folder.lines if str(run.path) not in line) <= 80
    monkeypatch.chdir(run.path.parent.parent)
    assert ask("run", "show", "toy-1").lines[0] == by_folder.lines[0]
    quiet = ask("run", "show", "toy", "--quiet")
    assert 0 < len(quiet.lines) < len(by_folder.lines)
    answer = ask("run", "show", "toy-1", "--format", "json").answer["data"]
    assert answer["result"] == run.result
