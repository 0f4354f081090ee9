import json
import time

import pytest

from fedcausal.errors import InputError, ProtocolError
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.certificates import make_node_key, node_public_key
from fedcausal_privacy.keys.enrolment import Invitation, request_to_join
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import read_revoked, rotate
from fedcausal_privacy.secure_sum.roster_request import request_roster
from fedcausal_server.parties import enrolling
from fedcausal_server.parties.enrolment_route import answer_join, answer_roster


def test_an_invitation_holds_what_a_party_needs(coordinator_home, tmp_path):
    path = enrolling.invite(coordinator_home, "north", "steward", days=1, out=tmp_path / "i")
    invitation = Invitation.from_bytes(path.read_bytes())
    assert (invitation.name, invitation.role) == ("north", "steward")
    assert invitation.authority == coordinator_home.authority.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    book = (coordinator_home.state / "enrolments.json").read_text()
    assert invitation.token not in book


def test_a_second_invitation_replaces_the_first(coordinator_home, tmp_path):
    out = tmp_path / "i"
    first = enrolling.invite(coordinator_home, "north", "site", days=1, out=out).read_bytes()
    assert (
        enrolling.invite(coordinator_home, "north", "site", days=1, out=out).read_bytes() != first
    )


def test_no_other_file_is_overwritten(coordinator_home, tmp_path):
    (tmp_path / "i").write_text("mine")
    with pytest.raises(InputError, match="never overwritten"):
        enrolling.invite(coordinator_home, "north", "site", days=1, out=tmp_path / "i")
    assert coordinator_home.book().enrolments == {}


def test_a_confirmed_party_is_let_in_and_a_removed_one_is_not(coordinator_home, control, join):
    join("north", confirmed=False)
    assert control.known == {}
    identity = join("south")
    assert len(control.known) == 1
    (party,) = coordinator_home.book().enrolled()
    assert (party.name, party.fingerprint) == ("south", identity.fingerprint())
    enrolling.remove(coordinator_home, "south")
    assert control.known == {}
    states = [(p["name"], p["state"]) for p in enrolling.parties(coordinator_home)]
    assert states == [("north", "joined")]


def test_a_revoked_party_is_kept_out_under_any_name(coordinator_home, control, join, tmp_path):
    identity = join("north")
    join("south")
    enrolling.revoke(coordinator_home, "north", why="the  laptop\nwas stolen")
    assert len(control.known) == 1
    assert [party.name for party in coordinator_home.book().enrolled()] == ["south"]
    listed = (coordinator_home.folder / "revoked.txt").read_text()
    assert listed == f"{identity.fingerprint()}  # north: the laptop was stolen\n"
    assert read_revoked(coordinator_home.folder) == {identity.fingerprint()}
    lines = [json.loads(line) for line in AuditLog(path=coordinator_home.audit_log).lines()]
    assert [line["event"] for line in lines] == ["enrolled", "enrolled", "revoked"]
    assert lines[-1]["details"]["reason"] == "the laptop was stolen"
    AuditLog(path=coordinator_home.audit_log).check()

    with pytest.raises(InputError, match="revoked"):
        enrolling.confirm(coordinator_home, "north", identity.fingerprint())
    path = enrolling.invite(coordinator_home, "fresh", "site", days=1, out=tmp_path / "f.json")
    invitation = Invitation.from_bytes(path.read_bytes())
    request = request_to_join(invitation, identity, node_public_key(make_node_key()))
    with pytest.raises(ProtocolError, match="other keys"):
        answer_join(coordinator_home, request.to_bytes(), now=0.0)
    # Again, as after a crash: nothing is written twice.
    enrolling.revoke(coordinator_home, "north", why="again")
    assert (coordinator_home.folder / "revoked.txt").read_text() == listed


@pytest.mark.parametrize(("name", "why"), [("nobody", "x"), ("late", "x"), ("north", " ")])
def test_only_keys_can_be_revoked_and_with_a_reason(
    coordinator_home, control, join, tmp_path, name, why
):
    join("north")
    enrolling.invite(coordinator_home, "late", "site", days=1, out=tmp_path / "late.json")
    with pytest.raises(InputError):
        enrolling.revoke(coordinator_home, name, why=why)
    assert len(control.known) == 1


@pytest.fixture
def statement(tmp_path):
    """A function from a party's two keys to the file of its rotation."""

    def written(name, old, new):
        path = tmp_path / f"rotation-{name}.json"
        path.write_text(json.dumps(rotate(name, old, new).to_json()))
        return path

    return written


def test_a_party_with_a_fresh_identity_is_told_the_roster(
    coordinator_home, control, join, statement
):
    old, fresh, now = join("north"), Identity.generate(), time.time()
    asked = request_roster("north", fresh, now=now).to_bytes()
    with pytest.raises(ProtocolError):
        answer_roster(coordinator_home, asked, now=now)
    file = statement("north", old, fresh)
    assert enrolling.follow(coordinator_home, "north", file).identity == fresh.public
    (told,) = answer_roster(coordinator_home, asked, now=now)["parties"]
    assert told["identity"] == fresh.public
    with pytest.raises(ProtocolError):
        answer_roster(coordinator_home, request_roster("north", old, now=now).to_bytes(), now=now)
    last = json.loads(AuditLog(path=coordinator_home.audit_log).lines()[-1])
    assert last["event"] == "rotated"
    assert last["details"]["new"] == fresh.fingerprint()
    enrolling.revoke(coordinator_home, "north", why="stolen")
    assert read_revoked(coordinator_home.folder) == {fresh.fingerprint()}


def test_other_statements_are_refused(coordinator_home, control, join, statement, tmp_path):
    north, south, fresh = join("north"), join("south"), Identity.generate()
    enrolling.revoke(coordinator_home, "south", why="stolen")
    file = statement("north", north, fresh)
    with pytest.raises(InputError, match="is of 'north', not of 'south'"):
        enrolling.follow(coordinator_home, "south", file)
    with pytest.raises(InputError, match="cannot be read"):
        enrolling.follow(coordinator_home, "north", tmp_path / "none.json")
    with pytest.raises(InputError, match="a key that was revoked"):
        enrolling.follow(coordinator_home, "north", statement("north", north, south))
    with pytest.raises(InputError, match="the file replaces"):
        enrolling.follow(coordinator_home, "north", statement("north", Identity.generate(), fresh))
    file.write_text(file.read_text().replace(north.public[:8], "00000000"))
    with pytest.raises(InputError):
        enrolling.follow(coordinator_home, "north", file)
    assert coordinator_home.book().enrolments["north"].identity == north.public
