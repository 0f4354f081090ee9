import json

import pytest

from fedcausal.cli import main
from fedcausal_server.daemon import deployed_runs
from fedcausal_server.daemon.home import open_home


@pytest.fixture
def folder(tmp_path, capsys):
    home = tmp_path / "c"
    assert main(["coordinator", "init", str(home), "--host", "127.0.0.1", "--port", "1"]) == 0
    assert "authority" in capsys.readouterr().out
    return home


def test_a_party_is_invited_and_listed(folder, tmp_path, capsys):
    invitation = tmp_path / "i.json"
    words = ["coordinator", "enrol", str(folder), "north", "--out", str(invitation)]
    assert main(words) == 0
    assert "fedcausal site join" in capsys.readouterr().out
    assert json.loads(invitation.read_text())["name"] == "north"
    assert main(["coordinator", "enrol", str(folder), "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["data"]["parties"]
    assert [(p["name"], p["state"]) for p in listed] == [("north", "invited")]
    assert main(["coordinator", "enrol", str(folder), "north", "--remove"]) == 0
    assert open_home(folder).book().enrolments == {}


def test_a_certificate_is_renewed(folder, capsys):
    before = open_home(folder).certificate.read_bytes()
    assert main(["coordinator", "renew", str(folder)]) == 0
    assert open_home(folder).certificate.read_bytes() != before


def test_a_coordinator_that_is_not_started_is_exit_code_2(folder, capsys):
    assert main(["coordinator", "status", str(folder)]) == 2
    assert "not serving at 127.0.0.1:1" in capsys.readouterr().out
    assert main(["coordinator", "stop", str(folder)]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["init", "HOME", "--host", "x"],
        ["init", "NEW"],
        ["init", "NEW", "--host", "a b"],
        ["init", "NEW", "--host", "x", "--port", "0"],
        ["enrol", "HOME", "a b"],
        ["enrol", "HOME", "north", "--role", "king"],
        ["enrol", "HOME", "north", "--fingerprint", "0000"],
        ["enrol", "HOME", "north", "--remove"],
        ["enrol", "HOME", "north", "--rotation", "missing.json"],
        ["start", "NEW"],
        ["status", "NEW"],
        ["run", "HOME", "missing.toml"],
        ["resume", "HOME", "missing"],
        ["abort", "HOME", "../x"],
    ],
)
def test_a_users_mistake_is_exit_code_4(folder, tmp_path, capsys, words):
    places = {"HOME": str(folder), "NEW": str(tmp_path / "new")}
    assert main(["coordinator", *[places.get(word, word) for word in words]]) == 4
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_runs_without_a_coordinator_are_exit_code_2(folder, capsys, monkeypatch):
    workspace = open_home(folder).workspace("one")
    workspace.mkdir(parents=True)
    (workspace / "options.json").write_text("{}")
    (workspace / "parties.json").write_text("[]")
    (workspace / "submitted.json").write_text('{"run_id": 1}')
    assert main(["coordinator", "resume", str(folder), "one"]) == 2
    assert main(["coordinator", "abort", str(folder), "one"]) == 2
    assert "coordinator start" in capsys.readouterr().err
    monkeypatch.setattr(deployed_runs, "abort_run", lambda home, name: True)
    assert main(["coordinator", "abort", str(folder), "one"]) == 0
