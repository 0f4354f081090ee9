import pytest

from fedcausal.daemons.processes import held_folder
from fedcausal.errors import InputError
from fedcausal_clients.daemon import clock, daemon
from fedcausal_clients.daemon.clock import Skew
from fedcausal_clients.daemon.daemon import daemon_status, serve
from fedcausal_clients.daemon.home import Peer, create_party_home, pin_peers, write_coordinator
from fedcausal_privacy.keys.enrolment import Invitation
from fedcausal_privacy.keys.identity import Identity

INVITATION = Invitation(
    address="h:1", authority="pem", name="north", role="site", token="t", expires=1.0
)


def start(home):
    serve(home, poll_seconds=1.0, say=print)


def test_a_daemon_starts_on_a_folder_that_is_ready(tmp_path):
    home = tmp_path / "north"
    with pytest.raises(InputError, match=r"site\.toml"):
        start(home)
    create_party_home(home, name="north", role="site", data="rows.csv")
    with pytest.raises(InputError, match="site join"):
        start(home)
    write_coordinator(home, INVITATION)
    with pytest.raises(InputError, match="site trust"):
        start(home)
    pin_peers(home, [Peer(name="s", role="steward", identity=Identity.generate().public)])
    with held_folder(home / "state"), pytest.raises(InputError, match="running on this folder"):
        start(home)


def test_the_status_of_a_daemon(tmp_path):
    create_party_home(tmp_path, name="north", role="site", data="rows.csv")
    write_coordinator(tmp_path, INVITATION)
    seen = daemon_status(tmp_path)
    assert (seen.running, seen.pid, seen.coordinator) == (False, None, "h:1")
    with held_folder(tmp_path / "state"):
        assert daemon_status(tmp_path).running


@pytest.mark.parametrize("hours", [3, -26])
def test_a_daemon_whose_clock_is_hours_off_says_by_how_much_and_tries_again(
    tmp_path, monkeypatch, hours
):
    """No node is started: Flower would refuse it without a word of the reason."""
    create_party_home(tmp_path, name="north", role="site", data="rows.csv")
    write_coordinator(tmp_path, INVITATION)
    pin_peers(tmp_path, [Peer(name="s", role="steward", identity=Identity.generate().public)])
    said, pauses, stops = [], [], []
    monkeypatch.setattr(daemon, "_Stop", lambda: stops.append(FakeStop()) or stops[-1])
    ahead = Skew(seconds=hours * 3600.0, error=0.5)
    monkeypatch.setattr(clock, "measure_skew", lambda coordinator, clock: ahead)
    monkeypatch.setattr(daemon, "go_offline", lambda folder: None)

    class FakeStop:
        asked = False

    def pause(seconds, stop):
        pauses.append(seconds)
        stop.asked = len(pauses) == 6

    monkeypatch.setattr(daemon, "_pause", pause)
    monkeypatch.setattr(daemon, "_serve_once", lambda *_: pytest.fail("a node was started"))
    serve(tmp_path, poll_seconds=1.0, say=said.append)
    told = f"{hours * 3600:+d} s from the coordinator's"
    assert all(told in line for line in said[1:])
    # It never gives up, and never waits longer than that.
    assert pauses == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
