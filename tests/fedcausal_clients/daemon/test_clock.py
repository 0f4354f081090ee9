"""Clocks: minutes are said, hours refused, and a wrong clock does not hide behind certificates."""

import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fedcausal.errors import LinkError
from fedcausal_clients.daemon.clock import Skew, connection_fault, measure_skew
from fedcausal_clients.daemon.home import Coordinator
from fedcausal_privacy.keys.certificates import make_authority, make_server_certificate

MINUTE, HOUR = 60.0, 3600.0


class Health(BaseHTTPRequestHandler):
    ahead = 0.0

    def do_GET(self):
        self.send_response_only(200)
        self.send_header("date", formatdate(time.time() + self.ahead, usegmt=True))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    """A server with a certificate that begins to hold this minute."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority, key = make_authority("n", now=now)
    (folder / "ca.crt").write_bytes(authority)
    (folder / "server.pem").write_bytes(
        b"".join(make_server_certificate(authority, key, ["127.0.0.1"], now=now))
    )
    server = HTTPServer(("127.0.0.1", 0), Health)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield Coordinator(address=f"127.0.0.1:{server.server_port}", authority=folder / "ca.crt")
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(0, "ok"), (3 * MINUTE, "warning"), (-4 * MINUTE, "warning"), (9 * MINUTE, "failed")],
)
def test_the_difference_is_measured(coordinator, ahead, status):
    skew = measure_skew(coordinator, clock=lambda: time.time() + ahead)
    assert abs(skew.seconds - ahead) <= skew.error
    assert skew.status == status
    assert f"{skew.seconds:+.0f} s" in skew.detail


@pytest.mark.parametrize("ahead", [-3 * HOUR, 26 * HOUR])
def test_hours_are_refused_with_the_difference(coordinator, ahead):
    told = connection_fault(coordinator, clock=lambda: time.time() + ahead)
    assert "NTP" in told
    measured = float(told.split("clock is ")[1].split(" s")[0])
    assert abs(measured - ahead) < 30


@pytest.mark.parametrize("ahead", [0, 240, -240])
def test_minutes_work_and_are_logged(coordinator, caplog, ahead):
    assert connection_fault(coordinator, clock=lambda: time.time() + ahead) == ""
    assert ("synchronise this machine" in caplog.text) == bool(ahead)


def test_an_expired_certificate_is_told(coordinator, monkeypatch):
    """By the coordinator's own clock, which this machine's may be far from."""
    monkeypatch.setattr(Health, "ahead", 400 * 24 * HOUR)
    told = connection_fault(coordinator, clock=lambda: time.time() + 400 * 24 * HOUR)
    assert "has expired" in told


def test_a_silent_coordinator_is_no_fault_of_this_machine(coordinator):
    gone = Coordinator(address="127.0.0.1:1", authority=coordinator.authority)
    with pytest.raises(LinkError, match="cannot be reached"):
        measure_skew(gone)
    assert connection_fault(gone) == ""


def test_somebody_else_is_not_believed(coordinator, tmp_path):
    other, _ = make_authority("n", now=datetime.now(UTC) - timedelta(days=1))
    (tmp_path / "other.crt").write_bytes(other)
    imposter = Coordinator(address=coordinator.address, authority=tmp_path / "other.crt")
    with pytest.raises(LinkError, match="not the coordinator that was joined"):
        measure_skew(imposter)
    assert "not the coordinator that was joined" in connection_fault(imposter)


def test_uncertainty_is_in_favour_of_the_clock():
    assert Skew(seconds=301, error=2).status == "warning"
    assert Skew(seconds=-302, error=2).status == "failed"
