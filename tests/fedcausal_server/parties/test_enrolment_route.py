import asyncio
import datetime
import json
import time

import pytest

from fedcausal_privacy.keys.certificates import make_node_key, node_public_key
from fedcausal_privacy.keys.client_certificates import check_client_certificate
from fedcausal_privacy.keys.enrolment import Invitation, request_to_join
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.secure_sum.roster_request import request_roster
from fedcausal_server.daemon.home import create_home
from fedcausal_server.parties.authority import certify
from fedcausal_server.parties.enrolling import confirm, invite, revoke
from fedcausal_server.parties.enrolment_route import (
    JOIN_PATH,
    MAX_BYTES,
    ROSTER_PATH,
    EnrolmentRoute,
)

NORTH = Identity.generate()


@pytest.fixture
def home(tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    return create_home(tmp_path / "c", name="n", hosts=["127.0.0.1"], port=1, now=now)


@pytest.fixture
def request_(home, tmp_path):
    path = invite(home, "north", "site", days=1, out=tmp_path / "invitation.json")
    invitation = Invitation.from_bytes(path.read_bytes())
    return request_to_join(invitation, NORTH, node_public_key(make_node_key()))


def post(home, path, body, *, method="POST", parts=1):
    """Status and content of the answer; None when the request was passed on."""
    size = -(-len(body) // parts) or 1
    pieces = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    sent, passed = [], []

    async def receive():
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        passed.append(scope["path"])

    scope = {"type": "http", "path": path, "method": method, "headers": []}
    asyncio.run(EnrolmentRoute(app, home)(scope, receive, send))
    return None if passed else (sent[0]["status"], json.loads(sent[1]["body"]))


def test_a_party_joins_once(home, request_):
    joined = post(home, JOIN_PATH, request_.to_bytes(), parts=3)
    assert joined == (200, {"fingerprint": NORTH.fingerprint()})
    status, content = post(home, JOIN_PATH, request_.to_bytes())
    assert (status, list(content)) == (403, ["refusal"])


def test_the_roster_is_for_confirmed_parties(home, request_):
    post(home, JOIN_PATH, request_.to_bytes())
    question = request_roster("north", NORTH, now=time.time()).to_bytes()
    assert post(home, ROSTER_PATH, question)[0] == 403
    confirm(home, "north", NORTH.fingerprint())
    status, content = post(home, ROSTER_PATH, question)
    assert status == 200
    assert content["parties"] == [{"name": "north", "role": "site", "identity": NORTH.public}]
    assert content["certificate"] == ""
    certify(home, now=datetime.datetime.now(datetime.UTC))
    made = post(home, ROSTER_PATH, question)[1]["certificate"]
    check_client_certificate(made.encode(), home.authority.read_bytes(), request_.node_key)
    revoke(home, "north", why="stolen")
    assert post(home, ROSTER_PATH, question)[0] == 403


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xff", b"x" * (MAX_BYTES + 1)])
@pytest.mark.parametrize("path", [JOIN_PATH, ROSTER_PATH])
def test_nonsense_is_refused(home, path, body):
    assert post(home, path, body, parts=2)[0] == 403


def test_other_paths_and_methods(home):
    assert post(home, "/v1/fleet/pull-messages", b"") is None
    assert post(home, JOIN_PATH, b"", method="GET")[0] == 405
