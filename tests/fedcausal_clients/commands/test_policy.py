import json

import pytest

from fedcausal.cli import main
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture
def work(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [1.0] * 40}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    return prepare_workspace(study, tables, tmp_path / "work", seed=1, policy={"min_cell": 5})


def test_show_and_check(work, capsys, new_study):
    home = str(work / "north")
    assert main(["site", "policy", "show", "--home", home, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["policy"]["min_cell"] == 5
    assert main(["site", "policy", "check", str(work / "study.toml"), "--home", home]) == 0
    assert "approved" in capsys.readouterr().out
    (work / "other.toml").write_text(new_study(privacy={"min_cell": 2}).to_toml())
    arguments = ["site", "policy", "check", str(work / "other.toml"), "--home", home]
    assert main([*arguments, "--quiet"]) == 4
    assert "min_cell" in capsys.readouterr().out
    assert main([*arguments, "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out)["exit_code"] == 4


def test_a_folder_without_a_site_is_a_plain_error(tmp_path, capsys):
    assert main(["site", "policy", "show", "--home", str(tmp_path)]) == 4
    assert "Traceback" not in capsys.readouterr().err
