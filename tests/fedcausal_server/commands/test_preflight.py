import json

import pytest

from fedcausal.cli import main
from fedcausal_server.daemon import preflight


@pytest.fixture(autouse=True)
def healthy_machine(monkeypatch):
    monkeypatch.setattr(preflight, "examine", list)


def test_findings_are_printed(coordinator_home, capsys):
    coordinator_home.task_secret.chmod(0o604)
    folder = str(coordinator_home.folder)
    assert main(["coordinator", "preflight", folder]) == 4
    assert "chmod 600" in capsys.readouterr().out
    coordinator_home.task_secret.chmod(0o600)
    main(["coordinator", "preflight", folder, "--format", "json"])
    findings = json.loads(capsys.readouterr().out)["data"]["findings"]
    assert {"check": "secrets", "status": "ok", "detail": "there, their owner's alone"} in findings
    main(["coordinator", "preflight", folder, "--quiet"])
    assert "home disk" not in capsys.readouterr().out
