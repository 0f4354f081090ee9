import json

import pytest

from fedcausal.cli import main
from fedcausal_clients.daemon import enrolment as daemon_enrolment
from fedcausal_clients.daemon.home import Peer, load_identity, write_coordinator
from fedcausal_privacy.keys.certificates import make_authority
from fedcausal_privacy.keys.enrolment import Invitation
from fedcausal_privacy.keys.identity import Identity


@pytest.fixture
def home(tmp_path, capsys):
    assert main(["site", "init", str(tmp_path), "--name", "north", "--data", "rows.csv"]) == 0
    assert load_identity(tmp_path).fingerprint() in capsys.readouterr().out
    return tmp_path


def joined(home):
    import datetime

    authority, _ = make_authority("n", now=datetime.datetime.now(datetime.UTC))
    invitation = Invitation(
        address="h:1",
        authority=authority.decode(),
        name="north",
        role="site",
        token="t",
        expires=1.0,
    )
    write_coordinator(home, invitation)


@pytest.mark.parametrize(
    "words",
    [
        ["init", "HOME", "--name", "a b", "--data", "x.csv"],
        ["init", "HOME", "--name", "south", "--data", "x.csv"],
        ["join", "HOME", "nothing.json"],
        ["trust", "HOME"],
        ["start", "HOME"],
        ["status", "HOME"],
        ["start", "HOME", "--poll", "0"],
        ["stop", "HOME/elsewhere"],
    ],
)
def test_a_users_mistake_is_exit_code_4(home, capsys, words):
    arguments = [word.replace("HOME", str(home)) for word in words]
    assert main(["site", *arguments]) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_stopped_daemon_is_exit_code_2(home, capsys):
    joined(home)
    assert main(["site", "status", str(home)]) == 2
    assert "north: not running" in capsys.readouterr().out
    assert main(["site", "stop", str(home)]) == 0


def test_the_others_are_shown_then_pinned(home, capsys, monkeypatch):
    joined(home)
    peer = Peer(name="south", role="site", identity=Identity.generate().public)
    monkeypatch.setattr(daemon_enrolment, "ask_roster", lambda folder: (peer,))
    assert main(["site", "trust", str(home), "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)["data"]
    assert (shown["parties"][0]["fingerprint"], shown["pinned"]) == (peer.fingerprint, [])
    assert main(["site", "trust", str(home), "--pin"]) == 0
    assert "pinned south" in capsys.readouterr().out
