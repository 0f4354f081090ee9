import re
from pathlib import Path

import pytest

from fedcausal.cli import main
from fedcausal.daemons.monitor import exposition
from fedcausal.daemons.processes import held_folder
from fedcausal_clients.daemon import monitoring
from fedcausal_clients.daemon.clock import Skew
from fedcausal_clients.daemon.home import write_coordinator
from fedcausal_clients.daemon.monitoring import site_metrics, site_monitor
from fedcausal_privacy.keys.enrolment import Invitation
from fedcausal_simulations.workspace import prepare_workspace

README = Path(__file__).resolve().parents[3] / "clients" / "README.md"


@pytest.fixture
def home(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [float(i % 9) for i in range(40)]}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    folder = prepare_workspace(study, tables, tmp_path / "work", seed=1) / "north"
    write_coordinator(
        folder,
        Invitation(address="h:1", authority="", name="north", role="site", token="t", expires=1.0),
    )
    (folder / "coordinator" / "ca.crt").unlink()
    return folder


def values(folder):
    found = {}
    for metric in site_metrics(folder):
        for labels, value in metric.samples.items():
            found[metric.name, *(text for _, text in labels)] = value
    return found


def test_a_site_that_is_up(home, study, monkeypatch):
    monkeypatch.setattr(monitoring, "_skew", lambda folder: Skew(seconds=2.0, error=1.0))
    with held_folder(home / "state"):
        found = values(home)
        assert site_monitor(home).answer("/ready")[0] == 200
    assert found["fedcausal_site_running",] == 1
    assert found["fedcausal_site_coordinator_reachable",] == 1
    assert found["fedcausal_site_clock_skew_seconds",] == 2.0


def test_a_site_that_is_alone(home):
    found = values(home)
    assert found["fedcausal_site_running",] == found["fedcausal_site_coordinator_reachable",] == 0
    assert site_monitor(home).answer("/ready")[0] == 503


def test_consent_is_counted_and_records_are_not(home, study):
    main(["site", "requests", "list", "--home", str(home)])
    text = exposition(site_metrics(home))
    # 40 rows of ages 20 to 59: no number of them, nor of a column, stands there.
    for line in text.splitlines():
        if not line.startswith("#") and not line.startswith("fedcausal_disk"):
            assert float(line.rsplit(" ", 1)[1]) < 20
    assert "age" not in re.findall(r'"([^"]*)"', text)


def test_the_hospitals_manual_names_every_metric(home):
    documented = set(re.findall(r"^\| `(fedcausal_\w+)", README.read_text(), re.MULTILINE))
    assert documented == {metric.name for metric in site_metrics(home)}
