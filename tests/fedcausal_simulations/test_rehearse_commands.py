import json

import pytest
from typer.testing import CliRunner

from fedcausal.cli import main
from fedcausal_simulations import rehearsal
from fedcausal_simulations.rehearse_commands import rehearse

STUDY = """
[study]
name = "small"
[variables]
x = { kind = "continuous", bounds = [-10, 10] }
y = { kind = "continuous", bounds = [-10, 10] }
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def test_without_data_three_sites_are_made_up(study, monkeypatch):
    asked = {}

    class Stopped(Exception):  # noqa: N818 - no error
        pass

    def stop(found, tables, **options):
        asked.update(options, sites=sorted(tables), rows=sum(t.num_rows for t in tables.values()))
        raise Stopped

    monkeypatch.setattr(rehearsal, "rehearse", stop)
    result = CliRunner().invoke(rehearse, [str(study), "--seed", "4", "--steps", "discovery"])
    assert isinstance(result.exception, Stopped)
    assert asked["sites"] == ["site_1", "site_2", "site_3"]
    assert (asked["rows"], asked["seed"], asked["steps"]) == (900, 4, ["discovery"])


@pytest.mark.parametrize(
    "words",
    [
        ["missing.toml"],
        ["STUDY", "--data", "missing.csv", "--site-column", "s"],
        ["STUDY", "--steps", "dance"],
        ["STUDY", "--sites", "1"],
        ["STUDY", "--timeout", "0"],
    ],
)
def test_a_users_mistake_is_exit_code_4_and_starts_nothing(study, tmp_path, capsys, words):
    arguments = [str(study) if word == "STUDY" else word for word in words]
    assert main(["rehearse", *arguments, "--out", str(tmp_path / "o"), "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out)["exit_code"] == 4
    assert not (tmp_path / "o").exists()
