import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fedcausal.daemons.monitor import exposition
from fedcausal_server.daemon import monitoring
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run
from fedcausal_server.daemon.monitoring import coordinator_metrics, coordinator_monitor

README = Path(__file__).resolve().parents[3] / "server" / "README.md"


def samples(home):
    families = text_string_to_metric_families(exposition(coordinator_metrics(home)))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_serving_coordinator(coordinator_home, control, join, small_study, monkeypatch):
    monkeypatch.setattr(monitoring, "is_serving", lambda home: True)
    monkeypatch.setattr(monitoring, "Control", control)
    for name in ("a", "b", "c"):
        join(name)
    join("s", "steward")
    join("late", confirmed=False)
    submit_run(
        coordinator_home,
        prepare_run(coordinator_home, small_study, seed=0, steps=("discovery",)),
    )
    found = samples(coordinator_home)
    assert found["fedcausal_coordinator_serving",] == 1
    assert found["fedcausal_parties", "site", "enrolled"] == 3
    assert found["fedcausal_parties", "site", "joined"] == 1
    assert found["fedcausal_parties", "steward", "enrolled"] == 1
    assert found["fedcausal_nodes", "online"] == 4
    assert found["fedcausal_runs", "running"] == 1
    assert found["fedcausal_disk_free_bytes",] > 0
    assert 396 < found["fedcausal_certificate_seconds_left", "server.pem"] / 86400 <= 397
    # No party is named: whoever sees the dashboard need not know who takes part in what.
    assert "late" not in exposition(coordinator_metrics(coordinator_home))
    assert coordinator_monitor(coordinator_home).answer("/ready")[0] == 200


def test_a_stopped_coordinator(coordinator_home):
    found = samples(coordinator_home)
    assert found["fedcausal_coordinator_serving",] == 0
    assert not any(name == "fedcausal_nodes" for name, *_ in found)
    assert coordinator_monitor(coordinator_home).answer("/ready")[0] == 503


def test_the_operators_manual_names_every_metric(coordinator_home):
    documented = set(re.findall(r"^\| `(fedcausal_\w+)", README.read_text(), re.MULTILINE))
    assert documented == {metric.name for metric in coordinator_metrics(coordinator_home)}
