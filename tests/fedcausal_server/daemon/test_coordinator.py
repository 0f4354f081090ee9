import datetime
import os
import signal
from types import SimpleNamespace

import pytest

from fedcausal.daemons.processes import held_folder
from fedcausal.errors import InputError, LinkError
from fedcausal_server.daemon import coordinator
from fedcausal_server.daemon.coordinator import register_parties
from fedcausal_server.daemon.home import renew_certificate


def test_the_book_decides_who_is_let_in(coordinator_home, control, join):
    join("north")
    control.known["a key of nobody"] = 77
    register_parties(coordinator_home)
    (party,) = coordinator_home.book().enrolled()
    assert set(control.known) == {party.node_key}
    before = dict(control.known)
    register_parties(coordinator_home)
    assert control.known == before


def test_one_daemon_serves_a_home(coordinator_home):
    with held_folder(coordinator_home.state), pytest.raises(InputError, match="running"):
        coordinator.serve(coordinator_home, say=print)


class Link:
    """A child that stands for a SuperLink: it lives until it is ended."""

    def __init__(self):
        self.code = None

    def poll(self):
        return self.code

    def wait(self, seconds):
        return 0

    def terminate(self):
        self.code = 0


@pytest.fixture
def lives(coordinator_home, control, monkeypatch):
    """The SuperLinks that a daemon started, one after the other."""
    started = []

    def start(main):
        started.append(Link())
        return started[-1]

    monkeypatch.setattr(coordinator.Forked, "start", staticmethod(start))
    monkeypatch.setattr(coordinator, "is_serving", lambda home: True)
    monkeypatch.setattr(coordinator, "_pause", lambda seconds, stop: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield started
    for number, handler in handlers.items():
        signal.signal(number, handler)


def served(home, monkeypatch, step, **options):
    """Serve until `step` has been called often enough; what was said."""
    said = []
    monkeypatch.setattr(
        coordinator,
        "server_loop",
        lambda home, poll_seconds: SimpleNamespace(step=step, close=int),
    )
    coordinator.serve(home, say=said.append, **options)
    return said


def test_a_renewed_certificate_is_taken_while_studies_go_on(coordinator_home, lives, monkeypatch):
    steps = []

    def step():
        steps.append(len(lives))
        if len(steps) == 2:
            renew_certificate(coordinator_home, now=datetime.datetime.now(datetime.UTC))
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    said = served(coordinator_home, monkeypatch, step)
    assert steps == [1, 1, 2, 2]
    assert [line for line in said if "renewed" in line]
    assert all(link.code == 0 for link in lives)


def test_a_superlink_that_refuses_its_operator_is_started_again(
    coordinator_home, lives, monkeypatch
):
    """The first one's word is the operator's, who has just typed the command."""

    def register(home):
        if len(lives) == 2:
            raise LinkError("HTTP 500")

    def step():
        if len(lives) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        lives[-1].code = 1

    monkeypatch.setattr(coordinator, "register_parties", register)
    served(coordinator_home, monkeypatch, step)
    assert len(lives) == 3
    lives[:] = [Link()]
    with pytest.raises(LinkError, match="500"):
        served(coordinator_home, monkeypatch, step)
