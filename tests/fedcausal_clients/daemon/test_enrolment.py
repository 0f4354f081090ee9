import datetime
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fedcausal.errors import DeadlineError, InputError, LinkError
from fedcausal_clients.daemon import enrolment as daemon_enrolment
from fedcausal_clients.daemon.enrolment import ask_roster, fetch_certificate, join
from fedcausal_clients.daemon.home import (
    create_party_home,
    load_identity,
    load_node_key,
    read_coordinator,
)
from fedcausal_privacy.keys.certificates import (
    make_authority,
    make_node_key,
    make_server_certificate,
    node_public_key,
)
from fedcausal_privacy.keys.client_certificates import make_client_certificate
from fedcausal_privacy.keys.enrolment import Invitation, JoinRequest
from fedcausal_privacy.keys.identity import Identity

NOW = datetime.datetime.now(datetime.UTC)
AUTHORITY, AUTHORITY_KEY = make_authority("n", now=NOW)
PEER = Identity.generate().public


class Coordinator:
    """A TLS server on loopback that answers every request alike and keeps what it got."""

    def __init__(self, folder, status=200, answer=None, pause=0.0, made=NOW, ahead=0.0):
        self.got = got = []
        content = json.dumps({"fingerprint": ""} if answer is None else answer).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + ahead)

            def do_POST(self):
                length = int(self.headers["content-length"])
                got.append((self.path, self.rfile.read(length)))
                time.sleep(pause)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        certificate, key = make_server_certificate(
            AUTHORITY, AUTHORITY_KEY, ["127.0.0.1"], now=made
        )
        (folder / "server.pem").write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *arguments: None
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.thread.join(30)
        self.server.server_close()


@pytest.fixture
def home(tmp_path):
    create_party_home(tmp_path / "north", name="north", role="site", data="rows.csv")
    return tmp_path / "north"


def invitation(tmp_path, address, *, authority=AUTHORITY, name="north"):
    path = tmp_path / "invitation.json"
    path.write_bytes(
        Invitation(
            address=address,
            authority=authority.decode(),
            name=name,
            role="site",
            token="t",
            expires=1.0,
        ).to_bytes()
    )
    return path


def test_a_party_hands_in_public_keys_only(home, tmp_path):
    with Coordinator(tmp_path) as coordinator:
        assert join(home, invitation(tmp_path, coordinator.address)) == read_coordinator(home)
    ((path, body),) = coordinator.got
    assert path == "/v1/fleet/fedcausal/join"
    assert JoinRequest.from_bytes(body).identity == load_identity(home).public
    assert b"PRIVATE" not in body


def test_the_roster_comes_without_oneself(home, tmp_path):
    parties = [
        {"name": "north", "role": "site", "identity": PEER},
        {"name": "key-keeper", "role": "steward", "identity": PEER},
    ]
    with Coordinator(tmp_path, answer={"parties": parties}) as coordinator:
        join(home, invitation(tmp_path, coordinator.address))
        (peer,) = ask_roster(home)
    assert (peer.name, peer.role, peer.identity) == ("key-keeper", "steward", PEER)


@pytest.mark.parametrize("answer", [{}, {"parties": 1}, {"parties": [1]}, []])
def test_an_odd_roster_is_an_error(home, tmp_path, answer):
    with Coordinator(tmp_path) as coordinator:
        join(home, invitation(tmp_path, coordinator.address))
    with Coordinator(tmp_path, answer=answer) as other:
        (home / "coordinator" / "link.json").write_text(json.dumps({"address": other.address}))
        with pytest.raises(LinkError):
            ask_roster(home)


def test_another_authority_is_refused_before_anything_is_sent(home, tmp_path):
    other, _ = make_authority("n", now=NOW)
    with Coordinator(tmp_path) as coordinator:
        file = invitation(tmp_path, coordinator.address, authority=other)
        with pytest.raises(LinkError, match="not the coordinator of the invitation"):
            join(home, file)
    assert coordinator.got == []


def test_another_host_is_refused(home, tmp_path):
    with Coordinator(tmp_path) as coordinator:
        address = coordinator.address.replace("127.0.0.1", "localhost")
        with pytest.raises(LinkError):
            join(home, invitation(tmp_path, address))
    assert coordinator.got == []


DAY = datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (NOW - 398 * DAY, r"has expired; is this machine's clock \(.*renew"),
        (NOW + DAY, r"not valid yet; is this machine's clock \(20"),
    ],
)
def test_a_certificate_of_another_time_is_refused_with_the_reason(home, tmp_path, made, words):
    with (
        Coordinator(tmp_path, made=made) as coordinator,
        pytest.raises(LinkError, match=words),
    ):
        join(home, invitation(tmp_path, coordinator.address))
    assert coordinator.got == []


def test_a_refusal_keeps_nothing(home, tmp_path):
    answer = {"refusal": "used or expired"}
    with (
        Coordinator(tmp_path, status=403, answer=answer) as coordinator,
        pytest.raises(LinkError, match=r"HTTP 403. used or expired"),
    ):
        join(home, invitation(tmp_path, coordinator.address))
    with pytest.raises(InputError):
        read_coordinator(home)


def test_a_silent_coordinator_is_a_deadline(home, tmp_path, monkeypatch):
    monkeypatch.setattr(daemon_enrolment, "SECONDS", 0.5)
    with (
        Coordinator(tmp_path, pause=2.0) as coordinator,
        pytest.raises(DeadlineError, match=r"waited 0.5 s"),
    ):
        join(home, invitation(tmp_path, coordinator.address))


def test_nobody_there_is_a_link_error(home, tmp_path):
    with Coordinator(tmp_path) as coordinator:
        pass
    with pytest.raises(LinkError, match="cannot be reached"):
        join(home, invitation(tmp_path, coordinator.address))


def test_an_invitation_for_somebody_else_is_refused(home, tmp_path):
    with pytest.raises(InputError, match="invites site 'south'"):
        join(home, invitation(tmp_path, "h:1", name="south"))
    with pytest.raises(InputError, match="cannot be read"):
        join(home, tmp_path / "nothing")
    (tmp_path / "odd").write_text("{}")
    with pytest.raises(InputError, match="odd: expected an invitation"):
        join(home, tmp_path / "odd")
    with pytest.raises(InputError, match="broken"):
        join(home, invitation(tmp_path, "h:1", authority=b"no certificate"))


def test_a_party_fetches_its_own_certificate(home, tmp_path):
    made = make_client_certificate(AUTHORITY, AUTHORITY_KEY, load_node_key(home), "north", now=NOW)
    answer = {"parties": [], "certificate": made.decode()}
    with Coordinator(tmp_path, answer=answer) as coordinator:
        join(home, invitation(tmp_path, coordinator.address))
        path = fetch_certificate(home)
    assert path == read_coordinator(home).client_certificate
    assert path.read_bytes() == made


def test_another_certificate_is_not_kept(home, tmp_path):
    other = node_public_key(make_node_key())
    made = make_client_certificate(AUTHORITY, AUTHORITY_KEY, other, "north", now=NOW).decode()
    for certificate, words in ((made, "another key"), ("x", "authority made"), ("", "certify")):
        answer = {"parties": [], "certificate": certificate}
        with Coordinator(tmp_path, answer=answer) as coordinator:
            join(home, invitation(tmp_path, coordinator.address))
            with pytest.raises(InputError, match=words):
                fetch_certificate(home)
        assert not read_coordinator(home).client_certificate.exists()
