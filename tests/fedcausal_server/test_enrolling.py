import pytest

from fedcausal.errors import InputError
from fedcausal_privacy.enrolment import Invitation
from fedcausal_server import enrolling


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
