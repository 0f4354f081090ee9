import json

import pytest
from typer.testing import CliRunner

from fedcausal.cli import main
from fedcausal_clients.commands.site import site
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture
def home(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [1.0] * 40}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    return prepare_workspace(study, tables, tmp_path / "work", seed=1) / "north"


def test_the_budget_is_printed_for_people_and_for_programs(home):
    said = CliRunner().invoke(site, ["budget", str(home)])
    assert said.output == (
        "north: epsilon 0 spent at delta 1e-05, no limit (policy.max_epsilon)\n"
    )
    answer = json.loads(CliRunner().invoke(site, ["budget", str(home), "--format", "json"]).output)
    assert answer["data"]["site"] == "north"
    assert answer["data"]["releases"] == []


def test_a_folder_that_is_no_site_is_a_plain_error(tmp_path, capsys):
    assert main(["site", "budget", str(tmp_path)]) in (1, 4)
    assert "Traceback" not in capsys.readouterr().err
