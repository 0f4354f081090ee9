import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from fedcausal_privacy.keys.client_certificates import make_revocation_list
from fedcausal_server.daemon import preflight as module
from fedcausal_server.daemon.home import create_home
from fedcausal_server.daemon.preflight import preflight
from fedcausal_server.parties.authority import protect
from fedcausal_server.parties.enrolling import note


@pytest.fixture(autouse=True)
def healthy_machine(monkeypatch):
    monkeypatch.setattr(module, "examine", list)


@pytest.fixture
def home(tmp_path):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return create_home(
        tmp_path / "c", name="n", hosts=["h"], port=port, bind="127.0.0.1", now=datetime.now(UTC)
    )


def bad(home):
    return {f.check: (f.status, f.detail) for f in preflight(home) if f.status != "ok"}


def test_a_home_that_is_ready(home):
    assert set(bad(home)) == {"authority key"}
    protect(home, passphrase=None, new="words")
    note(home, "enrolled", party="north")
    assert bad(home) == {}
    assert {f.check for f in preflight(home)} == {
        "home disk",
        "secrets",
        "authority key",
        "certificate",
        "audit log",
        "port",
    }


def test_what_is_wrong_is_found_at_once(home, tmp_path):
    home.operator_token.chmod(0o644)
    home.audit_log.write_text('{"prev": "x"}\n')
    with closing(socket.create_server(("127.0.0.1", home.config.port))):
        found = bad(home)
    assert "others can read" in found["secrets"][1]
    assert "chain is broken" in found["home"][1]
    assert "cannot be opened" in found["port"][1]


@pytest.mark.parametrize(
    ("days", "status"), [(100, "ok"), (370, "warning"), (396.5, "warning"), (400, "failed")]
)
def test_the_end_of_a_revocation_list_is_seen(home, days, status):
    made = datetime.now(UTC) - timedelta(days=days)
    content = make_revocation_list(
        home.authority.read_bytes(), home.authority_key.read_bytes(), {}, now=made
    )
    home.revocation_list.write_bytes(content)
    assert x509.load_pem_x509_crl(content).next_update_utc
    assert bad(home).get("revocation list", ("ok",))[0] == status


def test_open_doors_are_found(home, monkeypatch):
    monkeypatch.setattr(module, "is_serving", lambda home: True)

    class Answer:
        status_code = 200

    monkeypatch.setattr(module.httpx, "post", lambda *a, **k: Answer)
    assert "HTTP 200 without a token" in bad(home)["control routes"][1]
    Answer.status_code = 403
    assert "control routes" not in bad(home)
