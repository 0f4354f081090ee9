import json
import re
import socket
from datetime import UTC, datetime, timedelta

import pytest
import tomli_w

from fedcausal.cli import main
from fedcausal.daemons.processes import free_port, held_folder
from fedcausal.errors import StudyError
from fedcausal_clients.daemon import preflight as module
from fedcausal_clients.daemon.clock import Skew
from fedcausal_clients.daemon.preflight import preflight
from fedcausal_privacy.keys.certificate_expiry import CertificateExpiry
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture(autouse=True)
def healthy_machine(monkeypatch):
    """The machine itself is the doctor's business, and looked at in its own tests."""
    monkeypatch.setattr(module, "examine", list)


@pytest.fixture
def home(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [float(i % 9) for i in range(40)]}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    return prepare_workspace(study, tables, tmp_path / "work", seed=1) / "north"


def bad(findings):
    return {f.check: f.detail for f in findings if f.status != "ok"}


def test_a_site_that_is_ready(home, study):
    findings = preflight(home, study)
    assert bad(findings) == {}
    assert {f.check for f in findings} == {"site disk", "key", "audit log", "data"}


def test_everything_that_is_wrong_is_found_at_once(home, new_study, monkeypatch):
    (home / "state" / "identity.pem").chmod(0o644)
    (home / "audit.jsonl").write_text('{"prev": "x"}\n')
    study = new_study(privacy={"min_cell": 2})
    found = bad(preflight(home, study))
    assert "others can read" in found["key"]
    assert "chain is broken" in found["site"]
    assert "min_cell" in found["policy"]


def test_a_clock_behind_the_log(home, study, monkeypatch):
    from fedcausal_clients.home import approve

    approve(home, study.hash())

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) - timedelta(hours=3)

    monkeypatch.setattr(module, "datetime", Earlier)
    assert "set the clock" in bad(preflight(home))["site clock"]


def test_certificates_that_end_soon(home, monkeypatch):
    now = datetime(2026, 5, 1, tzinfo=UTC)

    for name in ("coordinator/ca.crt", "certificates/db.pem"):
        (home / name).parent.mkdir()
        (home / name).write_text("")

    def soon(paths):
        assert [path.name for path in paths] == ["ca.crt", "db.pem"]
        begin, end = now - timedelta(days=9), now + timedelta(days=5)
        expiry = CertificateExpiry(name="site.pem", not_before=begin, not_after=end, now=now)
        return (expiry,)

    monkeypatch.setattr(module, "check_expiry", soon)
    assert "5 days left" in bad(preflight(home))["certificate"]


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("postgresql://db.north.example/cdm", False),
        ("postgresql://db.north.example/cdm?sslmode=require", False),
        ("postgresql://db.north.example/cdm?sslmode=verify-full", True),
        ("postgresql:///cdm", True),
        ("postgresql://localhost/cdm", True),
    ],
)
def test_rows_that_would_travel_in_clear(home, url, is_fine):
    content = {
        "site": {"name": "north"},
        "data": {"source": "postgresql", "url": url, "table": "t"},
        "simulation": {"seed": 1},
    }
    (home / "site.toml").write_text(tomli_w.dumps(content))
    assert ("database" in bad(preflight(home))) is not is_fine


def test_a_folder_without_a_site_file(tmp_path):
    with pytest.raises(StudyError, match="make one with"):
        preflight(tmp_path)


def test_the_command(home, study, capsys):
    path = home.parent / "study.toml"
    assert main(["site", "preflight", str(path), "--home", str(home)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    (home / "data.parquet").unlink()
    assert main(["site", "preflight", str(path), "--home", str(home), "--format", "json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 4
    assert any("no such file" in f["detail"] for f in answer["data"]["findings"])


@pytest.fixture
def joined(home):
    """The site has joined a coordinator, trusts nobody yet, and opened its monitoring port."""
    (home / "coordinator").mkdir()
    content = '{"address": "127.0.0.1:1", "name": "north"}'
    (home / "coordinator" / "link.json").write_text(content)
    text = (home / "site.toml").read_text()
    assert "[trust]" in text
    text = re.sub(r"(?s)\[trust\].*", "[trust]\n", text)
    (home / "site.toml").write_text(f"{text}\n[monitoring]\nport = {free_port()}\n")
    return home


def test_a_coordinator_that_does_not_answer(joined):
    found = bad(preflight(joined))
    assert "cannot be reached" in found["coordinator"] or "authority" in found["coordinator"]
    assert "site trust" in found["trust"]
    assert "coordinator" not in bad(preflight(joined, offline=True))


@pytest.mark.parametrize(("seconds", "status"), [(1, "ok"), (-120, "warning"), (7200, "failed")])
def test_a_clock_that_is_apart(joined, monkeypatch, seconds, status):
    monkeypatch.setattr(module, "measure_skew", lambda c: Skew(seconds=seconds, error=1.0))
    found = {f.check: f for f in preflight(joined)}
    assert found["coordinator"].status == "ok"
    assert found["clock skew"].status == status
    assert f"{seconds:+d} s" in found["clock skew"].detail
    assert found["monitoring port"].status == "ok"


def test_a_monitoring_port_in_use(joined):
    port = int(re.search(r"port = (\d+)", (joined / "site.toml").read_text())[1])
    with socket.create_server(("127.0.0.1", port)):
        assert "in use" in bad(preflight(joined, offline=True))["monitoring port"]
        with held_folder(joined / "state"):
            assert "monitoring port" not in bad(preflight(joined, offline=True))
