import json

import pytest

from fedcausal.cli import main
from fedcausal.errors import DeadlineError, DisclosureError
from fedcausal_server.daemon import deployed_runs


@pytest.fixture
def study_file(tmp_path, small_study):
    path = tmp_path / "study.toml"
    path.write_text(small_study.to_toml())
    return path


@pytest.fixture
def words(coordinator_home, control, join, study_file):
    for name in ("a", "b", "c"):
        join(name)
    join("s", "steward")
    return ["coordinator", "run", str(coordinator_home.folder), str(study_file), "--name", "one"]


@pytest.mark.parametrize(
    ("error", "code"), [(DisclosureError("a: TOO_FEW_ROWS"), 1), (DeadlineError("waited"), 3)]
)
def test_a_runs_end_is_the_exit_code(words, control, monkeypatch, capsys, error, code):
    def fail(home, name, **options):
        raise error

    monkeypatch.setattr(deployed_runs, "watch_run", fail)
    assert main([*words, "--format", "json", "--seed", "5", "--steps", "discovery"]) == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code
    (config,) = control.configs
    assert (config["seed"], config["steps"]) == (5, "discovery")


def test_sites_are_chosen_by_name(words, control, coordinator_home, monkeypatch, capsys):
    monkeypatch.setattr(deployed_runs, "watch_run", lambda *args, **options: 1 / 0)
    assert main([*words, "--sites", "a, b"]) == 4
    assert "3" in capsys.readouterr().err
    assert control.configs == []
